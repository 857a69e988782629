"""The email module's public types, as a type checker sees them."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from undercroft.email import (
    Address,
    Attachment,
    Email,
    EmailOptions,
    Refusal,
    RenderedEmail,
    SendReceipt,
    Template,
    Transport,
    Url,
    load_template,
    open_transport,
    parse_address,
    parse_template,
    render_template,
    send_email,
)
from undercroft.email.inbox import InboxEntry, InboxMessage, InboxTransport
from undercroft.email.resend import ResendTransport
from undercroft.email.smtp import SmtpTransport


async def every_form_of_send() -> None:
    assert_type(await send_email("welcome", {"to": "a@b.c", "data": {"name": "Ann", "n": 5}}), SendReceipt)
    assert_type(await send_email("welcome", to="a@b.c", data={"user": {"name": "Ann"}}, locale="de"), SendReceipt)
    assert_type(await send_email(to=["a@b.c", Address("d@e.f", "D")], subject="Hi", body="*Hi*"), SendReceipt)
    assert_type(await send_email({"to": "a@b.c", "from": "x@y.z", "subject": "Hi", "body": "Hi"}), SendReceipt)
    await send_email(to="a@b.c", subject="Hi", html="<p>Hi</p>", text="Hi", from_="x@y.z", cc=["c@d.e"], bcc="b@c.d")
    await send_email(to="a@b.c", subject="Hi", body="x", attachments=[Attachment("a.pdf", b"", "application/pdf")])
    await send_email(to="a@b.c", subject="Hi", body="x", headers={"X-A": "b"}, idempotency_key="k", reply_to="r@s.t")

    await send_email("a@b.c", "Hi", "text")  # E: call-overload
    await send_email("a@b.c", "Hi")  # E: call-overload
    await send_email(to="a@b.c", subject="Hi", boddy="x")  # E: call-overload
    await send_email(to=5, subject="Hi", body="x")  # E: call-overload
    await send_email(subject="Hi", body="x")  # E: call-overload
    await send_email({"subject": "Hi", "body": "x"})  # E: call-overload
    await send_email(to="a@b.c", subject="Hi", body="x", attachments=[b"data"])  # E: list-item


async def options_can_be_built_first() -> None:
    options: EmailOptions = {"to": "a@b.c", "subject": "Hi", "body": "x"}
    await send_email(options)
    wrong: EmailOptions = {"to": "a@b.c", "sujbect": "Hi"}  # E: typeddict-unknown-key
    nobody: EmailOptions = {"subject": "Hi"}  # E: typeddict-item


async def receipts_and_templates(email: Email) -> None:
    receipt = await email.send("welcome", to="a@b.c")
    assert_type(receipt.id, str)
    assert_type(receipt.provider_id, str | None)
    assert_type(receipt.accepted, tuple[str, ...])
    assert_type(receipt.refused, tuple[Refusal, ...])
    receipt.id = "other"  # E: misc

    template = await load_template("welcome", "de")
    assert_type(template, Template)
    assert_type(await email.load_template("welcome"), Template)
    rendered = render_template(template, {"name": "Ann"}, missing="keep")
    assert_type(rendered, RenderedEmail)
    assert_type(rendered.body, str)
    render_template(parse_template("Hi {{name}}"), {"name": "Ann"}, missing="kep")  # E: arg-type
    render_template("welcome", {"name": "Ann"})  # E: arg-type


def transports() -> None:
    assert_type(open_transport(Url.parse("inbox:///mail"), what="EMAIL"), Transport)
    assert_type(parse_address("Ann <a@b.c>"), Address)
    for transport in (InboxTransport("mail"), SmtpTransport("localhost"), ResendTransport("re_key")):
        Email(transport, from_="a@b.c", templates=["emails", Path("more")])
    as_protocol: Transport = SmtpTransport("localhost", 25, starttls="off")
    open_transport("inbox:///mail", what="EMAIL")  # E: arg-type
    SmtpTransport("localhost", starttls="never")  # E: arg-type
    Email("inbox:///mail")  # E: arg-type


async def reading_the_inbox(inbox: InboxTransport) -> None:
    assert_type(await inbox.list_messages(limit=5), tuple[InboxEntry, ...])
    assert_type(await inbox.get_message("id"), InboxMessage | None)
