"""Strings that break programs, made from their classes: control characters, Unicode's corners, injections, numbers, …

Written from what the Unicode standard, the grammars of the languages named and the escape sequences of terminals
(ECMA-48) define; no list of anybody else's is copied here.
"""

# ruff: noqa: RUF001 - look-alikes are what this is about

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator

ESC = "\x1b"


def naughty_strings() -> list[str]:
    """Return more than 515 different strings, always the same ones, in the same order."""
    classes = (
        _empty_and_blank(),
        _controls(),
        _line_ends(),
        _terminal_sequences(),
        _direction(),
        _invisible(),
        _surrogates(),
        _noncharacters(),
        _combining(),
        _scripts(),
        _emoji(),
        _look_alikes(),
        _case_changers(),
        _quotes_and_brackets(),
        _json_forgeries(),
        _log_forgeries(),
        _formats(),
        _sql(),
        _markup(),
        _shell(),
        _paths(),
        _urls(),
        _numbers(),
        _reserved_words(),
        _dates(),
        _encodings(),
        _long(),
    )
    return list(dict.fromkeys(itertools.chain.from_iterable(classes)))


def _empty_and_blank() -> Iterator[str]:
    yield ""
    for code in range(0x110000):
        if unicodedata.category(chr(code)) == "Zs":
            yield chr(code)
            yield f"a{chr(code)}b"
    yield from ("   ", "\t", "\t\t x", " leading", "trailing ")


def _controls() -> Iterator[str]:
    for code in (*range(0x20), *range(0x7F, 0xA0)):
        yield f"before{chr(code)}after"
    yield "".join(map(chr, range(0x20)))
    yield "".join(map(chr, range(0x80, 0xA0)))


def _line_ends() -> Iterator[str]:
    for end in ("\n", "\r", "\r\n", "\n\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"):
        yield f"one{end}two"
        yield end
        yield f"{end}{end}x{end}"
    yield "\\n is two characters"
    yield "one\\\ntwo"


def _terminal_sequences() -> Iterator[str]:
    for parameters in ("0m", "31m", "1;31;40m", "38;5;196m", "2J", "H", "1A", "K", "?25l", "6n", "8m"):
        yield f"{ESC}[{parameters}red"
        yield f"\x9b{parameters}red"
    yield f"{ESC}]0;title\x07"
    yield f"{ESC}]8;;https://example.com/{ESC}\\click{ESC}]8;;{ESC}\\"
    yield f"{ESC}P+q544e{ESC}\\"
    yield f"{ESC}c"
    yield f"{ESC}(0lqqk{ESC}(B"
    yield "\x1b"
    yield "progress 10%\rprogress 99%"
    yield "secret\b\b\b\b\b\bpublic"


def _direction() -> Iterator[str]:
    for mark in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
        yield f"user{mark}gpj.exe"
    yield "\u202eabc\u202c \u2067x\u2066y\u2069\u2069"
    yield "access level = 'user\u202e \u2066// only admins\u2069 \u2066'"
    yield "שלום עולם ABC 123"
    yield "مرحبا بالعالم 456 ABC"


def _invisible() -> Iterator[str]:
    for (
        mark
    ) in "\u00ad\u034f\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u2060\u2061\u2064\u206a\u206f\u3164\ufeff\uffa0":
        yield f"pass{mark}word"
    yield "\ufeffbyte order mark first"
    yield "".join(chr(0xE0000 + ord(c)) for c in "hidden tags")
    yield "x" + "".join(chr(code) for code in range(0xFE00, 0xFE10))
    yield "x\U000e0100\U000e01ef"
    yield "\ufff9anchor\ufffaruby\ufffb"


def _surrogates() -> Iterator[str]:
    for one in ("\ud800", "\udbff", "\udc00", "\udfff", "\udc80", "\udcff"):
        yield one
        yield f"a{one}b"
    yield "\udc00\ud800"
    yield "\ud83d\ude00"
    yield "caf\udcc3\udca9"


def _noncharacters() -> Iterator[str]:
    for code in (0xFDD0, 0xFDEF, *(plane * 0x10000 + last for plane in range(17) for last in (0xFFFE, 0xFFFF))):
        yield f"n{chr(code)}"
    for code in (0xE000, 0xF8FF, 0xF0000, 0x10FFFD):
        yield f"private {chr(code)}"
    yield "\ufffd\ufffc"


def _combining() -> Iterator[str]:
    marks = [chr(code) for code in range(0x300, 0x370)]
    yield "".join(f"{letter}{''.join(marks[n::7])}" for n, letter in enumerate("zalgo"))
    yield "e\u0301 é \u0065\u0301\u0301"
    yield "\u0301starts with a mark"
    yield "a" + "\u0489" * 50
    yield "क्षि क्‍ष ക്ഷ"
    yield "\u1112\u1161\u11ab"


