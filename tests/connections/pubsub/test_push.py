"""Push: who may, what is answered, and that nothing is acknowledged that was not handled."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from undercroft._core.context import Trace, correlation
from undercroft.connections.pubsub import (
    MemoryClaims,
    Oidc,
    PubSub,
    PubSubDefinitionError,
    PushEndpoint,
    Topic,
    current_message,
    subscription,
)
from undercroft.connections.pubsub.memory import MemoryPubSub

pytestmark = pytest.mark.anyio

EVENTS: Topic[int] = Topic("events", schema=int)
TOKEN = {"Authorization": "Bearer s3cret"}
AUDIENCE, ACCOUNT = "https://shop.example/pubsub", "push@project.iam.gserviceaccount.com"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class App:
    """A `PubSub` in memory whose handler does what the test says."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.problem: Exception | None = None
        self.gate: anyio.Event | None = None
        self.dead = subscription("events-sub", EVENTS, dead_letter="events-dead")(self.handle)
        self.plain = subscription("plain-sub", EVENTS)(self.handle)
        self.engine = MemoryPubSub()
        self.pubsub = PubSub(self.engine, subscriptions=[self.dead, self.plain], claims=MemoryClaims())

    async def handle(self, number: int) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.problem is not None:
            raise self.problem
        self.seen.append((number, current_message(), correlation()))


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App()
    async with app.pubsub:
        yield app


def push(data: object = 5, *, message_id: str = "m-1", sub: str = "events-sub", **message: Any) -> bytes:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return json.dumps(
        {
            "message": {
                "data": base64.b64encode(raw).decode(),
                "messageId": message_id,
                "message_id": message_id,
                "publishTime": "2026-11-20T10:00:00.5Z",
                **message,
            },
            "subscription": f"projects/shop/subscriptions/{sub}",
            "deliveryAttempt": 3,
        }
    ).encode()


async def answer(endpoint: PushEndpoint, body: bytes, headers: Mapping[str, str] = TOKEN) -> tuple[int, dict[str, Any]]:
    response = await endpoint.handle(body, headers)
    return response.status, json.loads(response.json())


async def code(endpoint: PushEndpoint, body: bytes, headers: Mapping[str, str] = TOKEN) -> tuple[int, str]:
    status, said = await answer(endpoint, body, headers)
    return status, said["error"]["code"]


