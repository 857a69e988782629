"""The user and password of a URL, and of the addresses that Go's database drivers take."""

from __future__ import annotations

import re

from undercroft._core.url import HIDDEN

_WORD = re.compile(r"\S*+")
_USER_AND_COLON = re.compile(r"[^\s/@:?#]*+:(?!\d{1,5}[/?#])")
_AUTHORITY = re.compile(r"[^\s/?#]*+")
# From the beginning of a word only, so that no word is looked at twice.
_GO_ADDRESS = re.compile(r"(?<![^\s\"'])[^\s\"']+@(?=(?:tcp|unix)\()")


def hide_userinfo(text: str) -> str:
    """Return `text` with the userinfo of every URL in it hidden.

    Up to the last "@" of the word, if there is a colon that no port follows: passwords have "/", "?", "#" and "@" in
    them, legal or not, and hiding a host too is the better mistake. Without a colon, up to the last "@" before the
    path.
    """
    parts: list[str] = []
    done = word_end = last_at = 0
    slashes = text.find("://")
    while slashes >= 0:
        start = slashes + 3
        if start >= word_end:
            word_end = _end(_WORD, text, start)
            last_at = text.rfind("@", start, word_end)
        end = _userinfo_end(text, start, last_at) if last_at >= start else -1
        if end >= 0:
            parts += [text[done:start], HIDDEN]
            done = end
        slashes = text.find("://", max(start, end))
    return "".join([*parts, text[done:]]) if parts else text


def hide_go_addresses(text: str) -> str:
    """Return `text` with the user and password of `user:password@tcp(host:3306)/database` hidden."""
    if "@tcp(" not in text and "@unix(" not in text:
        return text
    return _GO_ADDRESS.sub(f"{HIDDEN}@", text)


def _userinfo_end(text: str, start: int, last_at: int) -> int:
    if _USER_AND_COLON.match(text, start, last_at + 1):
        return last_at
    return text.rfind("@", start + 1, _end(_AUTHORITY, text, start))


def _end(shape: re.Pattern[str], text: str, start: int) -> int:
    found = shape.match(text, start)
    return found.end() if found is not None else start
