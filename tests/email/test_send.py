"""The ways to call send, and what comes of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from undercroft._core.bound import bind
from undercroft._core.context import Correlation, Trace, correlate
from undercroft._core.errors import NotBoundError, NotOpenError
from undercroft.email import (
    Attachment,
    Email,
    InvalidAddressError,
    InvalidMessageError,
    NoSenderError,
    Refusal,
    SendRefusedError,
    TransportUnavailableError,
    Url,
    load_template,
    open_transport,
    render_template,
    send_email,
)
from undercroft.email.inbox import InboxMessage, InboxTransport
from undercroft.email.smtp import SmtpTransport

pytestmark = pytest.mark.anyio

DATA = {"name": "John", "appName": "My App", "loginUrl": "https://myapp.com/login"}


async def newest(inbox: InboxTransport) -> InboxMessage:
    entry = (await inbox.list_messages(limit=1))[0]
    message = await inbox.get_message(entry.id)
    assert message is not None
    return message


@pytest.mark.parametrize(
    ("args", "fields"),
    [
        (("welcome", {"to": "a@b.c", "data": DATA}), {}),
        (("welcome",), {"to": "a@b.c", "data": DATA, "locale": "de"}),
        (("welcome",), {"to": ["a@b.c"], "data": DATA, "cc": None}),
    ],
)
async def test_template_is_sent_in_every_form(email: Email, inbox: InboxTransport, args, fields) -> None:
    await email.send(*args, **fields)

    sent = await newest(inbox)
    assert sent.entry.subject == "Welcome to My App!"
    assert "Welcome to My App! We're excited to have you." in sent.text
    assert "Sign in to your account (https://myapp.com/login)" in sent.text
    assert '<a href="https://myapp.com/login">Sign in to your account</a>' in sent.html
    assert sent.entry.template == "welcome"


@pytest.mark.parametrize(
    ("args", "fields"),
    [
        ((), {"to": "a@b.c", "subject": "Hi", "body": "Some *Markdown*."}),
        (({"to": "a@b.c", "subject": "Hi", "body": "Some *Markdown*."},), {}),
        (({"to": "a@b.c", "from": "x@y.z", "subject": "Hi", "body": "Some *Markdown*."},), {}),
    ],
)
async def test_markdown_body_becomes_both_parts(email: Email, inbox: InboxTransport, args, fields) -> None:
    await email.send(*args, **fields)

    sent = await newest(inbox)
    assert "<p>Some <em>Markdown</em>.</p>" in sent.html
    assert sent.text == "Some Markdown.\n"


async def test_password_reset_of_the_seeds_has_a_link(email: Email, inbox: InboxTransport) -> None:
    url = "https://myapp.com/reset?token=abc123"
    await email.send({"to": "user@example.com", "subject": "Password Reset", "body": f"Click below:\n\n{url}"})

    sent = await newest(inbox)
    assert f'<a href="{url}">' in sent.html
    assert sent.text == f"Click below:\n\n{url}\n"


async def test_rendered_body_is_not_read_as_markdown_again(email: Email, inbox: InboxTransport) -> None:
    template = await email.load_template("welcome")
    rendered = render_template(template, {**DATA, "name": "[x](https://evil.example) {{name}}"})

    await email.send(to="a@b.c", subject=rendered.subject, body=rendered.body)

    sent = await newest(inbox)
    assert sent.text == rendered.body == rendered.text
    assert sent.html == rendered.html
    assert 'href="https://evil.example"' not in sent.html


async def test_text_alone_gets_an_html_part(email: Email, inbox: InboxTransport) -> None:
    await email.send(to="a@b.c", subject="Hi", text="a <b>\n  c")

    sent = await newest(inbox)
    assert sent.text == "a <b>\n  c"
    assert "a &lt;b&gt;\n  c" in sent.html


async def test_html_alone_gets_a_text_part(email: Email, inbox: InboxTransport) -> None:
    html = "<h1>Hi</h1><style>x{}</style><p>a <a href='https://x.y'>b</a></p><ul><li>c<li>d</ul>"
    await email.send(to="a@b.c", subject="Hi", html=html)

    sent = await newest(inbox)
    assert sent.html == html
    assert sent.text == "Hi\n\na b (https://x.y)\n\n- c\n- d\n"


async def test_curly_braces_in_a_body_are_text(email: Email, inbox: InboxTransport) -> None:
    await email.send(to="a@b.c", subject="{{x}}", body="{{ y }} {{")

    sent = await newest(inbox)
    assert (sent.entry.subject, sent.text) == ("{{x}}", "{{ y }} {{\n")


@pytest.mark.parametrize(
    ("args", "fields", "expected"),
    [
        (("a@b.c", "Hi", "text"), {}, "at most a template and a mapping"),
        (("a@b.c", "Hi"), {}, "(str, str)"),
        ((1,), {}, "(int)"),
        (({"to": "a@b.c"},), {"subject": "x"}, "both in a mapping and by name"),
        ((), {"to": "a@b.c", "subject": "x", "boddy": "y"}, "near: body"),
        ((), {"to": "a@b.c", "subject": "x", "replyTo": "y", "body": "z"}, "near: reply_to"),
        ((), {"subject": "x", "body": "y"}, "no to"),
        ((), {"to": [], "subject": "x", "body": "y"}, "to is empty"),
        ((), {"to": "a@b.c", "body": "y"}, "lacks a subject"),
        ((), {"to": "a@b.c", "subject": "y"}, "lacks a content"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "html": "z"}, "leave out html and text"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "data": {}}, "data has no template"),
        ((), {"to": "a@b.c", "subject": "y", "body": 5}, "body is a int"),
        (("welcome",), {"to": "a@b.c", "subject": "x"}, "already gives the content"),
        (({"to": "a@b.c", "from": "a@b.c", "from_": "a@b.c"},), {}, "twice"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "idempotency_key": "a b"}, "idempotency_key"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "idempotency_key": ""}, "idempotency_key"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "attachments": [b"x"]}, "give Attachment"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "headers": [("a", "b")]}, "not a mapping"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "headers": {"X-a": "b", "x-A": "b"}}, "one name twice"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "attachments": [Attachment("../x", b"")]}, "file's name"),
        ((), {"to": "a@b.c", "subject": "y", "body": "z", "attachments": [Attachment("x", "text")]}, "not bytes"),
    ],
)
async def test_wrong_call_says_what_is_wrong(email: Email, inbox: InboxTransport, args, fields, expected: str) -> None:
    with pytest.raises(InvalidMessageError) as error:
        await email.send(*args, **fields)

    assert expected in str(error.value)
    assert await inbox.list_messages() == ()


async def test_sender_is_the_call_s_else_the_configured_else_the_inbox_s(project: Path) -> None:
    inbox = InboxTransport(project / "inbox")
    async with Email(inbox) as plain, Email(inbox, from_='"Shop, Ltd." <shop@example.com>') as configured:
        await plain.send(to="a@b.c", subject="x", body="y")
        assert (await newest(inbox)).headers["From"] == "noreply@localhost"
        await configured.send(to="a@b.c", subject="x", body="y")
        assert (await newest(inbox)).headers["From"] == '"Shop, Ltd." <shop@example.com>'
        await configured.send(to="a@b.c", subject="x", body="y", from_="other@example.com")
        assert (await newest(inbox)).headers["From"] == "other@example.com"


async def test_no_sender_is_made_up_for_a_real_transport(project: Path) -> None:
    async with Email(SmtpTransport("mail.example.com")) as email:
        with pytest.raises(NoSenderError, match="UC2004"):
            await email.send(to="a@b.c", subject="x", body="y")


async def test_wrong_configured_sender_is_found_before_the_first_mail(inbox: InboxTransport) -> None:
    with pytest.raises(InvalidAddressError, match="from_"):
        Email(inbox, from_="nobody")


async def test_use_outside_of_async_with_is_an_error(inbox: InboxTransport) -> None:
    email = Email(inbox)
    with pytest.raises(NotOpenError):
        await email.send(to="a@b.c", subject="x", body="y")
    async with email:
        await email.ping()
    with pytest.raises(NotOpenError):
        await email.ping()


async def test_work_s_names_are_kept_in_the_inbox_and_nowhere_in_the_message(email: Email, inbox) -> None:
    trace = Trace.new()
    with correlate(Correlation(request_id="request-77", trace=trace, job_id="job-88")):
        await email.send(to="a@b.c", subject="x", body="y")

    sent = await newest(inbox)
    assert (sent.entry.request_id, sent.entry.trace_id, sent.entry.job_id) == ("request-77", trace.trace_id, "job-88")
    assert sent.entry.traceparent == str(trace)
    assert not any(name in sent.raw for name in (b"request-77", trace.trace_id.encode(), b"job-88"))


class Source:
    """Something that can be bound, with one part."""

    def __init__(self, email: Email) -> None:
        self._email = email

    def get_part(self, name: str) -> object:
        assert name == "email"
        return self._email


async def test_functions_act_on_what_is_bound(email: Email, inbox: InboxTransport) -> None:
    with bind(Source(email)):
        await send_email("welcome", {"to": "a@b.c", "data": DATA})
        template = await load_template("welcome")

    assert (await newest(inbox)).entry.subject == "Welcome to My App!"
    assert template.variables == ("appName", "loginUrl", "name")


async def test_functions_say_what_is_missing_when_nothing_is_bound() -> None:
    with pytest.raises(NotBoundError, match="'email'"):
        await send_email(to="a@b.c", subject="x", body="y")


async def test_three_positional_values_are_refused_by_the_function(email: Email) -> None:
    with bind(Source(email)), pytest.raises(InvalidMessageError, match="name them"):
        await send_email("a@b.c", "Hi", "text")  # type: ignore[call-overload]


@pytest.mark.parametrize("url", ["imap://x", "smtps://x", "inboxx:///x"])
def test_unknown_scheme_lists_the_known_ones(url: str) -> None:
    with pytest.raises(ValueError, match=r"inbox://, resend://, smtp://, smtp\+tls://"):
        open_transport(Url.parse(url), what="UNDERCROFT_EMAIL")


def test_errors_keep_their_data() -> None:
    refusal = Refusal(address="a@b.c", status=450, reason="full")
    error = SendRefusedError("no", transport="smtp", status=550, refused=[refusal])
    assert (error.kind, error.status, error.refused[0].is_temporary) == ("refused", 550, True)
    later = TransportUnavailableError("later", transport="resend", retry_after=3.0)
    assert (later.kind, later.retry_after, later.http_status) == ("unavailable", 3.0, 503)
    assert isinstance(later, ConnectionError)
