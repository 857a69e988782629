"""Resend (resend.com), through its HTTP API.

Source: https://resend.com/docs/api-reference/emails/send-email. `POST /emails` with the key as bearer token; the
`Idempotency-Key` header makes retries safe for 24 hours. Redirects are not followed: they would carry the key away.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import anyio.to_thread
import msgspec

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.extras import require_module
from undercroft._core.url import Url
from undercroft.email._errors import BadAnswerError, TransportUnavailableError
from undercroft.email._protocol import Address, OutgoingEmail, SendReceipt
from undercroft.email._resend_errors import Answer, check, fields_of

_HOST = "api.resend.com"
_MAX_ANSWER_BYTES = 65_536
# Letters of any alphabet need no quotes; anything else could be read as a second address.
_PLAIN_NAME = re.compile(r"[\w !#$%&'*+/=?^`{|}~-]+")


class ResendOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a `resend://` URL."""

    timeout_s: float = 15.0
    """For one message, from the connection to the whole answer."""
    tls: Literal["on", "off"] = "on"
    """`off` speaks HTTP, for a stand-in on this machine only."""


class ResendTransport:
    """Sends through Resend. Enter it before use; keeps connections open between messages; safe for many tasks.

    The key is in no `repr`, error or log line.
    """

    name = "resend"
    default_from: str | None = None
    is_idempotent = True

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = f"https://{_HOST}",
        timeout: Duration = 15.0,
        clock: Clock | None = None,
    ) -> None:
        """Take the settings; does no I/O.

        Raises:
            ConfigError: No key, one with spaces or control characters, or plain HTTP to another machine.
            MissingExtraError: httpx2 is not installed.
        """
        self._http = require_module("httpx2", extra="resend", needed_for="the resend:// transport")
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ConfigError(
                "resend:// has no usable API key", hint="set RESEND_API_KEY, or resend://:KEY@api.resend.com"
            )
        self.base_url = base_url.rstrip("/")
        _check_base(self._http.URL(self.base_url))
        self._api_key = api_key
        self._timeout_s = to_seconds(timeout, name="timeout")
        self._clock = clock or SystemClock()
        self._client: Any = None

    @classmethod
    def from_url(cls, url: Url, *, what: str = "URL") -> Self:
        """Return the transport of `resend://:KEY@api.resend.com`; the host may be left out.

        Raises:
            UrlError: An unknown option, or one with a wrong value.
            ConfigError: No key in the URL.
        """
        options = url.options_as(ResendOptions, what=what)
        if not url.password:
            raise ConfigError(
                f"{what}: resend:// has no API key", hint="set RESEND_API_KEY, or resend://:KEY@api.resend.com"
            )
        port = f":{url.port}" if url.port else ""
        scheme = "https" if options.tls == "on" else "http"
        base = f"{scheme}://{url.host or _HOST}{port}{url.path}"
        return cls(url.password, base_url=base, timeout=options.timeout_s)

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        """Hand the message over to Resend; returns when it has answered with an id.

        Raises:
            SendRefusedError: 4xx; with Resend's own words.
            TransportAuthError: It does not know the key, or the key may not send.
            TransportUnavailableError: 429 (with `retry_after`), 5xx, or no answer.
            BadAnswerError: An answer without an id, or a redirect.
        """
        extra = {} if message.idempotency_key is None else {"Idempotency-Key": message.idempotency_key}
        answer = await self._request("POST", "/emails", json=payload(message), headers=extra)
        check(answer, key=self._api_key, now=self._clock.time())
        provider_id = fields_of(answer.body).get("id")
        if not isinstance(provider_id, str) or not provider_id:
            raise BadAnswerError("Resend's answer has no id", transport=self.name, may_have_been_sent=True)
        return SendReceipt(id=message.id, transport=self.name, provider_id=provider_id, accepted=message.recipients)

    async def ping(self) -> None:
        """Ask Resend for the domains of the key. A key that may only send is refused that, and is fine.

        Raises:
            EmailError: As `send`.
        """
        answer = await self._request("GET", "/domains")
        if answer.status == 401 and fields_of(answer.body).get("name") == "restricted_api_key":
            return
        check(answer, key=self._api_key, now=self._clock.time())

    async def __aenter__(self) -> Self:
        if self._client is None:
            # Reading the certificates takes tens of milliseconds of disk and CPU.
            self._client = await anyio.to_thread.run_sync(self._make_client)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def __repr__(self) -> str:
        return f"ResendTransport({self.base_url!r})"

    def _make_client(self) -> Any:
        return self._http.AsyncClient(
            timeout=self._timeout_s,
            follow_redirects=False,
            headers={
                "Authorization": f"Bearer {self._api_key}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # answers are small, and bounded as they come
                "User-Agent": "undercroft",
            },
        )

    async def _request(self, method: str, path: str, **parts: Any) -> Answer:
        if self._client is None:
            raise NotOpenError("the resend transport is not open", hint="use it inside `async with`")
        async with self._translated(is_sending=method == "POST"):
            with anyio.fail_after(self._timeout_s):
                async with self._client.stream(method, f"{self.base_url}{path}", **parts) as response:
                    body = b""
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > _MAX_ANSWER_BYTES:
                            raise BadAnswerError(
                                f"Resend's answer is longer than {_MAX_ANSWER_BYTES} bytes",
                                transport=self.name,
                                may_have_been_sent=True,
                            )
        return Answer(status=response.status_code, headers=response.headers, body=body)

    @asynccontextmanager
    async def _translated(self, *, is_sending: bool) -> AsyncIterator[None]:
        http = self._http
        try:
            yield
        except (http.ConnectError, http.ConnectTimeout, http.PoolTimeout) as exc:
            raise TransportUnavailableError("Resend cannot be reached", transport=self.name) from exc
        except (TimeoutError, http.TimeoutException) as exc:
            raise TransportUnavailableError(
                f"Resend did not answer within {self._timeout_s:g}s", transport=self.name, may_have_been_sent=is_sending
            ) from exc
        except (http.DecodingError, http.RemoteProtocolError) as exc:
            raise BadAnswerError(
                "Resend's answer is not HTTP, or was cut off", transport=self.name, may_have_been_sent=is_sending
            ) from exc
        except http.HTTPError as exc:
            raise TransportUnavailableError(
                "the connection to Resend broke", transport=self.name, may_have_been_sent=is_sending
            ) from exc


