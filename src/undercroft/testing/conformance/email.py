"""What every email transport promises, as tests. Subclass it in your own suite and give it one fixture:

    class TestMyTransport(EmailTransportConformance):
        @pytest.fixture
        async def rig(self):
            async with MyServer() as server, MyTransport(server.url) as transport:
                yield MyRig(transport, server)

The rig knows both ends: the transport, opened, and what came out of it on the other side. Needs pytest with anyio's
plugin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import anyio
import pytest

from undercroft._core.context import Correlation, Trace
from undercroft._core.ids import IdSource
from undercroft.email import Address, Attachment, OutgoingEmail, Transport, TransportUnavailableError

_ids = IdSource()
_TEXT = "One\n\n.\n..\n.dot\nFrom here\n\tä ✓ 𝄞 = %\n" + "long " * 400 + "\nend\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One message as the other side has it, decoded."""

    recipients: tuple[str, ...]
    """Everyone it goes to, without names."""
    headers: Mapping[str, str]
    """What recipients see, decoded; names in lower case. Addresses as `Name <a@b>` or `a@b`, with `, ` between."""
    text: str
    html: str
    attachments: Mapping[str, bytes]


class Rig(Protocol):
    """A transport that is open, and what is behind it."""

    @property
    def transport(self) -> Transport:
        """The transport under test, entered."""

    async def delivered(self) -> Sequence[Delivered]:
        """Return what arrived, in any order."""

    async def break_off(self) -> None:
        """Make what is behind the transport unreachable, for good."""


def message(**changes: Any) -> OutgoingEmail:
    """Return a message to send; no two have the same id."""
    id_ = _ids()
    plain = OutgoingEmail(
        id=id_,
        message_id=f"{id_.lower()}@shop.example",
        sender=Address("shop@shop.example", "The Shop"),
        to=(Address("ann@x.example"),),
        subject="Hello",
        text="Hello\n",
        html="<p>Hello</p>",
        created_at=datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
    )
    return replace(plain, **changes)


