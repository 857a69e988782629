"""Nothing that is a secret leaves the process, wherever in an event it is; what is none does."""

import copy
import logging
from dataclasses import dataclass
from typing import Any

import pytest
import sentry_sdk
from hypothesis import given
from hypothesis import strategies as st

from tests.logging.sentry.conftest import Reporting
from undercroft.logging import Logger, redact_text
from undercroft.logging._plain import STANDARD
from undercroft.logging._sentry._scrub import Scrubber

pytestmark = pytest.mark.anyio
shop = Logger(module="shop.pay")
SECRET = "caNARy-3b9e"
URL = f"https://shop:{SECRET}@pay.example/orders"

PLACES: dict[str, dict[str, Any]] = {
    "message": {"message": f"cannot reach {URL}"},
    "logentry": {"logentry": {"message": "to %s", "formatted": f"to {URL}", "params": [SECRET]}},
    "exception value": {"exception": {"values": [{"type": "OSError", "value": f"no answer from {URL}"}]}},
    "mechanism": {"exception": {"values": [{"type": "E", "value": "", "mechanism": {"data": {"secret": SECRET}}}]}},
    "header": {"request": {"headers": {"Authorization": f"Token {SECRET}", "accept": "*/*"}}},
    "header in pairs": {"request": {"headers": [["X-Api-Key", SECRET], ["accept", "*/*"]]}},
    "cookies": {"request": {"cookies": {"theme": SECRET}}},
    "query": {"request": {"query_string": f"page=2&access_token={SECRET}"}},
    "query in pairs": {"request": {"query_string": [["page", "2"], ["access_token", SECRET]]}},
    "url": {"request": {"url": f"https://pay.example/?page=2&api_key={SECRET}#x"}},
    "body as data": {"request": {"data": {"user": "ada", "new_password": SECRET}}},
    "body as text": {"request": {"data": f'{{"user": "ada", "password": "{SECRET}"}}'}},
    "environment": {"request": {"env": {"DATABASE_PASSWORD": SECRET}}},
    "user": {"user": {"id": "7", "session_token": SECRET}},
    "tag": {"tags": {"upstream": URL}},
    "tag in pairs": {"tags": [["upstream", URL]]},
    "extra": {"extra": {"deep": [{"deeper": {"client_secret": SECRET}}]}},
    "extra text": {"extra": {"command": f"deploy --password={SECRET}"}},
    "extra arguments": {"extra": {"argv": ["deploy", "--token", SECRET, "--fast"]}},
    "key": {"extra": {URL: 1}},
    "context": {"contexts": {"database": {"password": SECRET, "host": "db"}}},
    "breadcrumb message": {"breadcrumbs": {"values": [{"message": f"GET {URL}"}]}},
    "breadcrumb data": {"breadcrumbs": {"values": [{"data": {"http.query": f"?token={SECRET}", "passwd": SECRET}}]}},
    "fingerprint": {"fingerprint": ["{{ default }}", URL]},
    "transaction": {"transaction": f"/reset?token={SECRET}"},
    "variable": {"threads": {"values": [{"stacktrace": {"frames": [{"vars": {"password": f"'{SECRET}'"}}]}}]}},
    "variable in pairs": {
        "threads": {"values": [{"stacktrace": {"frames": [{"vars": {"h": [["b'cookie'", f"b'{SECRET}'"]]}}]}}]}
    },
    "source": {"threads": {"values": [{"stacktrace": {"frames": [{"context_line": f'connect("{URL}")'}]}}]}},
    "meta": {"_meta": {"extra": {URL: {"": {"len": 5}}}}},
    "unknown place": {"added_next_year": {"token": SECRET}},
}


@pytest.mark.parametrize("place", PLACES)
async def test_secret_does_not_leave(reporting: Reporting, place: str) -> None:
    async with reporting() as (bridge, sentry):
        sentry_sdk.capture_event({"extra": {}, **copy.deepcopy(PLACES[place])})

    assert SECRET not in sentry.text
    assert (len(sentry.events), bridge.counts.failed) == (1, 0)


