"""The span of a mail: what it says, and what it must not say."""

from typing import Self

import pytest

from tests._spans import taken_spans
from undercroft.email import Email, OutgoingEmail, SendReceipt, TransportUnavailableError
from undercroft.monitoring import get_counter, start_span

pytestmark = pytest.mark.anyio


async def test_a_mail_is_a_span_without_its_recipients(email: Email) -> None:
    with taken_spans() as taken, start_span("sign up"):
        receipt = await email.send(to="ann@example.com", subject="Hi Ann", body="Welcome")
    (sent,), (sign_up,) = taken.named("send email"), taken.named("sign up")
    assert (sent.kind, sent.parent_span_id) == ("client", sign_up.span_id)
    assert sent.attributes == {"undercroft.email.transport": "inbox", "undercroft.email.id": receipt.id}
    assert "ann" not in str(sent).lower()


class Down:
    """A transport that never gets an answer."""

    name, default_from, is_idempotent = "down", "shop@example.com", False

    async def send(self, message: OutgoingEmail) -> SendReceipt:
        raise TransportUnavailableError("no answer", transport=self.name)

    async def ping(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None: ...


async def test_a_mail_that_is_not_sent_is_an_error() -> None:
    async with Email(Down()) as email:
        with taken_spans() as taken, pytest.raises(TransportUnavailableError):
            await email.send(to="a@b.c", subject="x", body="y")
    assert taken[0].status == "error"
    assert str(taken[0].attributes["error.type"]).endswith("TransportUnavailableError")


async def test_mails_are_counted_by_what_came_of_them(email: Email) -> None:
    sent = {"transport": "inbox", "outcome": "sent"}
    down = {"transport": "down", "outcome": "TransportUnavailableError"}
    before = get_counter("undercroft_emails_total", sent), get_counter("undercroft_emails_total", down)
    await email.send(to="ann@example.com", subject="Hi", body="Welcome")
    async with Email(Down()) as other:
        with pytest.raises(TransportUnavailableError):
            await other.send(to="a@b.c", subject="x", body="y")
    assert get_counter("undercroft_emails_total", sent) == before[0] + 1
    assert get_counter("undercroft_emails_total", down) == before[1] + 1
