"""SMTP: what is required of a server, and what is said when it does not answer as it should."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.email._certificates import Certificate
from tests.email._smtp import CUT, PASSWORD, STALL, USER, scripted_smtp, smtp_server
from undercroft._core.errors import ConfigError, NotOpenError
from undercroft.email import (
    Address,
    BadAnswerError,
    EmailError,
    InsecureTransportError,
    RecipientsRefusedError,
    SendRefusedError,
    TransportAuthError,
    TransportUnavailableError,
    Url,
    open_transport,
)
from undercroft.email.smtp import SmtpTransport
from undercroft.testing.conformance.email import message

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def plain(port: int, **options: object) -> AsyncIterator[SmtpTransport]:
    settings = {"starttls": "off", "timeout": 5.0, "local_hostname": "test.example", **options}
    async with SmtpTransport("127.0.0.1", port, **settings) as transport:
        yield transport


async def send_through(port: int, **options: object) -> None:
    async with plain(port, **options) as transport:
        await transport.send(message())


async def test_server_without_starttls_is_refused_by_default() -> None:
    async with smtp_server() as server, plain(server.port, starttls="required") as transport:
        with pytest.raises(InsecureTransportError, match="does not offer STARTTLS") as error:
            await transport.send(message())

        assert "starttls=off" in str(error.value)
        assert server.mailbox.envelopes == []


async def test_server_without_starttls_is_fine_when_tls_is_only_an_opportunity() -> None:
    async with smtp_server() as server, plain(server.port, starttls="opportunistic") as transport:
        await transport.send(message())

        assert len(server.mailbox.envelopes) == 1


async def test_tls_is_used_when_it_is_an_opportunity(certificate: Certificate) -> None:
    ca_file = str(certificate.certificate)
    async with (
        smtp_server(starttls=certificate.server_context()) as server,
        plain(server.port, starttls="opportunistic", ca_file=ca_file) as transport,
    ):
        await transport.send(message())

        assert server.mailbox.was_tls == [True]


@pytest.mark.parametrize("how", ["starttls", "implicit_tls"])
async def test_certificate_that_is_not_trusted_is_refused(certificate: Certificate, how: str) -> None:
    async with smtp_server(**{how: certificate.server_context()}) as server:
        options = {"starttls": "required", "implicit_tls": how == "implicit_tls"}
        async with plain(server.port, **options) as transport:
            with pytest.raises(InsecureTransportError, match="not trusted"):
                await transport.send(message())

        assert server.mailbox.envelopes == []


async def test_wrong_password_is_an_error_without_the_password(certificate: Certificate) -> None:
    tls = {"starttls": "required", "ca_file": str(certificate.certificate)}
    async with (
        smtp_server(starttls=certificate.server_context(), needs_login=True) as server,
        plain(server.port, user=USER, password="wr0ng-passw0rd", **tls) as transport,
    ):
        with pytest.raises(TransportAuthError) as error:
            await transport.send(message())

    assert (error.value.status, error.value.kind) == (535, "misuse")
    assert "wr0ng" not in f"{error.value!r} {error.value} {transport!r}"


async def test_server_without_login_is_named_when_there_is_a_password() -> None:
    async with scripted_smtp() as port, plain(port, user=USER, password=PASSWORD) as transport:
        with pytest.raises(TransportAuthError, match="takes no user and password"):
            await transport.ping()


async def test_some_recipients_refused_is_in_the_receipt() -> None:
    async with smtp_server() as server, plain(server.port) as transport:
        server.mailbox.refusals = {"no@x.example": "550 no such user", "full@x.example": "452 full"}
        everyone = tuple(Address(f"{name}@x.example") for name in ("no", "yes", "full"))

        receipt = await transport.send(message(to=everyone))

        assert receipt.accepted == ("yes@x.example",)
        assert [(one.address, one.status, one.reason, one.is_temporary) for one in receipt.refused] == [
            ("no@x.example", 550, "no such user", False),
            ("full@x.example", 452, "full", True),
        ]
        assert receipt.provider_id == "OK queued as 4711"
        assert [envelope.rcpt_tos for envelope in server.mailbox.envelopes] == [["yes@x.example"]]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("550 no such user", RecipientsRefusedError), ("450 try later", TransportUnavailableError)],
)
async def test_all_recipients_refused_is_an_error(reply: str, expected: type[EmailError]) -> None:
    async with smtp_server() as server, plain(server.port) as transport:
        server.mailbox.refusals = {"ann@x.example": reply}

        with pytest.raises(expected) as error:
            await transport.send(message())

        assert error.value.refused[0].address == "ann@x.example"
        assert server.mailbox.envelopes == []


LATER, NO, NONSENSE = TransportUnavailableError, SendRefusedError, BadAnswerError


@pytest.mark.parametrize(
    ("replies", "expected", "may_have_been_sent"),
    [
        ({"CONNECT": "421 busy"}, LATER, False),
        ({"CONNECT": "554 go away"}, NO, None),
        ({"CONNECT": CUT}, LATER, False),
        ({"CONNECT": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, NONSENSE, False),
        ({"CONNECT": b"\x00\xff\xfe garbage\r\n"}, NONSENSE, False),
        ({"CONNECT": b"2" * 100_000 + b"\r\n"}, NONSENSE, False),
        ({"EHLO": CUT}, LATER, False),
        ({"MAIL": "451 later"}, LATER, False),
        ({"MAIL": "550 not you"}, NO, None),
        ({"MAIL": CUT}, LATER, False),
        ({"RCPT": "421 closing"}, LATER, False),
        ({"RCPT": "nonsense"}, NONSENSE, False),
        ({"RCPT": CUT}, LATER, False),
        ({"DATA": "451 later"}, LATER, False),
        ({"DATA": "554 no"}, NO, None),
        ({"END": "452 disk full"}, LATER, False),
        ({"END": "554 spam \x1b[31m"}, NO, None),
        ({"END": CUT}, LATER, True),
        ({"END": "garbage"}, NONSENSE, True),
    ],
)
async def test_fault_of_the_server_has_its_error(replies, expected, may_have_been_sent) -> None:
    async with scripted_smtp(**replies) as port:
        with pytest.raises(expected) as error:
            await send_through(port)

    assert type(error.value) is expected
    assert getattr(error.value, "may_have_been_sent", None) is may_have_been_sent
    assert all(line.isprintable() for line in str(error.value).split("\n"))


@pytest.mark.parametrize(("verb", "may_have_been_sent"), [("CONNECT", False), ("RCPT", False), ("END", True)])
async def test_stall_ends_at_the_deadline(verb: str, may_have_been_sent: bool) -> None:
    with anyio.fail_after(5):
        async with scripted_smtp(**{verb: STALL}) as port:
            with pytest.raises(TransportUnavailableError, match="did not answer in time") as error:
                await send_through(port, timeout=0.3)

    assert error.value.may_have_been_sent is may_have_been_sent


@pytest.mark.parametrize("reply", ["500 what", CUT, "garbage"])
async def test_rude_goodbye_after_the_message_is_no_error(reply: str) -> None:
    async with scripted_smtp(QUIT=reply) as port:
        await send_through(port)


async def test_text_before_tls_is_not_believed_after_it(certificate: Certificate) -> None:
    # STARTTLS injection (CVE-2011-0411 and relatives): what was sent in the clear must not count later.
    async with scripted_smtp(EHLO="250-x\r\n250 STARTTLS", STARTTLS=b"220 go\r\n250 injected\r\n") as port:
        with pytest.raises(EmailError):
            await send_through(port, starttls="required", timeout=1.0, ca_file=str(certificate.certificate))


async def test_cancelled_sender_leaves_no_connection_and_the_next_one_works() -> None:
    async with scripted_smtp(MAIL=STALL) as port, plain(port, connections=1) as transport:
        with anyio.move_on_after(0.2) as scope:
            await transport.send(message())
        assert scope.cancelled_caught
        await transport.ping()


async def test_waiting_for_a_free_connection_has_a_deadline() -> None:
    async with (
        scripted_smtp(MAIL=STALL) as port,
        plain(port, connections=1, timeout=0.3) as transport,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(3):
            tasks.start_soon(_expect_unavailable, transport)


async def _expect_unavailable(transport: SmtpTransport) -> None:
    with anyio.fail_after(5), pytest.raises(TransportUnavailableError, match=r"in use for|in time") as error:
        await transport.send(message())
    assert not error.value.may_have_been_sent


async def test_no_server_is_unavailable() -> None:
    async with scripted_smtp() as port:
        pass
    with pytest.raises(TransportUnavailableError, match="cannot be reached"):
        await send_through(port)


async def test_use_before_it_is_entered_is_an_error() -> None:
    with pytest.raises(NotOpenError):
        await SmtpTransport("localhost").send(message())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("smtp://", "needs a host"),
        ("smtp://user@mail.example.com", "user without a password"),
        ("smtp://mail.example.com?starttls=off", "plain text"),
        ("smtp://mail.example.com?starttls=no", "starttls"),
        ("smtp://mail.example.com?startls=off", "near: starttls"),
        ("smtp://mail.example.com?connections=0", "more than 0"),
    ],
)
def test_wrong_url_says_what_is_wrong(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_transport(Url.parse(url), what="SMTP_URL")

    assert words in str(error.value)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("smtp://mail.example.com", 587),
        ("smtp+tls://mail.example.com", 465),
        ("smtp://mail.example.com:25", 25),
        ("smtp://localhost?starttls=off", 587),
        ("smtp://[::1]?starttls=off", 587),
        ("smtp://10.0.0.1?starttls=off&insecure=yes", 587),
    ],
)
def test_url_chooses_host_and_port(url: str, port: int) -> None:
    assert open_transport(Url.parse(url), what="SMTP_URL").port == port


def test_password_is_in_no_repr() -> None:
    transport = open_transport(Url.parse("smtp://user:s3cret@mail.example.com"), what="SMTP_URL")

    assert "s3cret" not in repr(transport)


async def test_password_is_not_sent_without_tls_to_another_machine() -> None:
    # An address that is not loopback, and leads to this machine all the same.
    async with scripted_smtp(EHLO="250-x\r\n250 AUTH PLAIN") as port:
        options = {"starttls": "opportunistic", "user": USER, "password": PASSWORD, "timeout": 5.0}
        async with SmtpTransport("0.0.0.0", port, **options) as transport:
            with pytest.raises(InsecureTransportError, match="the password was not sent"):
                await transport.send(message())
