"""From an id, or the beginning of one, to all that belongs to its story."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from undercroft._core.context import Trace
from undercroft.monitoring._recent._errors import StoryAmbiguousError, StoryNotFoundError

if TYPE_CHECKING:
    import sqlite3

LEAST_PREFIX = 6
MAX_TRACES = 50
_MAX_CANDIDATES = 8
_LAST_CHARACTER = chr(0x10FFFF)


class Ids(NamedTuple):
    """What the spans and lines of one story have in common."""

    traces: frozenset[str]
    requests: frozenset[str]
    jobs: frozenset[str]
    is_cut: bool
    """There are more traces."""


def find(db: sqlite3.Connection, text: str) -> tuple[str, Ids]:
    """Return the whole id that `text` is or begins, and what belongs to it.

    Raises:
        StoryNotFoundError: There is none.
        StoryAmbiguousError: There are several, of different stories.
    """
    text = text.strip()
    header = Trace.parse(text)
    wanted = header.trace_id if header else text
    as_written = dict.fromkeys((wanted, wanted.lower(), wanted.upper()))
    for exact in as_written:
        if (ids := gather(db, exact)) is not None:
            return exact, ids
    for beginning in as_written if len(wanted) >= LEAST_PREFIX else ():
        if candidates := _strings(db, _BEGINNING, (beginning, beginning + _LAST_CHARACTER, _MAX_CANDIDATES + 1)):
            return _one_of(db, text, candidates)
    raise StoryNotFoundError(
        f"no span and no line has the id {_shown(text)}",
        id=text,
        hint=f"give a trace, request, job or span id, or its first {LEAST_PREFIX} characters or more; what is older "
        "than the store keeps is gone",
    )


def gather(db: sqlite3.Connection, id: str) -> Ids | None:  # noqa: A002 - the field's word
    """Return what belongs to an id: whatever shares a trace or a request with it, or a trace that is linked.

    From there on again, until nothing is added or 50 traces are found, the newest first. `None`: nothing has this id.
    """
    own = (_list([id]),)
    traces = set(_strings(db, _TRACES_OF_ID, own) or _strings(db, _TRACES_OF_LINE_SPAN, own))
    requests, jobs = set(_strings(db, _REQUESTS_OF_ID, own)), set(_strings(db, _JOBS, own))
    if not traces and not requests and not jobs:
        return None
    is_cut, new = len(traces) > MAX_TRACES, traces
    while new:
        requests.update(_strings(db, _REQUESTS_OF_TRACES, (_list(new),)))
        found = _strings(db, _TRACES_OF_REQUESTS, (_list(requests),)) + _strings(db, _LINKED, (_list(new),))
        more = [trace for trace in dict.fromkeys(found) if trace not in traces]
        room = max(0, MAX_TRACES - len(traces))
        is_cut = is_cut or len(more) > room
        new = set(more[:room])
        traces |= new
    return Ids(frozenset(traces), frozenset(requests), frozenset(jobs), is_cut)


def _one_of(db: sqlite3.Connection, text: str, candidates: list[str]) -> tuple[str, Ids]:
    """Return the first candidate, if all are of one story: the ids of one moment begin alike."""
    if len(candidates) <= _MAX_CANDIDATES:
        stories = [ids for ids in (gather(db, candidate) for candidate in candidates) if ids is not None]
        if len({(ids.traces, ids.requests) for ids in stories}) == 1:
            return candidates[0], stories[0]
    shown = tuple(candidates[:_MAX_CANDIDATES])
    more = " at least" if len(candidates) > _MAX_CANDIDATES else ""
    raise StoryAmbiguousError(
        f"{more.strip() or 'exactly'} {len(candidates)} ids of different stories begin with {_shown(text)}",
        candidates=shown,
        hint="give more characters of it",
    )


def _strings(db: sqlite3.Connection, statement: str, values: tuple[str | int, ...]) -> list[str]:
    return [value for (value,) in db.execute(statement, values).fetchall()]


def _list(values: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else f"{text[:64]}…")


# --- Each takes a JSON list of ids --------------------------------------------------------------------------------

_TRACES_OF_ID = """
WITH wanted AS (SELECT value FROM json_each(?))
SELECT trace_id FROM (
    SELECT trace_id, end_ns AS at FROM spans WHERE trace_id IN wanted
    UNION ALL SELECT trace_id, end_ns FROM spans WHERE span_id IN wanted
    UNION ALL SELECT trace_id, end_ns FROM spans WHERE request_id IN wanted
    UNION ALL SELECT trace_id, end_ns FROM spans WHERE job_id IN wanted
    UNION ALL SELECT trace_id, at_ms * 1000000 FROM lines WHERE trace_id IN wanted
    UNION ALL SELECT trace_id, at_ms * 1000000 FROM lines WHERE request_id IN wanted
    UNION ALL SELECT trace_id, at_ms * 1000000 FROM lines WHERE job_id IN wanted)
