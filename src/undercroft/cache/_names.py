"""What may be a key, a tag and a namespace. The check of a good key is on the path of every read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from undercroft.cache._errors import CacheKeyError, CacheOptionError

MOST = 512
_MOST_OF_TAG = 256
_MOST_TAGS = 64
_NAMESPACE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHOWN = 60


def check_key(key: object) -> None:
    """Raise unless `key` is text of 1 to 512 characters that UTF-8 has.

    Raises:
        CacheKeyError: It is not.
    """
    _check(key, "a key", MOST)


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return these tags, each once.

    Raises:
        CacheKeyError: One is not text of 1 to 256 characters, or there are more than 64.
    """
    if isinstance(tags, str):
        raise CacheKeyError(f"tags={tags!r} is one text", hint=f"write tags=[{tags!r}]")
    unique = tuple(dict.fromkeys(tags))
    for tag in unique:
        _check(tag, "a tag", _MOST_OF_TAG)
    if len(unique) > _MOST_TAGS:
        raise CacheKeyError(f"{len(unique)} tags are too many for one value", hint=f"give at most {_MOST_TAGS}")
    return unique


def check_namespace(name: object) -> str:
    """Return `name`.

    Raises:
        CacheOptionError: It is not 1 to 64 of the characters that are allowed.
    """
    if not isinstance(name, str) or not _NAMESPACE.fullmatch(name):
        raise CacheOptionError(
            f"the namespace {_shown(name)} is not valid", hint="use 1 to 64 letters, digits, dots, dashes, underscores"
        )
    return name


def _check(text: object, what: str, most: int) -> None:
    if not isinstance(text, str):
        raise CacheKeyError(
            f"{what} is text, and this is {type(text).__name__}: {_shown(text)}", hint='write it out: f"user:{user_id}"'
        )
    if not 0 < len(text) <= most:
        raise CacheKeyError(
            f"{what} has 1 to {most} characters, and this one {len(text)}: {_shown(text)}",
            hint="hash what is long: hashlib.sha256(text.encode()).hexdigest()" if text else None,
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CacheKeyError(f"{what} has half a character, which UTF-8 has not: {_shown(text)}") from None


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
