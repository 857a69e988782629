"""How a trace and its baggage travel: as W3C's headers, in HTTP, in messages, and stored with jobs.

`traceparent` and `tracestate` are https://www.w3.org/TR/trace-context/, `baggage` is https://www.w3.org/TR/baggage/.
What comes from outside is checked here; what is not valid is dropped, and nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from undercroft._core.context import Correlation, Trace

TRACEPARENT, TRACESTATE, BAGGAGE = "traceparent", "tracestate", "baggage"

_KEY = r"[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_STATE_MEMBER = re.compile(rf"(?:{_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MAX_STATE_MEMBERS = 32
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_PROPERTY = rf"{_NAME}(?:[ \t]*=[ \t]*{_VALUE})?"
_BAGGAGE_MEMBER = re.compile(rf"{_NAME}[ \t]*=[ \t]*{_VALUE}(?:[ \t]*;[ \t]*{_PROPERTY})*")
# What W3C asks everyone to pass on at least; more than that would make every carrier as large as a stranger likes.
_MAX_BAGGAGE_MEMBERS = 64
_MAX_BAGGAGE_CHARACTERS = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a carrier brought."""

    trace: Trace | None = None
    """The position of whoever sent it: the parent of what is done here. `None`: there was none, or it is not valid."""
    baggage: str = ""


_NOTHING = Carried()


def inject(names: Correlation) -> dict[str, str]:
    """Return the headers that tell where the work going on stands: those that apply of the three."""
    headers: dict[str, str] = {}
    if names.trace is not None:
        headers[TRACEPARENT] = str(names.trace)
        if names.trace.state:
            headers[TRACESTATE] = names.trace.state
    if names.baggage:
        headers[BAGGAGE] = names.baggage
    return headers


def extract(carrier: Mapping[str, str]) -> Carried:
    """Return what `carrier` brought; its keys are lower case. Never raises."""
    baggage = carrier.get(BAGGAGE)
    parent = carrier.get(TRACEPARENT)
    state = carrier.get(TRACESTATE)
    trace = None if not parent else Trace.parse(parent, checked_tracestate([state]) if state else "")
    return Carried(trace=trace, baggage=checked_baggage([baggage]) if baggage else "")


def pack(names: Correlation) -> str | None:
    """Return the headers of `inject` as one text to store: `traceparent` itself, or a JSON object if there are more."""
    if not names.baggage and (names.trace is None or not names.trace.state):
        return None if names.trace is None else str(names.trace)
    return msgspec.json.encode(inject(names)).decode()


def unpack(text: str | None) -> Carried:
    """Return what `pack` stored. A text that is neither form brings nothing."""
    if not text:
        return _NOTHING
    if not text.startswith("{"):
        trace = Trace.parse(text)
        return _NOTHING if trace is None else Carried(trace=trace)
    try:
        return extract(msgspec.json.decode(text, type=dict[str, str]))
    except msgspec.MsgspecError:
        return _NOTHING


def checked_tracestate(values: Iterable[str]) -> str:
    """Return the value of one or several `tracestate` headers as one; empty when any member is not valid.

    The members of several headers are joined in order (RFC 9110, section 5.3). More than 32 are none.
    """
    members = [member.strip(" \t") for value in values for member in value.split(",")]
    members = [member for member in members if member]
    if len(members) > _MAX_STATE_MEMBERS or not all(map(_STATE_MEMBER.fullmatch, members)):
        return ""
    return ",".join(members)


def checked_baggage(values: Iterable[str]) -> str:
    """Return the value of one or several `baggage` headers as one, without members that are not valid.

    At most 64 members and 8,192 characters; those after that are dropped.
    """
    kept: list[str] = []
    length = 0
    for member in (part.strip(" \t") for value in values for part in value.split(",")):
        if not _BAGGAGE_MEMBER.fullmatch(member):
            continue
        length += len(member) + bool(kept)
        if length > _MAX_BAGGAGE_CHARACTERS or len(kept) == _MAX_BAGGAGE_MEMBERS:
            break
        kept.append(member)
    return ",".join(kept)