async def test_pushed_message_is_handled_as_a_pulled_one_is(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    trace = Trace.new()
    body = push(attributes={"traceparent": str(trace), "x-request-id": "r-1"}, orderingKey="k")

    assert await answer(endpoint, body) == (200, {"handled": True, "message_id": "m-1"})

    ((number, message, names),) = app.seen
    assert (number, message.id, message.subscription, message.attempt) == (5, "m-1", "events-sub", 3)
    assert (message.ordering_key, message.published_at.year) == ("k", 2026)
    assert (names.request_id, names.trace.trace_id) == ("r-1", trace.trace_id)


async def test_duplicate_is_answered_and_not_handled(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    await answer(endpoint, push())

    assert await answer(endpoint, push()) == (200, {"handled": False, "duplicate": True, "message_id": "m-1"})
    assert len(app.seen) == 1


async def test_b1_message_whose_handler_failed_is_handled_when_it_comes_again(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    app.problem = ConnectionError("mail server is down")
    assert await code(endpoint, push()) == (500, "HANDLER_ERROR")

    app.problem = None
    assert await answer(endpoint, push()) == (200, {"handled": True, "message_id": "m-1"})
    assert len(app.seen) == 1


async def test_copy_that_comes_while_one_is_handled_is_refused_at_once(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    app.gate = anyio.Event()
    answers: list[int] = []

    async def post() -> None:
        answers.append((await answer(endpoint, push()))[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post)
        await anyio.wait_all_tasks_blocked()
        assert await code(endpoint, push()) == (409, "BUSY")
        app.gate.set()

    assert (answers, len(app.seen)) == ([200], 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "INVALID_JSON"),
        (b"\xff", "INVALID_JSON"),
        (b"{", "INVALID_JSON"),
        (b"[" * 100_000, "INVALID_STRUCTURE"),
        (b"[]", "INVALID_STRUCTURE"),
        (b"null", "INVALID_STRUCTURE"),
        (b'{"message": {}}', "INVALID_STRUCTURE"),
        (b'{"message": {"data": 5, "messageId": "1"}, "subscription": "s"}', "INVALID_STRUCTURE"),
        (b'{"message": {"data": "", "messageId": ""}, "subscription": "s"}', "INVALID_STRUCTURE"),
        (b'{"message": {"data": "*", "messageId": "1"}, "subscription": "s"}', "INVALID_BASE64"),
        (b'{"message": {"data": "YQ", "messageId": "1"}, "subscription": "s"}', "INVALID_BASE64"),
    ],
)
async def test_what_is_not_a_push_request_is_refused(app: App, body: bytes, reason: str) -> None:
    assert await code(PushEndpoint(app.pubsub, token="s3cret"), body) == (400, reason)
    assert app.seen == []


async def test_payload_that_does_not_fit_goes_to_the_dead_letter_topic(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")

    status, said = await answer(endpoint, push("five"))

    assert (status, said["dead_lettered"], said["handled"]) == (200, True, False)
    async with app.engine.open_stream("events-dead", ack_deadline_s=10, max_messages=1, max_bytes=100) as stream:
        (dead,) = await stream.receive()
    assert dead.data == b'"five"'


async def test_payload_that_does_not_fit_is_refused_without_a_dead_letter_topic(app: App) -> None:
    assert await code(PushEndpoint(app.pubsub, token="s3cret"), push(b"\x00", sub="plain-sub")) == (
        400,
        "INVALID_PAYLOAD",
    )


async def test_unknown_subscription_is_not_acknowledged(app: App) -> None:
    assert await code(PushEndpoint(app.pubsub, token="s3cret"), push(sub="other-sub")) == (404, "UNKNOWN_SUBSCRIPTION")


async def test_b4_endpoint_without_token_and_oidc_refuses_everything(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub)
    for headers in ({}, TOKEN, {"X-Pubsub-Token": ""}):
        assert await code(endpoint, push(), headers) == (503, "CLOSED")
    assert app.seen == []


@pytest.mark.parametrize("token", ["", " "])
def test_empty_token_is_an_error(token: str) -> None:
    with pytest.raises(PubSubDefinitionError):
        PushEndpoint(App().pubsub, token=token)


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "bearer s3cret"}, {"X-PUBSUB-TOKEN": "s3cret"}, {"x-pubsub-token": "s3cret"}],
)
async def test_token_is_taken_from_either_header(app: App, headers: dict[str, str]) -> None:
    assert (await answer(PushEndpoint(app.pubsub, token="s3cret"), push(), headers))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "s3cret"},
        {"Authorization": "Basic s3cret"},
        {"X-Pubsub-Token": "s3cre"},
        {"x-pubsub-token": "ÿ"},
    ],
)
async def test_wrong_token_is_refused_before_the_body_is_looked_at(app: App, headers: dict[str, str]) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    assert await code(endpoint, b"not json", headers) == (401, "UNAUTHORIZED")


# OIDC


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
        "sub": "1",
        **changes,
    }


def bearer(payload: dict[str, Any], *, key: Any = KEY, kid: str | None = "k1", alg: str = "RS256") -> dict[str, str]:
    headers = {"kid": kid} if kid else {}
    return {"Authorization": f"Bearer {jwt.encode(payload, key, algorithm=alg, headers=headers)}"}