@pytest.mark.parametrize("place", PLACES)
def test_event_of_the_application_is_not_changed(place: str) -> None:
    event = copy.deepcopy(PLACES[place])
    Scrubber(STANDARD).event(event)

    assert event == PLACES[place]


async def test_secret_in_a_line_does_not_leave(reporting: Reporting) -> None:
    @dataclass
    class Login:
        user: str
        password: str

    async with reporting() as (_, sentry):
        shop.warning(f"trying {URL}", login=Login("ada", SECRET), headers=[(b"cookie", SECRET.encode())])
        sentry_sdk.add_breadcrumb(message=f"trying {URL}", data={"login": Login("ada", SECRET)})
        try:
            raise ConnectionError(f"no answer from {URL}")
        except ConnectionError as exc:
            shop.error("failed", exc, password=SECRET)
        logging.getLogger("lib").error("failed with %s", {"password": SECRET}, extra={"secret": SECRET})

    assert SECRET not in sentry.text
    assert len(sentry.events) == 2
    assert [crumb["data"]["login"] for crumb in sentry.events[0]["breadcrumbs"]["values"]] == [
        {"user": "ada", "password": "***"}
    ] * 2


async def test_variables_of_frames_are_redacted_by_name_and_by_looks(reporting: Reporting) -> None:
    def connect(url: str, password: str, headers: list[tuple[str, str]], retries: int) -> None:
        argv = ["deploy", "--token", password]
        raise ConnectionError(f"no answer, {len(argv)}")

    async with reporting(local_variables=True) as (_, sentry):
        try:
            connect(URL, SECRET, [("authorization", SECRET)], 3)
        except ConnectionError as exc:
            shop.error("failed", exc)

    assert SECRET not in sentry.text
    shown = sentry.event["exception"]["values"][0]["stacktrace"]["frames"][-1]["vars"]
    assert shown["retries"] in (3, "3")
    assert shown["password"] == "***"


async def test_transaction_is_redacted(reporting: Reporting) -> None:
    async with reporting(traces=True) as (_, sentry):
        with sentry_sdk.start_transaction(name=f"GET {URL}", op="http") as transaction:
            transaction.set_data("password", SECRET)
            with sentry_sdk.start_span(op="db", name=f"connect {URL}") as span:
                span.set_data("api_key", SECRET)

    assert SECRET not in sentry.text
    assert [len(transaction["spans"]) for transaction in sentry.transactions] == [1]


async def test_what_is_no_secret_stays(reporting: Reporting) -> None:
    harmless = {
        "order_id": 7,
        "sha": "8a47f62c0ffee1234567890abcdef1234567890a",
        "at": "2026-11-27T13:00:00Z",
        "path": "/srv/shop/orders.csv",
        "total": 12.5,
        "is_paid": True,
        "max_tokens": 4096,
        "nothing": None,
        "list": [1, "two", {"three": 3}],
    }
    async with reporting(release="shop@1.4.2") as (_, sentry):
        shop.error("failed", harmless)

    assert sentry.event["extra"] == harmless
    assert sentry.event["release"] == "shop@1.4.2"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(extra=st.dictionaries(st.text(max_size=10), json_like, max_size=4))
def test_any_event_keeps_its_shape_and_loses_its_texts_secrets(extra: dict[str, Any]) -> None:
    scrubbed = Scrubber(STANDARD).event({"extra": extra, "event_id": "0" * 32})

    assert scrubbed["event_id"] == "0" * 32
    _same_shape(extra, scrubbed["extra"])
    assert Scrubber(STANDARD).event(scrubbed) == scrubbed


def _same_shape(before: Any, after: Any) -> None:
    if after == "***":
        return
    if isinstance(before, dict):
        assert len(after) <= len(before)
    elif isinstance(before, list):
        assert len(after) == len(before)
        for one, other in zip(before, after, strict=True):
            _same_shape(one, other)
    elif isinstance(before, str):
        assert after == redact_text(before)
    else:
        assert after == before
