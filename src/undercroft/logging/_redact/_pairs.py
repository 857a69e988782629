"""Secrets in free text that stand beside their name: `password=…`, `"token": "…"`, `Cookie: …`, `?sig=…`, `--pass …`.

The name is judged by the rules for keys. Every search here takes time that grows with the text's length and no faster:
names are read backwards from their separator, values forwards, and neither twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from undercroft._core.url import HIDDEN
from undercroft.logging._redact._keys import squeeze

IsSecret = Callable[[str], bool]

# "=" in a URL inside a URL is "%3D". A scheme's colon is none of ours.
_SEPARATOR = re.compile(r"[=:%](?:(?<=[\w\"' ]=)|(?<=[A-Za-z_\"' ]:)(?!//)|(?<=[A-Za-z_][0-9]:)|3[Dd])")
# Backwards from the separator: blanks, a closing quote with the backslashes of JSON within JSON, the name; the word
# before it.
_NAME_BACKWARDS = re.compile(r"[ \t]{0,3}+([\"']\\{0,3}+)?([A-Za-z0-9_.\-\u0080-\uffff]++)")
_WORD_BACKWARDS = re.compile(r"[ \t][\w.\-]++")
# Words that are a name only with the word before them: api key, session id.
_HALF_NAMES = frozenset({"code", "id", "key", "number", "string"})
_LONGEST_HALF = 6
_MAX_KNOWN = 1_024
_LONGEST_KNOWN = 64

_BEFORE_VALUE = re.compile(r"[=>]{0,2}+[ \t]{0,8}+[bBfFrRuU]{0,2}?(\\{0,3}[\"'])")
_BLANKS = re.compile(r"[=>]{0,2}+[ \t]{0,8}+")
# A mark ends a value only where something else begins: "a,b" may be a password, "a, b" and "a&b=" are not.
_BARE = re.compile(r"(?:[^\s,;&)\]}\"'<>]++|[,;&)\]}\"'<>](?![\s,;)\]}\"'<>.]|\Z|[\w.\-]{1,40}=))++")
_ENCODED_BARE = re.compile(r"(?:[^\s&\"'<>%]++|%(?!26))++")
_LINE = re.compile(r"[^\r\n]++")
_BRACKETS = re.compile(r"[\[{(\]})]")
# Shown: nothing is there, or a name for something that is elsewhere ($1, %s, :name, {name}, <name>), or it is hidden.
_NO_VALUE = re.compile(
    r"(?:None|null|nil|undefined|[Tt]rue|[Ff]alse|\?|\$\d+|%s|%\(\w+\)s|:\w+|\$?\{{1,2}\w*\}{0,2}|<\w*>|\*+)[,;.)\]}]?"
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?[,;.)\]}]?")

_SCHEME = re.compile(r"([A-Za-z][\w\-]*)[ \t]+(?=\S)")
_ONE_TOKEN_SCHEMES = frozenset({"apikey", "basic", "bearer", "negotiate", "ntlm", "token"})
_AUTHORIZATION = frozenset({"authorization", "proxyauthorization", "xauthorization"})
# Their value has spaces in it and goes to the end of the line.
_TO_LINE_END = frozenset({"cookie", "cookies", "setcookie", "passphrase", "mnemonic", "seedphrase"})
# After "token: " and the like, in a sentence: what is said of a secret. "password: must be longer" stays readable.
_SAID_OF_SECRETS = re.compile(
    "a|an|and|are|bad|cannot|changed|created|deleted|denied|disabled|does|empty|enabled|expected"
    "|expired|failed|failure|field|for|found|given|has|have|in|incorrect|invalid|is|malformed|may"
    "|mismatch|missing|must|no|none|not|of|ok|or|rejected|required|reset|revoked|set|should|that|the"
    "|to|too|unexpected|unknown|unset|updated|valid|verification|was|were|with|wrong|yes"
)
# These are words of every day too: "session: closed", "auth: ok", "pass: 12".
_WEAK_NAMES = frozenset({"auth", "pass", "session", "sessions", "sid", "signature", "token", "tokens", "pan"})
_PLAIN_WORD = re.compile(r"[a-z]{1,16}[.,;!?]?|\d{1,6}[.,;]?")

_TAG = re.compile(r"<([\w:.\-]{1,64})>([^<]{1,8192})</")
_TUPLE = re.compile(r"\(b?([\"'])([\w.\-]{1,64})\1, b?([\"'])((?:(?!\3)[^\\]|\\.)*+)\3\)", re.DOTALL)
_FLAG = re.compile(r"--([\w\-]{2,64}+)(?:[\"'], ?[\"']| {1,4})(?![\-\"' ])((?:[^\s\"'\]]|[\"'\]](?![\s,\])}]|\Z))++)")


def hide_pairs(is_secret: IsSecret, harmless: set[str], text: str) -> str:
    """Return `text` with the values of all secret names in it hidden.

    `harmless` remembers names that are not secret, written backwards as they are read here; up to 1,024 short ones.
    """
    search, name_before = _SEPARATOR.search, _NAME_BACKWARDS.match
    separator = search(text)
    if separator is None:
        return text
    parts: list[str] = []
    done, backwards, size = 0, text[::-1], len(text)
    while separator is not None:
        at = separator.end()
        named = name_before(backwards, size - separator.start())
        if named is not None and named[2] not in harmless:
            name = _name(named, is_secret)
            if name is None:
                _remember(named[2], harmless)
            elif (span := _value(text, separator, name, is_quoted=named[1] is not None)) is not None:
                parts += [text[done : span[0]], HIDDEN]
                at = done = span[1]
        separator = search(text, at)
    return "".join([*parts, text[done:]]) if parts else text


def _remember(backwards: str, harmless: set[str]) -> None:
    if len(backwards) > _LONGEST_KNOWN or backwards[::-1].lower() in _HALF_NAMES:
        return
    if len(harmless) >= _MAX_KNOWN:
        harmless.clear()
    harmless.add(backwards)


def hide_tags(text: str, is_secret: IsSecret) -> str:
    """Return `text` with what is inside secret XML elements hidden."""
    return _TAG.sub(lambda tag: f"<{tag[1]}>{HIDDEN}</" if is_secret(tag[1]) else tag[0], text)


def hide_tuples(text: str, is_secret: IsSecret) -> str:
    """Return `text` with the second of two hidden in the `repr` of a header or form field: `('cookie', '***')`."""
    return _with_values_hidden(text, _TUPLE, 2, 4, is_secret)


def hide_flags(text: str, is_secret: IsSecret) -> str:
    """Return `text` with the values of a command's secret options hidden, in a line or in the `repr` of a list."""
    return _with_values_hidden(text, _FLAG, 1, 2, is_secret)


