"""Resend: the request is the vendor's own, and every answer has its error."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import resend

from tests.email._http import CUT, STALL, Recorder, answer, recorder
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft.email import (
    Address,
    Attachment,
    BadAnswerError,
    SendRefusedError,
    TransportAuthError,
    TransportUnavailableError,
    Url,
    open_transport,
)
from undercroft.email.resend import ResendTransport
from undercroft.testing.conformance.email import message

pytestmark = pytest.mark.anyio
KEY = "re_s3cret_0123456789"


@asynccontextmanager
async def talking_to(respond: object = None, **options: object) -> AsyncIterator[tuple[ResendTransport, Recorder]]:
    async with recorder() as server:
        server.respond = respond if callable(respond) or respond is None else lambda _: respond
        base = f"http://127.0.0.1:{server.port}"
        async with ResendTransport(KEY, base_url=base, **{"timeout": 5.0, **options}) as transport:
            yield transport, server


async def test_request_is_the_one_of_the_vendor_s_own_client(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = message(
        sender=Address("shop@shop.example", "Shop, Ltd."),
        to=(Address("a@x.example", "Änn"), Address("b@x.example")),
        cc=(Address("c@x.example"),),
        bcc=(Address("d@x.example"),),
        reply_to=(Address("desk@shop.example"),),
        subject="Grüße",
        headers=(("X-Campaign", "autumn"),),
        attachments=(Attachment("größe.pdf", b"\x00\xff%PDF", "application/pdf"),),
        idempotency_key="order/42",
    )
    params: resend.Emails.SendParams = {
        "from": '"Shop, Ltd." <shop@shop.example>',
        "to": ["Änn <a@x.example>", "b@x.example"],
        "cc": ["c@x.example"],
        "bcc": ["d@x.example"],
        "reply_to": ["desk@shop.example"],
        "subject": "Grüße",
        "html": sent.html,
        "text": sent.text,
        "headers": {"X-Campaign": "autumn", "Auto-Submitted": "auto-generated"},
        "attachments": [
            {
                "filename": "größe.pdf",
                "content": base64.b64encode(b"\x00\xff%PDF").decode(),
                "content_type": "application/pdf",
            }
        ],
    }
    async with talking_to() as (transport, server):
        monkeypatch.setattr(resend, "api_url", f"http://127.0.0.1:{server.port}")
        monkeypatch.setattr(resend, "api_key", KEY)

        await transport.send(sent)
        await anyio.to_thread.run_sync(lambda: resend.Emails.send(params, {"idempotency_key": "order/42"}))

    ours, theirs = server.requests
    for part in ("method", "path", "json"):
        assert getattr(ours, part) == getattr(theirs, part)
    for header in ("authorization", "idempotency-key", "content-type", "accept"):
        assert ours.headers[header] == theirs.headers[header]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Änn Böll", "Änn Böll <a@x.example>"),
        ("", "a@x.example"),
        ("Änn, B.", '"Änn, B." <a@x.example>'),
        ("Ä <evil@x.example>, b", '"Ä <evil@x.example>, b" <a@x.example>'),
        ('"\\', '"\\"\\\\" <a@x.example>'),
        ("x" * 200, "x" * 200 + " <a@x.example>"),
    ],
)
async def test_name_cannot_become_a_second_address(name: str, written: str) -> None:
    async with talking_to() as (transport, server):
        await transport.send(message(to=(Address("a@x.example", name),)))

    assert server.requests[0].json["to"] == [written]


async def test_same_message_again_gives_the_same_body() -> None:
    async with talking_to() as (transport, server):
        sent = message(idempotency_key="k")
        await transport.send(sent)
        await transport.send(sent)

    assert server.requests[0].body == server.requests[1].body
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"name": "validation_error", "message": "bad"}, SendRefusedError),
        (403, {"name": "validation_error", "message": "The shop.example domain is not verified."}, SendRefusedError),
        (409, {"name": "invalid_idempotent_request", "message": "differs"}, SendRefusedError),
        (422, {"name": "invalid_from_address", "message": "bad from"}, SendRefusedError),
        (422, b"<html>not json</html>", SendRefusedError),
        (404, [], SendRefusedError),
        (401, {"name": "missing_api_key", "message": "no key"}, TransportAuthError),
        (403, {"name": "invalid_api_key", "message": "bad key"}, TransportAuthError),
        (401, b"", TransportAuthError),
        (408, {}, TransportUnavailableError),
        (409, {"name": "concurrent_idempotent_requests", "message": "wait"}, TransportUnavailableError),
        (429, {"name": "rate_limit_exceeded", "message": "slow"}, TransportUnavailableError),
        (500, {"name": "application_error", "message": "oops"}, TransportUnavailableError),
        (502, b"<html>bad gateway</html>", TransportUnavailableError),
        (503, b"\xff\xfe", TransportUnavailableError),
        (301, b"", BadAnswerError),
        (200, b"not json", BadAnswerError),
        (200, b"", BadAnswerError),
        (200, {}, BadAnswerError),
        (200, [1], BadAnswerError),
        (200, {"id": 5}, BadAnswerError),
        (200, b"[" * 60_000, BadAnswerError),
        (200, b"x" * 200_000, BadAnswerError),
    ],
)
async def test_answer_has_its_error(status: int, body: object, expected: type[Exception]) -> None:
    async with talking_to(answer(status, body)) as (transport, _):
        with pytest.raises(expected) as error:
            await transport.send(message())

    assert type(error.value) is expected
    if isinstance(body, dict) and status >= 400 and "message" in body:
        assert body["message"] in str(error.value)


async def test_redirect_does_not_carry_the_key_away() -> None:
    async with recorder() as other:
        moved = answer(307, b"", f"Location: http://127.0.0.1:{other.port}/emails")
        async with talking_to(moved) as (transport, server):
            with pytest.raises(BadAnswerError, match="redirects are not followed"):
                await transport.send(message())

        assert (len(server.requests), len(other.requests)) == (1, 0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999", 86400.0),
        ("Sun, 15 Jun 2025 15:07:20 GMT", 600.0),
        ("Sun, 15 Jun 2020 15:07:20 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
async def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    busy = answer(429, {"name": "rate_limit_exceeded", "message": "slow"}, f"Retry-After: {value}")
    async with talking_to(busy, clock=VirtualClock(1_749_999_440.0)) as (transport, _):
        with pytest.raises(TransportUnavailableError) as error:
            await transport.send(message())

    assert error.value.retry_after == seconds
    assert (error.value.status, error.value.may_have_been_sent) == (429, False)


async def test_key_is_in_no_error_and_no_repr() -> None:
    echo = answer(422, {"name": "validation_error", "message": f"the key {KEY} said x\r\n\x1b[31m"})
    async with talking_to(echo) as (transport, _):
        with pytest.raises(SendRefusedError) as error:
            await transport.send(message())

    shown = f"{error.value} {error.value!r} {transport!r} {vars(error.value)}"
    assert KEY not in shown
    assert "the key *** said" in shown
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (CUT, BadAnswerError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BadAnswerError),
        (b"\x00\x01\x02\x03" * 100 + b"\r\n\r\n", BadAnswerError),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"id"', BadAnswerError),
    ],
)
async def test_broken_answer_may_have_been_sent(reply: bytes, expected: type[Exception]) -> None:
    async with talking_to(reply) as (transport, _):
        with pytest.raises(expected) as error:
            await transport.send(message())

    assert error.value.may_have_been_sent


async def test_stall_ends_at_the_deadline() -> None:
    with anyio.fail_after(5):
        async with talking_to(STALL, timeout=0.3) as (transport, _):
            with pytest.raises(TransportUnavailableError, match=r"did not answer within 0\.3s") as error:
                await transport.send(message())

    assert error.value.may_have_been_sent


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"data": []}, None),
        (401, {"name": "restricted_api_key", "message": "only send"}, None),
        (403, {"name": "invalid_api_key", "message": "bad"}, TransportAuthError),
        (500, {}, TransportUnavailableError),
    ],
)
async def test_ping_knows_a_good_key(status: int, body: object, expected: type[Exception] | None) -> None:
    async with talking_to(answer(status, body)) as (transport, server):
        if expected is None:
            await transport.ping()
        else:
            with pytest.raises(expected):
                await transport.ping()

    assert [(request.method, request.path) for request in server.requests] == [("GET", "/domains")]


async def test_use_before_it_is_entered_is_an_error() -> None:
    with pytest.raises(NotOpenError):
        await ResendTransport(KEY).send(message())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("resend://", "RESEND_API_KEY"),
        ("resend://user@api.resend.com", "no API key"),
        (f"resend://:{KEY}@api.resend.com?tls=off", "plain text"),
        (f"resend://:{KEY}@api.resend.com?timeout=5", "near: timeout_s"),
        ("resend://:a%20b@api.resend.com", "no usable API key"),
        ("resend://:a%0Ab@api.resend.com", "no usable API key"),
    ],
)
def test_wrong_url_says_what_is_wrong_without_the_key(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_transport(Url.parse(url), what="UNDERCROFT_EMAIL")

    assert words in str(error.value)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (f"resend://:{KEY}@api.resend.com", "https://api.resend.com"),
        (f"resend://:{KEY}@", "https://api.resend.com"),
        (f"resend://:{KEY}@proxy.example:8443/resend/", "https://proxy.example:8443/resend"),
        (f"resend://:{KEY}@localhost:8080?tls=off", "http://localhost:8080"),
    ],
)
def test_url_chooses_the_host(url: str, base: str) -> None:
    assert open_transport(Url.parse(url), what="x").base_url == base