WHERE trace_id IS NOT NULL GROUP BY trace_id ORDER BY max(at) DESC LIMIT 50"""

# No index: looked at last, for a span that has not ended.
_TRACES_OF_LINE_SPAN = """
SELECT DISTINCT trace_id FROM lines WHERE span_id IN (SELECT value FROM json_each(?)) AND trace_id IS NOT NULL
LIMIT 50"""

_REQUESTS_OF_ID = """
WITH wanted AS (SELECT value FROM json_each(?))
SELECT request_id FROM (
    SELECT request_id FROM spans WHERE request_id IN wanted OR job_id IN wanted
    UNION SELECT request_id FROM lines WHERE request_id IN wanted OR job_id IN wanted)
WHERE request_id IS NOT NULL LIMIT 50"""

_JOBS = """
WITH wanted AS (SELECT value FROM json_each(?))
SELECT job_id FROM spans WHERE job_id IN wanted UNION SELECT job_id FROM lines WHERE job_id IN wanted LIMIT 50"""

_REQUESTS_OF_TRACES = """
WITH wanted AS (SELECT value FROM json_each(?))
SELECT request_id FROM (
    SELECT request_id FROM spans WHERE trace_id IN wanted UNION SELECT request_id FROM lines WHERE trace_id IN wanted)
WHERE request_id IS NOT NULL LIMIT 500"""

_TRACES_OF_REQUESTS = """
WITH wanted AS (SELECT value FROM json_each(?))
SELECT trace_id FROM (
    SELECT trace_id, end_ns AS at FROM spans WHERE request_id IN wanted
    UNION ALL SELECT trace_id, at_ms * 1000000 FROM lines WHERE request_id IN wanted)
WHERE trace_id IS NOT NULL GROUP BY trace_id ORDER BY max(at) DESC LIMIT 101"""

_LINKED = """
WITH wanted AS (SELECT value FROM json_each(?))
SELECT trace_id FROM (
    SELECT linked AS trace_id, end_ns AS at FROM spans JOIN links ON span = seq WHERE trace_id IN wanted
    UNION ALL SELECT trace_id, end_ns FROM links JOIN spans ON span = seq WHERE linked IN wanted)
GROUP BY trace_id ORDER BY max(at) DESC LIMIT 101"""

# --- Takes the first and the last text that begins so, and a limit -------------------------------------------------

_BEGINNING = """
SELECT trace_id FROM spans WHERE trace_id BETWEEN ?1 AND ?2
UNION SELECT span_id FROM spans WHERE span_id BETWEEN ?1 AND ?2
UNION SELECT request_id FROM spans WHERE request_id BETWEEN ?1 AND ?2
UNION SELECT job_id FROM spans WHERE job_id BETWEEN ?1 AND ?2
UNION SELECT trace_id FROM lines WHERE trace_id BETWEEN ?1 AND ?2
UNION SELECT request_id FROM lines WHERE request_id BETWEEN ?1 AND ?2
UNION SELECT job_id FROM lines WHERE job_id BETWEEN ?1 AND ?2
ORDER BY 1 LIMIT ?3"""