def _with_values_hidden(text: str, shape: re.Pattern[str], name: int, value: int, is_secret: IsSecret) -> str:
    parts: list[str] = []
    done = 0
    match = shape.search(text)
    while match is not None:
        end = match.start() + 1  # a harmless one may have another inside it
        if is_secret(match[name]):
            parts += [text[done : match.start(value)], HIDDEN]
            done = end = match.end(value)
        match = shape.search(text, end)
    return "".join([*parts, text[done:]]) if parts else text


def _name(named: re.Match[str], is_secret: IsSecret) -> str | None:
    name = named[2][::-1]
    if is_secret(name):
        return name
    if len(name) <= _LONGEST_HALF and name.lower() in _HALF_NAMES:
        before = _WORD_BACKWARDS.match(named.string, named.end())
        if before is not None and is_secret(both := f"{before[0][:0:-1]} {name}"):
            return both
    return None


def _value(text: str, separator: re.Match[str], name: str, *, is_quoted: bool) -> tuple[int, int] | None:
    at = separator.end()
    if separator[0][0] == "%":
        return _span(text, at, _ENCODED_BARE)
    is_header = separator[0] == ":" and not is_quoted
    if is_header and squeeze(name) in _TO_LINE_END:
        return _unless_empty(text, _span(text, at + len(_blanks(text, at)), _LINE), name)
    quote = _BEFORE_VALUE.match(text, at)
    if quote is not None:
        return _within_quotes(text, quote.end(), quote[1])
    start = at + len(_blanks(text, at))
    if text[start : start + 1] in {"[", "{", "("}:
        return _within_brackets(text, start)
    if not is_header:
        return _unless_empty(text, _span(text, start, _BARE), name)
    return _after_colon(text, start, name)


def _blanks(text: str, at: int) -> str:
    blanks = _BLANKS.match(text, at)
    return blanks[0] if blanks is not None else ""


def _after_colon(text: str, start: int, name: str) -> tuple[int, int] | None:
    squeezed = squeeze(name)
    if squeezed in _AUTHORIZATION:
        return _authorization(text, start, name)
    span = _unless_empty(text, _span(text, start, _BARE), name)
    if span is None:
        return None
    word = text[span[0] : span[1]]
    if _SAID_OF_SECRETS.fullmatch(word.lower().rstrip(".,;!?")):
        return None
    return None if squeezed in _WEAK_NAMES and _PLAIN_WORD.fullmatch(word) else span


def _authorization(text: str, start: int, name: str) -> tuple[int, int] | None:
    scheme = _SCHEME.match(text, start)
    if scheme is None:
        return _unless_empty(text, _span(text, start, _BARE), name)
    if _SAID_OF_SECRETS.fullmatch(scheme[1].lower()):
        return None
    if scheme[1].lower() not in _ONE_TOKEN_SCHEMES:
        return _span(text, start, _LINE)
    token = _span(text, scheme.end(), _BARE)
    return (start, token[1]) if token is not None else None


def _span(text: str, start: int, shape: re.Pattern[str]) -> tuple[int, int] | None:
    found = shape.match(text, start)
    return found.span() if found is not None else None


def _unless_empty(text: str, span: tuple[int, int] | None, name: str) -> tuple[int, int] | None:
    if span is None or _NO_VALUE.fullmatch(text, *span):
        return None
    is_count = name.lower().endswith(("tokens", "sessions", "cookies", "count"))
    return None if is_count and _NUMBER.fullmatch(text, *span) else span


def _within_quotes(text: str, start: int, quote: str) -> tuple[int, int] | None:
    if len(quote) > 1:  # JSON within JSON: the same backslashes stand before the quote that closes it
        end = text.find(quote, start)
    else:
        end = start
        while True:
            end = text.find(quote, end)
            if end < 0 or not _is_escaped(text, start, end):
                break
            end += 1
    end = end if end >= 0 else len(text)  # cut off: all that is left may be the secret
    return (start, end) if end > start else None


def _is_escaped(text: str, start: int, at: int) -> bool:
    backslashes = 0
    while at - backslashes > start and text[at - backslashes - 1] == "\\":
        backslashes += 1
    return backslashes % 2 == 1


def _within_brackets(text: str, start: int) -> tuple[int, int]:
    depth = 0
    for bracket in _BRACKETS.finditer(text, start):
        depth += 1 if bracket[0] in "[{(" else -1
        if depth == 0:
            rest = _BARE.match(text, bracket.end())
            return (start, rest.end() if rest is not None else bracket.end())
    return (start, len(text))