def jwks() -> dict[str, Any]:
    numbers = KEY.public_key().public_numbers()

    def text(number: int) -> str:
        raw = number.to_bytes((number.bit_length() + 7) // 8)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return {"keys": [{"kty": "RSA", "kid": "k1", "alg": "RS256", "n": text(numbers.n), "e": text(numbers.e)}]}


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def public_key() -> str:
    return KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip


def endpoint_of(app: App, keys: Mapping[str, Any] | None = None, **options: Any) -> PushEndpoint:
    oidc = Oidc(audience=AUDIENCE, service_account=ACCOUNT, keys=keys or jwks())
    return PushEndpoint(app.pubsub, oidc=oidc, **options)


@pytest.mark.parametrize("keys", [jwks(), {"k1": certificate()}, {"k1": public_key()}], ids=["jwks", "cert", "pem"])
async def test_good_oidc_token_is_let_in(app: App, keys: dict[str, Any]) -> None:
    assert (await answer(endpoint_of(app, keys), push(), bearer(claims())))[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example"},
        {"aud": [AUDIENCE]},
        {"email": "other@project.iam.gserviceaccount.com"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": True},
        {"iat": 4_000_000_000},
        {"iat": None},
    ],
    ids=str,
)
async def test_oidc_claim_that_is_wrong_is_refused(app: App, changes: dict[str, Any]) -> None:
    assert await code(endpoint_of(app), push(), bearer(claims(**changes))) == (401, "UNAUTHORIZED")
    assert app.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        bearer(claims(), key=OTHER),
        bearer(claims(), kid="k2"),
        bearer(claims(), kid=None),
        bearer(claims(), key="x" * 64, alg="HS256"),
        bearer(claims(), key=None, alg="none"),
        bearer(claims(), alg="RS512"),
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer ..."},
        {"Authorization": "Bearer " + "a" * 100_000},
        {"Authorization": "Bearer é.é.é"},
        {"X-Pubsub-Token": "x"},
        {},
    ],
    ids=range(12),
)
async def test_forged_oidc_token_is_refused(app: App, headers: dict[str, str]) -> None:
    assert await code(endpoint_of(app), push(), headers) == (401, "UNAUTHORIZED")


async def test_every_changed_character_of_a_token_is_noticed(app: App) -> None:
    endpoint = endpoint_of(app)
    good = bearer(claims())["Authorization"]
    refused = 0
    places = [place for place in range(7, len(good) - 1, 7) if good[place] != "."]
    for place in places:  # the last character may carry padding bits only
        forged = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        refused += (await answer(endpoint, push(), {"Authorization": forged}))[0] == 401
    assert refused == len(places)


async def test_with_both_token_and_oidc_both_are_needed(app: App) -> None:
    endpoint = endpoint_of(app, token="s3cret")
    good = bearer(claims())
    assert (await answer(endpoint, push(), good))[0] == 401
    assert (await answer(endpoint, push(), TOKEN))[0] == 401
    assert (await answer(endpoint, push(), {**good, "X-Pubsub-Token": "s3cret"}))[0] == 200


async def test_keys_that_cannot_be_fetched_refuse(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    endpoint = PushEndpoint(app.pubsub, oidc=Oidc(audience=AUDIENCE, service_account=ACCOUNT))
    assert await code(endpoint, push(), bearer(claims())) == (503, "KEYS_UNAVAILABLE")


@pytest.mark.parametrize("keys", [{"keys": [{}]}, {"k1": "no pem"}, {"keys": [{"kty": "RSA", "kid": "1", "n": "*"}]}])
def test_keys_that_cannot_be_read_are_an_error(keys: dict[str, Any]) -> None:
    if keys == {"keys": [{}]}:
        assert endpoint_of(App(), keys)  # of another kind than RSA: not for us
        return
    with pytest.raises(PubSubDefinitionError):
        endpoint_of(App(), keys)


@pytest.mark.parametrize(("audience", "account"), [("", ACCOUNT), (AUDIENCE, "")])
def test_oidc_without_audience_or_account_is_an_error(audience: str, account: str) -> None:
    with pytest.raises(PubSubDefinitionError):
        Oidc(audience=audience, service_account=account)


# ASGI


async def request(
    endpoint: PushEndpoint, *chunks: bytes, method: str = "POST", headers: Mapping[str, str] = TOKEN
) -> list[dict[str, Any]]:
    parts = list(chunks)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(event: Any) -> None:
        sent.append(event)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await endpoint({"type": "http", "method": method, "headers": raw}, receive, send)
    return sent


async def test_asgi_application_answers(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    body = push()

    start, end = await request(endpoint, body[:20], body[20:])

    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"] == b"application/json"
    assert json.loads(end["body"])["handled"] is True


async def test_asgi_refuses_other_methods_and_bodies_that_are_too_large(app: App) -> None:
    endpoint = PushEndpoint(app.pubsub, token="s3cret")
    assert (await request(endpoint, b"", method="GET"))[0]["status"] == 405
    assert (await request(endpoint, *[b"x" * 2**20] * 20))[0]["status"] == 413
    assert await request(endpoint) == []
    with pytest.raises(PubSubDefinitionError):
        await endpoint({"type": "websocket"}, None, None)  # type: ignore[arg-type]
