"""What an application sends along with a trace: names and values that every service on the way can read.

Source: https://www.w3.org/TR/baggage/. Values are percent-encoded UTF-8; properties that others put behind a value
stay. Anyone on the way can read it and change it: it is no place for secrets, and no proof of anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote, unquote

from undercroft._core.carrier import checked_baggage
from undercroft._core.context import correlate, correlation
from undercroft.monitoring._tracing._errors import BaggageError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# baggage-octet without "%", which quote() always encodes; the letters, digits and "_.-~" it leaves alone anyway.
_UNQUOTED = "!#$&'()*+/:<=>?@[]^`{|}"


def get_baggage() -> Mapping[str, str]:
    """Return the baggage of the work going on here, decoded; empty if there is none. Properties are left out."""
    return {name: _value(member) for name, member in _members().items()}


@contextmanager
def baggage(values: Mapping[str, str | None] | None = None, /, **more: str | None) -> Iterator[None]:
    """Add to the baggage for the block: what is sent from inside carries it. `None` takes a name out.

        with baggage(tenant="7", {"shop.plan": "pro"}): ...

    Raises:
        BaggageError: A name is no token, a value no text, or it would be more than 64 members or 8,192 characters.
    """
    members = _members()
    for name, value in {**(values or {}), **more}.items():
        members.pop(name, None)
        if value is not None:
            members[name] = _member(name, value)
    text = ",".join(members.values())
    if checked_baggage([text]) != text:
        raise BaggageError(
            f"the baggage would be {len(members)} members and {len(text)} characters",
            hint="at most 64 members and 8,192 characters are passed on by everyone: send an id, and look the rest up",
        )
    with correlate(replace(correlation(), baggage=text)):
        yield


def _members() -> dict[str, str]:
    members = filter(None, correlation().baggage.split(","))
    return {member.partition("=")[0].strip(" \t"): member for member in members}


def _member(name: str, value: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise BaggageError(
            f"{name!r} cannot be a name in baggage", hint="use letters, digits, and any of !#$%&'*+.^_`|~-"
        )
    if not isinstance(value, str):
        raise BaggageError(f"the value of {name!r} in baggage is {type(value).__name__}", hint="give it as text")
    return f"{name}={quote(value, safe=_UNQUOTED, errors='replace')}"


def _value(member: str) -> str:
    return unquote(member.partition("=")[2].partition(";")[0].strip(" \t"), errors="replace")
