"""Header injection: every payload in every place, and no header that was not asked for.

Two parsers read the bytes: the standard library's, and a strict one of our own that knows nothing of folding rules it
could get wrong.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undercroft._core.context import Correlation
from undercroft.email import Attachment, EmailError, HeaderInjectionError, InvalidAddressError, parse_address
from undercroft.email._message import Content, compose
from undercroft.email._mime import Header, message_headers, to_bytes, verify

EVIL = "Bcc: evil@x.example"
SEPARATORS = ["\r", "\n", "\r\n", "\n\r", "\r\n ", "\n\t", "\r\n\r\n", "\0", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85"]
PAYLOADS = [
    *(f"x{separator}{EVIL}" for separator in [*SEPARATORS, "\u2028", "\u2029", "\x7f", "\x1b", "\r\n.\r\n", "\n.\n"]),
    *(f"{separator}{EVIL}" for separator in ("\r\n", "\n", "\r")),
    *(f"x{separator}" for separator in ("\r\n", "\n", "\r", "\0")),
    "=?utf-8?q?x=0D=0ABcc=3A_evil=40x.example?=",
    "=?UTF-8?B?eA0KQmNjOiBldmlsQHguZXhhbXBsZQ==?=",
    "=?utf-8?q?x?= =?utf-8?q?=0ABcc=3A_evil=40x.example?=",
    "=?us-ascii*en?Q?x=0ABcc:_evil@x.example?=",
    "=?utf-16?b?DQAKAEIAYwBjADoA?=",
    "a =?utf-7?q?+AAoA-Bcc?= b",
    "=?utf-8?q?x=0ABcc:",
    "x%0d%0aBcc: evil@x.example",
    "x\\r\\nBcc: evil@x.example",
    '"\r\nBcc: evil@x.example',
    '" <evil@x.example>, "x',
    "x <evil@x.example>",
    "group: evil@x.example;",
    "evil@x.example, other@x.example",
    "x" * 2000,
    "ä" * 2000,
    ("y" * 997 + " ") * 3,
    f"{'z' * 990} {EVIL}",
    "a\ud800b",
]
POSITIONS = {
    "subject": lambda p: {"subject": p},
    "to": lambda p: {"to": p},
    "to name": lambda p: {"to": f'"{p}" <a@b.example>'},
    "to plain name": lambda p: {"to": f"{p} <a@b.example>"},
    "to local part": lambda p: {"to": f"{p}@b.example"},
    "to domain": lambda p: {"to": f"a@{p}"},
    "cc": lambda p: {"cc": [f"{p} <a@b.example>"]},
    "bcc": lambda p: {"bcc": [p]},
    "reply_to": lambda p: {"reply_to": f'"{p}" <a@b.example>'},
    "from_": lambda p: {"from_": f'"{p}" <a@b.example>'},
    "header value": lambda p: {"headers": {"X-Campaign": p}},
    "header name": lambda p: {"headers": {p: "x"}},
    "filename": lambda p: {"attachments": [Attachment(p, b"x", "text/plain")]},
    "content type": lambda p: {"attachments": [Attachment("x.txt", b"x", p)]},
    "idempotency key": lambda p: {"idempotency_key": p},
    "text": lambda p: {"text": p},
    "html": lambda p: {"html": p},
}


def built(**fields: object) -> tuple[bytes, list[Header]]:
    fields = {"to": "a@b.example", "from_": "shop@b.example", "subject": "s", "text": "t", "html": "<p>h</p>", **fields}
    content = Content(subject=_checked(fields["subject"]), html=fields["html"], text=fields["text"])
    message = compose(
        fields,
        content,
        id_="01M7WXJSB3W296Q6GAF7TDF67P",
        created_at=datetime(2026, 11, 20, tzinfo=UTC),
        default_from=None,
        correlation=Correlation(),
    )
    return to_bytes(message), message_headers(message)


def _checked(subject: object) -> str:
    from undercroft.email._headers import check_value

    assert isinstance(subject, str)
    return check_value("subject", subject)


def _display_name(mailbox: str) -> str:
    phrase = mailbox.replace("\n ", " ").replace("\r", "").removesuffix("<a@b.example>").removesuffix(" ")
    if phrase == "a@b.example":
        return ""
    if phrase.startswith('"'):
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return str(make_header(decode_header(phrase)))


def strict_names(data: bytes) -> list[bytes]:
    """Read the names of the top headers: CRLF only, ASCII only, lines of at most 998, no bare CR or LF anywhere."""
    assert data.isascii()
    assert b"\0" not in data
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    rest = data.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest
    head, _, _ = data.partition(b"\r\n\r\n")
    names = []
    for line in head.split(b"\r\n"):
        assert line.strip(b" \t"), "a blank line that is not the end"
        if line[:1] not in b" \t":
            name, colon, _ = line.partition(b":")
            assert colon
            names.append(name)
    return names


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_payload_injects_no_header(position: str, payload: str) -> None:
    fields = POSITIONS[position](payload)
    try:
        data, asked = built(**fields)
    except EmailError:
        return  # refused: nothing is sent
    asked_names = [name for name, _ in asked] + ["Content-Type"]
    if not data.startswith(b"Date") or b"multipart/" not in data.partition(b"\r\n\r\n")[0]:
        pytest.fail("the message has no parts")
    assert [name.decode() for name in strict_names(data)] == asked_names
    for parsed in (message_from_bytes(data), message_from_bytes(data, policy=policy.default)):
        assert list(parsed.keys()) == asked_names
        assert all("evil" not in (part.get("Bcc") or "") for part in parsed.walk())
        assert not any(part.defects for part in parsed.walk())


@pytest.mark.parametrize("separator", [*SEPARATORS, "\u2028", "\u2029"])
@pytest.mark.parametrize(
    "position",
    ["subject", "to", "to name", "to plain name", "cc", "bcc", "reply_to", "from_", "header value", "filename"],
)
def test_separators_are_refused_by_name(position: str, separator: str) -> None:
    with pytest.raises(HeaderInjectionError) as error:
        built(**POSITIONS[position](f"x{separator}{EVIL}"))

    assert error.value.code == "UC2003"
    assert error.value.http_status == 422
    assert "evil" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["From", "to", "BCC", "Subject", "Date", "Message-ID", "Sender", "Return-Path", "Content-Type", "Resent-To"]
)
def test_headers_that_we_write_cannot_be_added(name: str) -> None:
    with pytest.raises(HeaderInjectionError, match="written for you"):
        built(headers={name: "x"})


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_subject_is_refused_or_arrives_unchanged(subject: str) -> None:
    try:
        data, _ = built(subject=subject)
    except HeaderInjectionError:
        return
    strict_names(data)
    raw = message_from_bytes(data)["Subject"].replace("\r\n", "").replace("\n", "")
    assert str(make_header(decode_header(raw))) == subject


@settings(deadline=None)
@given(st.text(max_size=120), st.text(max_size=120))
def test_any_name_and_filename_is_refused_or_adds_no_header(name: str, filename: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    try:
        data, asked = built(to=f'"{quoted}" <a@b.example>', attachments=[Attachment(filename, b"x")])
    except EmailError:
        return
    assert [found.decode() for found in strict_names(data)] == [*(name for name, _ in asked), "Content-Type"]
    parsed = message_from_bytes(data, policy=policy.default)
    assert [one.addr_spec for one in parsed["To"].addresses] == ["a@b.example"]
    assert _display_name(message_from_bytes(data)["To"]) == name.strip()
    assert [part.get_filename() for part in parsed.iter_attachments()] == [filename]


def test_bytes_that_read_differently_are_not_sent() -> None:
    data, asked = built()
    part = [("Content-Type", message_from_bytes(data)["Content-Type"])]
    verify(data, [*asked, *part], [])

    with pytest.raises(HeaderInjectionError, match="reads differently"):
        verify(b"Bcc: evil@x.example\r\n" + data, [*asked, *part], [])


@pytest.mark.parametrize(
    ("text", "email", "name"),
    [
        ("a@b.c", "a@b.c", ""),
        (" a@b.c ", "a@b.c", ""),
        ("<a@b.c>", "a@b.c", ""),
        ("Ann <a@b.c>", "a@b.c", "Ann"),
        ("Änn Böll<a@b.c>", "a@b.c", "Änn Böll"),
        ('"Doe, Ann" <a@b.c>', "a@b.c", "Doe, Ann"),
        ('"a \\"b\\" <c>" <a@b.c>', "a@b.c", 'a "b" <c>'),
        ("a.b+tag_x-y@B.Example", "a.b+tag_x-y@b.example", ""),
        ("a@localhost", "a@localhost", ""),
        ("a@bücher.example", "a@xn--bcher-kva.example", ""),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example", ""),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example", ""),
        ("a@例え.jp", "a@xn--r8jz45g.jp", ""),
    ],
)
def test_address_is_read(text: str, email: str, name: str) -> None:
    address = parse_address(text)

    assert (address.email, address.name) == (email, name)
    assert parse_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@",
        "a@",
        "@b.c",
        "a b@c.d",
        "a@b c",
        "a@b..c",
        "a@.b",
        "a@b.",
        "a..b@c.d",
        ".a@b.c",
        "a.@b.c",
        "a@-b.c",
        "a@b-.c",
        "a@b_c.d",
        "a@[127.0.0.1]",
        '"a b"@c.d',
        "a@b.c, d@e.f",
        "a@b.c; d@e.f",
        "a@b.c d@e.f",
        "a@b@c.d",
        "Doe, Ann <a@b.c>",
        "x: a@b.c;",
        "a@b.c (comment)",
        "(c) a@b.c",
        "A <a@b.c> B",
        "A <a@b.c> <d@e.f>",
        "<a@b.c",
        "a@b.c>",
        "<<a@b.c>>",
        "a@b.c <d@e.f>",
        '"x" y <a@b.c>',
        "ä@b.c",
        "a" * 65 + "@b.c",
        "a@" + "b." * 130 + "c",
        "a@" + "b" * 64 + ".c",
        "a@faß.example",
        "a@b\uff0ec",
        "a@ⓑ.c",
        "a@b\u200d.c",
        "<@x.y:a@b.c>",
        None,
        5,
        b"a@b.c",
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(InvalidAddressError) as error:
        parse_address(text, field="to")

    assert (error.value.kind, error.value.http_status, error.value.field) == ("refused", 422, "to")
    assert error.value.address == (text if isinstance(text, str) else str(text))
    assert isinstance(error.value, ValueError)


@settings(deadline=None)
@given(st.text(alphabet='ab.@<>",;:()[]\\ äß\n', max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except (InvalidAddressError, HeaderInjectionError):
        return
    assert address.email.isascii()
    assert address.email.count("@") == 1
    assert parse_address(address) == address