def _scripts() -> Iterator[str]:
    starts = (0xC0, 0x100, 0x180, 0x250, 0x370, 0x400, 0x500, 0x531, 0x5D0, 0x620, 0x710, 0x780, 0x7C0, 0x800, 0x905)
    starts += (0x985, 0xA05, 0xA85, 0xB05, 0xB85, 0xC05, 0xC85, 0xD05, 0xD85, 0xE01, 0xE81, 0xF00, 0x1000, 0x10A0)
    starts += (0x1100, 0x1200, 0x13A0, 0x1401, 0x1680, 0x16A0, 0x1700, 0x1780, 0x1820, 0x1D00, 0x1E00, 0x1F00, 0x2070)
    starts += (0x20A0, 0x2100, 0x2150, 0x2190, 0x2200, 0x2300, 0x2400, 0x2460, 0x2500, 0x25A0, 0x2600, 0x2700, 0x2800)
    starts += (0x2C00, 0x2D30, 0x2E80, 0x3041, 0x30A1, 0x3105, 0x3131, 0x3200, 0x4E00, 0xA000, 0xA500, 0xAC00, 0xF900)
    starts += (0xFB00, 0xFB50, 0xFE30, 0xFF01, 0x10000, 0x10300, 0x10330, 0x10400, 0x12000, 0x13000, 0x1D400, 0x20000)
    for start in starts:
        yield "".join(chr(code) for code in range(start, start + 8) if unicodedata.category(chr(code))[0] != "C")


def _emoji() -> Iterator[str]:
    yield from ("😀", "👩‍👩‍👧‍👦", "👋🏿", "🇪🇺🇩🇪", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "❤️", "❤︎", "🫠🫡", "👨‍❤️‍💋‍👨")
    yield "(╯°□°)╯︵ ┻━┻"
    yield "👾🙇💁🙅" * 20


def _look_alikes() -> Iterator[str]:
    yield from ("аdmin", "ⓐⓓⓜⓘⓝ", "𝐚𝐝𝐦𝐢𝐧", "ａｄｍｉｎ", "раураl", "ﬁle", "Ω Ω", "K K", "ⅷ", "１２３", "٣٤٥", "৪২")


def _case_changers() -> Iterator[str]:
    yield from ("İ", "ı", "ß", "ẞ", "ﬆ", "ŉ", "ǰ", "ΐ", "ᾳ", "Ⱥ", "ſecret", "PAſſWORD", "ǆ ǅ Ǆ")


def _quotes_and_brackets() -> Iterator[str]:
    yield from (
        "'",
        '"',
        "''",
        '""',
        "'\"",
        "\"'\"'",
        "`",
        "´",
        "‘’“”„«»",
        "\\",
        "\\\\",
        '\\"',
        "\\'",
        "\\u0000",
        "\\x00",
    )
    yield from (
        "{",
        "}",
        "{}",
        "[",
        "]",
        "[]",
        "[[",
        "}}",
        "<",
        ">",
        "=",
        "a=b",
        "a = b",
        "a='b' c=\"d\"",
        ",",
        ";",
        ":",
        "/*",
    )


def _json_forgeries() -> Iterator[str]:
    yield '","level":"critical","x":"'
    yield '"}\n{"level":"critical","message":"forged"}'
    yield '{"message": "nested", "level": "error"}'
    yield "]}]}]}"
    yield '\\","a":1,"b":"'
    yield '{"a":' * 300
    yield "[" * 1000
    yield "null"
    yield "__proto__"


def _log_forgeries() -> Iterator[str]:
    yield "ok\n12:00:00.000 CRIT  root forged [req-1]"
    yield "ok\r\nNov 20 12:00:00 host sshd[1]: Accepted"
    yield 'GET / HTTP/1.1" 200 -\n127.0.0.1 - - "GET /admin'
    yield "<134>1 2026-11-20T12:00:00Z host app - - - forged"
    yield "level=error msg=forged"
    yield "[01JD8Z] [01JD8Z]"
    yield "x\x1e{}\x1e"


def _formats() -> Iterator[str]:
    for code in "sdifrcxo%":
        yield f"%{code}"
        yield f"%{code}%{code}%{code}"
    yield from ("%(password)s", "%(", "%", "%%", "%-999999d", "%n%n%n", "%99999999s", "{0}", "{}", "{:>99999}")
    yield from (
        "{0.__class__.__mro__}",
        "{message}",
        "${jndi:ldap://x/a}",
        "${HOME}",
        "$(id)",
        "#{7*7}",
        "{{7*7}}",
        "<%= 7 %>",
    )