def payload(message: OutgoingEmail) -> dict[str, Any]:
    """Return the body of `POST /emails`. The same message gives the same body, as a repeated key needs."""
    body: dict[str, Any] = {
        "from": _mailbox(message.sender),
        "to": [_mailbox(address) for address in message.to],
        "subject": message.subject,
        "html": message.html,
        "text": message.text,
        "headers": {**dict(message.headers), "Auto-Submitted": "auto-generated"},
    }
    for name, addresses in (("cc", message.cc), ("bcc", message.bcc), ("reply_to", message.reply_to)):
        if addresses:
            body[name] = [_mailbox(address) for address in addresses]
    if message.attachments:
        body["attachments"] = [
            {
                "filename": attachment.filename,
                "content": base64.b64encode(attachment.content).decode("ascii"),
                "content_type": attachment.content_type,
            }
            for attachment in message.attachments
        ]
    return body


def _mailbox(address: Address) -> str:
    if not address.name:
        return address.email
    if _PLAIN_NAME.fullmatch(address.name):
        return f"{address.name} <{address.email}>"
    escaped = address.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address.email}>'


def _check_base(url: Any) -> None:
    is_local = url.host in {"localhost", "127.0.0.1", "::1"}
    if url.scheme != "https" and not (url.scheme == "http" and is_local):
        raise ConfigError(
            "resend:// would send the key in plain text", hint="tls=off is for a host on this machine only"
        )