class EmailTransportConformance:
    """The promises of `undercroft.email.Transport`, one test each."""

    pytestmark = pytest.mark.anyio

    async def test_transport_has_a_name_and_says_what_it_can(self, rig: Rig) -> None:
        assert rig.transport.name.isidentifier()
        assert rig.transport.default_from is None or "@" in rig.transport.default_from
        assert isinstance(rig.transport.is_idempotent, bool)

    async def test_both_parts_arrive_unchanged(self, rig: Rig) -> None:
        await rig.transport.send(message(text=_TEXT, html=f"<pre>{_TEXT}</pre>"))

        delivered = await only(rig)
        assert delivered.text == _TEXT
        assert delivered.html == f"<pre>{_TEXT}</pre>"

    @pytest.mark.parametrize(
        "subject", ["Grüße ✓ 𝄞", "x" * 990, "ä" * 300, "", "a  b", "=? ?=", "'\"<>&\\", "word " * 60 + "end"]
    )
    async def test_subject_arrives_unchanged(self, rig: Rig, subject: str) -> None:
        await rig.transport.send(message(subject=subject))

        assert (await only(rig)).headers["subject"] == subject

    async def test_everyone_receives_it_and_bcc_is_not_shown(self, rig: Rig) -> None:
        await rig.transport.send(
            message(
                to=(Address("a@x.example", "Änn"), Address("b@x.example", "B. Doe")),
                cc=(Address("c@x.example"),),
                bcc=(Address("hidden@x.example"), Address("a@x.example")),
                reply_to=(Address("desk@shop.example"),),
            )
        )

        delivered = await only(rig)
        assert sorted(delivered.recipients) == ["a@x.example", "b@x.example", "c@x.example", "hidden@x.example"]
        assert delivered.headers["from"] == "The Shop <shop@shop.example>"
        assert delivered.headers["to"].replace('"', "") == "Änn <a@x.example>, B. Doe <b@x.example>"
        assert delivered.headers["cc"] == "c@x.example"
        assert delivered.headers["reply-to"] == "desk@shop.example"
        assert "bcc" not in delivered.headers
        assert not any("hidden" in value for value in delivered.headers.values())

    async def test_attachments_arrive_byte_for_byte(self, rig: Rig) -> None:
        files = {
            "plain.bin": bytes(range(256)) * 50,
            "größe ✓.pdf": b"%PDF",
            'a "b"; c.txt': b"\r\n.\r\n",
            "e.txt": b"",
        }

        await rig.transport.send(message(attachments=tuple(Attachment(name, data) for name, data in files.items())))

        assert (await only(rig)).attachments == files

    async def test_added_headers_arrive(self, rig: Rig) -> None:
        one_click = "<https://shop.example/unsubscribe?t=abc>, <mailto:stop@shop.example>"

        await rig.transport.send(message(headers=(("List-Unsubscribe", one_click), ("X-Campaign", "Grüße"))))

        headers = (await only(rig)).headers
        assert headers["list-unsubscribe"] == one_click
        assert headers["x-campaign"] == "Grüße"

    async def test_every_message_says_that_a_program_sent_it(self, rig: Rig) -> None:
        await rig.transport.send(message())

        assert (await only(rig)).headers["auto-submitted"] == "auto-generated"

    async def test_receipt_names_the_message_and_who_was_accepted(self, rig: Rig) -> None:
        sent = message(bcc=(Address("hidden@x.example"),))

        receipt = await rig.transport.send(sent)

        assert receipt.id == sent.id
        assert receipt.transport == rig.transport.name
        assert receipt.accepted == ("ann@x.example", "hidden@x.example")
        assert receipt.refused == ()

    async def test_request_trace_and_job_are_not_told_to_recipients(self, rig: Rig) -> None:
        trace = Trace.new()

        await rig.transport.send(
            message(correlation=Correlation(request_id="request-77", trace=trace, job_id="job-88"))
        )

        shown = repr(await only(rig))
        assert not any(name in shown for name in ("request-77", trace.trace_id, "job-88"))

    async def test_one_key_is_one_message_where_that_is_promised(self, rig: Rig) -> None:
        first = message(idempotency_key="order/42")
        again = replace(first, id=_ids())

        receipts = [await rig.transport.send(first), await rig.transport.send(again)]

        delivered = await rig.delivered()
        if rig.transport.is_idempotent:
            assert len(delivered) == 1
            assert receipts[0].provider_id == receipts[1].provider_id
        else:
            assert [one.headers["message-id"] for one in delivered] == [f"<{first.message_id}>"] * 2

    async def test_messages_with_other_keys_or_none_are_all_sent(self, rig: Rig) -> None:
        for key in ("a", "b", None, None):
            await rig.transport.send(message(idempotency_key=key))

        assert len(await rig.delivered()) == 4

    async def test_thirty_senders_at_once_send_thirty_messages(self, rig: Rig) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(rig.transport.send, message(subject=f"n{number}"))

        subjects = [delivered.headers["subject"] for delivered in await rig.delivered()]
        assert sorted(subjects) == sorted(f"n{number}" for number in range(30))

    async def test_ping_answers_and_sends_nothing(self, rig: Rig) -> None:
        await rig.transport.ping()

        assert await rig.delivered() == []

    async def test_unreachable_is_an_error_that_a_retry_may_help(self, rig: Rig) -> None:
        await rig.break_off()

        with pytest.raises(TransportUnavailableError) as sending:
            await rig.transport.send(message())
        with pytest.raises(TransportUnavailableError):
            await rig.transport.ping()
        assert sending.value.kind == "unavailable"
        assert not sending.value.may_have_been_sent

    async def test_leaving_twice_is_harmless(self, rig: Rig) -> None:
        await rig.transport.__aexit__(None, None, None)
        await rig.transport.__aexit__(None, None, None)


async def only(rig: Rig) -> Delivered:
    """Return the one message that arrived."""
    delivered = await rig.delivered()
    assert len(delivered) == 1
    return delivered[0]
