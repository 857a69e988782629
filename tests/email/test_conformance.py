"""The promises of a transport, kept by each of ours, over real files and sockets."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from tests.email._certificates import Certificate
from tests.email._http import Recorder, recorder
from tests.email._smtp import PASSWORD, USER, SmtpServer, smtp_server
from undercroft.email import Transport, Url, open_transport
from undercroft.email.inbox import InboxTransport
from undercroft.testing.conformance.email import Delivered, EmailTransportConformance


def parse(raw: bytes, recipients: Sequence[str]) -> Delivered:
    """Read a message with the standard library, as a mail program would."""
    message = message_from_bytes(raw)
    texts: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for part in message_from_bytes(raw, policy=policy.default).walk():
        if part.get_filename() is not None:
            files[part.get_filename()] = part.get_payload(decode=True)
        elif not part.is_multipart():
            texts[part.get_content_type()] = part.get_payload(decode=True).decode().replace("\r\n", "\n")
    headers = {name.lower(): _decode(value) for name, value in message.items()}
    return Delivered(
        recipients=tuple(recipients),
        headers=headers,
        text=texts["text/plain"],
        html=texts["text/html"],
        attachments=files,
    )


def _decode(value: str) -> str:
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", value)
    return str(make_header(decode_header(unfolded))) if "=?" in unfolded else unfolded


@dataclass
class InboxRig:
    transport: InboxTransport

    async def delivered(self) -> list[Delivered]:
        found = []
        for entry in await self.transport.list_messages():
            stored = await self.transport.get_message(entry.id)
            found.append(parse(stored.raw, entry.recipients))
        return found

    async def break_off(self) -> None:
        directory = self.transport.directory
        directory.rename(directory.with_name("gone"))
        directory.write_text("a file is in the way")


class TestInbox(EmailTransportConformance):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[InboxRig]:
        async with open_transport(Url(scheme="inbox", path=f"/{tmp_path}/box"), what="test") as transport:
            yield InboxRig(transport)


@dataclass
class SmtpRig:
    transport: Transport
    server: SmtpServer

    async def delivered(self) -> list[Delivered]:
        return [parse(envelope.content, envelope.rcpt_tos) for envelope in self.server.mailbox.envelopes]

    async def break_off(self) -> None:
        self.server.stop()


@asynccontextmanager
async def smtp_rig(certificate: Certificate, scheme: str) -> AsyncIterator[SmtpRig]:
    context = certificate.server_context()
    tls = {"starttls": context} if scheme == "smtp" else {"implicit_tls": context}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(smtp_server(**tls, needs_login=scheme == "smtp"))
        url = Url(
            scheme=scheme,
            user=USER if scheme == "smtp" else None,
            password=PASSWORD if scheme == "smtp" else None,
            host="localhost",
            port=server.port,
            options={"ca_file": str(certificate.certificate), "timeout_s": "10", "local_hostname": "test.example"},
        )
        transport = await stack.enter_async_context(open_transport(url, what="test"))
        yield SmtpRig(transport, server)
        assert all(server.mailbox.was_tls) or scheme == "smtp+tls"


class TestSmtpWithStartTlsAndLogin(EmailTransportConformance):
    @pytest.fixture
    async def rig(self, certificate: Certificate) -> AsyncIterator[SmtpRig]:
        async with smtp_rig(certificate, "smtp") as rig:
            yield rig


class TestSmtpWithImplicitTls(EmailTransportConformance):
    @pytest.fixture
    async def rig(self, certificate: Certificate) -> AsyncIterator[SmtpRig]:
        async with smtp_rig(certificate, "smtp+tls") as rig:
            yield rig


@dataclass
class ResendRig:
    transport: Transport
    recorder: Recorder

    async def delivered(self) -> list[Delivered]:
        return [_from_json(request.json) for request in self.recorder.accepted]

    async def break_off(self) -> None:
        self.recorder.stop()


class TestResend(EmailTransportConformance):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[ResendRig]:
        async with recorder() as server:
            url = Url(scheme="resend", password="re_key", host="127.0.0.1", port=server.port, options={"tls": "off"})
            async with open_transport(url, what="test") as transport:
                yield ResendRig(transport, server)


def _from_json(body: Mapping[str, object]) -> Delivered:
    def join(name: str) -> str:
        return ", ".join(body.get(name, []))

    everyone = [re.sub(r".*<(.*)>", r"\1", address) for name in ("to", "cc", "bcc") for address in body.get(name, [])]
    shown = {"from": body["from"], "to": join("to"), "cc": join("cc"), "reply-to": join("reply_to")}
    return Delivered(
        recipients=tuple(dict.fromkeys(everyone)),
        headers={**shown, "subject": body["subject"], **{k.lower(): v for k, v in body["headers"].items()}},
        text=body["text"],
        html=body["html"],
        attachments={file["filename"]: base64.b64decode(file["content"]) for file in body.get("attachments", [])},
    )
