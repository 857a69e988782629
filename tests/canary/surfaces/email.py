"""Mail: sent, refused and unreachable. The inbox and the wire hold the mail itself, which is exempt."""

from __future__ import annotations

import socket

from tests.canary._world import World
from tests.email._http import answer, recorder
from tests.email._smtp import scripted_smtp
from undercroft import Infra
from undercroft._core.errors import UndercroftError
from undercroft._core.url import Url
from undercroft.email import send_email


async def drive(world: World) -> None:
    recipient = world.secret("mail.recipient")
    await _send(world, {}, recipient)
    async with scripted_smtp(
        RCPT=f"550 mark-refused <{recipient}> at https://u:{world.secret('mail.refusal')}@help.example"
    ) as port:
        await _send(world, {"SMTP_URL": _smtp(world, port)}, recipient)
    async with scripted_smtp(AUTH="535 mark-refused wrong", EHLO="250-x\r\n250 AUTH PLAIN LOGIN") as port:
        await _send(world, {"SMTP_URL": _smtp(world, port)}, recipient)
    await _send(world, {"SMTP_URL": _smtp(world, _closed_port())}, recipient)
    echo = {"name": "validation_error", "message": f"mark-refused {world.secret('mail.key')} for {recipient}"}
    async with recorder() as resend:
        resend.respond = lambda request: answer(422, echo)
        url = f"resend://:{world.secret('mail.key')}@127.0.0.1:{resend.port}?tls=off"
        await _send(world, {"UNDERCROFT_EMAIL": url}, recipient)
    world.expect("mark-refused", "email")


async def _send(world: World, environ: dict[str, str], recipient: str) -> None:
    async with Infra(environ=environ, email_from="shop@example.com", home=world.home) as infra:
        world.take("repr", infra.email, infra.email.transport)
        try:
            await send_email(
                to=recipient,
                subject="Your order",
                body=f"https://shop.example/reset?token={world.secret('mail.link')} {world.secret('mail.card')}",
            )
        except UndercroftError as error:
            # Whoever sent it must learn which recipient was refused. Lines and reports are read by others.
            world.take("errors", *(text.replace(recipient, "<recipient>") for text in (str(error), repr(error))))
        report = await infra.health.run()
        world.take("health", report)


def _smtp(world: World, port: int) -> str:
    url = Url(
        scheme="smtp",
        user="shop",
        password=world.secret("mail.password"),
        host="127.0.0.1",
        port=port,
        options={"starttls": "off", "timeout_s": "1"},
    )
    return url.reveal()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