def _sql() -> Iterator[str]:
    yield from (
        "' OR 1=1 --",
        "'; DROP TABLE orders; --",
        "1; SELECT pg_sleep(9)",
        "\\'; --",
        "' UNION SELECT NULL--",
        "$$",
    )
    yield from ("1/**/OR/**/1", "admin'--", "%' LIKE '%", "0x31303235", "CHAR(65)", "'||'a", "a\x00' OR 1")


def _markup() -> Iterator[str]:
    for inner in ("alert(1)", "alert`1`", "eval('1')"):
        yield f"<script>{inner}</script>"
        yield f"<img src=x onerror={inner}>"
        yield f"<svg/onload={inner}>"
        yield f"javascript:{inner}"
        yield f"'\"><details open ontoggle={inner}>"
    yield from (
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "&lt;b&gt;",
        "&#0;",
        "&#x1b;",
        "<?xml version='1.0'?>",
        "<b",
        "</textarea>",
    )
    yield '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


def _shell() -> Iterator[str]:
    yield from (
        "; rm -rf ~",
        "| cat /etc/passwd",
        "&& id",
        "`id`",
        "$(touch x)",
        "> /dev/null",
        "\n/bin/true\n",
        "-rf",
        "--help",
    )
    yield from ("() { :;}; echo x", "!event", "~", "*", "?", "\\", "a b\tc", "%COMSPEC%", "@echo off", "$IFS$9id")


def _paths() -> Iterator[str]:
    yield from (
        "../../etc/passwd",
        "..\\..\\windows\\win.ini",
        "/dev/null",
        "C:\\CON",
        "NUL",
        "aux.txt",
        "file\x00.png",
        "a/b\\c",
    )
    yield from (
        "//server/share",
        "%2e%2e%2f",
        "..%c0%af..",
        "~root",
        "." * 300,
        "COM1",
        "a" * 260,
        "name.",
        "name ",
        "-",
    )


def _urls() -> Iterator[str]:
    yield from (
        "http://[::1]:80/",
        "http://a b/",
        "//x",
        "http://例え.テスト/",
        "data:text/html,<b>",
        "file:///etc/hosts",
    )
    yield from (
        "http://x/?a=1&a=2#b",
        "mailto:",
        "https://x/%00",
        "http://0x7f.1/",
        "http://x:99999/",
        "::",
        "http://x/..;/a",
    )


def _numbers() -> Iterator[str]:
    yield from (
        "0",
        "-0",
        "1",
        "-1",
        "1.00",
        "1e309",
        "-1E+02",
        "1/0",
        "0/0",
        "NaN",
        "-Infinity",
        "+inf",
        "1_000",
        "0x1F",
        "0b1",
    )
    yield from (
        "0o17",
        "9" * 30,
        "1" + "0" * 400,
        "2147483648",
        "-2147483649",
        "9223372036854775808",
        "1,000.00",
        "1.000,00",
    )
    yield from (
        "1'000",
        ".5",
        "5.",
        "1..2",
        "--1",
        "012",
        "1e",
        "e1",
        "INF",
        "1#QNAN",
        "٠",
        "½",
        "0.1e-9999",
        "4.9E-324",
    )


def _reserved_words() -> Iterator[str]:
    yield from (
        "undefined",
        "nil",
        "None",
        "NULL",
        "true",
        "TRUE",
        "false",
        "yes",
        "no",
        "on",
        "NaN",
        "then",
        "constructor",
    )
    yield from (
        "hasOwnProperty",
        "level",
        "message",
        "timestamp",
        "logger",
        "fields",
        "error",
        "exc_info",
        "args",
        "msg",
        "self",
    )
    yield from (
        "__class__",
        "__dict__",
        "__init__",
        "__del__",
        "import os",
        "lambda: 0",
        "async",
        "CON",
        "EOF",
        "BEGIN",
        "admin",
    )


def _dates() -> Iterator[str]:
    yield from (
        "0000-00-00",
        "2026-02-30",
        "1969-12-31T23:59:59Z",
        "2038-01-19T03:14:08Z",
        "9999-12-31",
        "10000-01-01",
        "24:00:60",
    )


def _encodings() -> Iterator[str]:
    yield "Größe".encode().decode("latin-1")
    yield "Ω".encode("utf-16").decode("latin-1")
    yield "+ADw-script+AD4-"
    yield "=?utf-8?b?8J+YgA==?="
    yield "xn--ls8h"
    yield "ÃƒÂ©"
    yield "\u0000\u0001\ufffe\uffff"
    yield "a\u00a0b\u2007c\u202fd"


def _long() -> Iterator[str]:
    yield "x" * 8_192
    yield "x" * 8_193
    yield "\n" * 8_192
    yield "é" * 9_000
    yield "😀" * 5_000
    yield '"' * 9_000
    yield "word " * 3_000
