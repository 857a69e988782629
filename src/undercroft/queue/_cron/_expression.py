"""Cron expressions: read, checked field by field, and refused in words that say where and why.

Five fields (minute, hour, day of month, month, day of week), or six with seconds first. In each: `*`, values, ranges
`a-b`, steps `*/n`, `a/n` and `a-b/n`, lists of those with commas; month and weekday names; `L` (last day) and `LW`
(last weekday) as day of month; `5L` (last Friday) and `1#2` (second Monday) as day of week, where 0 and 7 are Sunday.
The nicknames `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.

What passes here is read by `cronsim` (github.com/cuu508/cronsim), whose grammar this is; refused on top are steps
longer than the field, which would quietly mean something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from undercroft._core.errors import near_names
from undercroft.queue._errors import JobDefinitionError

MAX_LENGTH = 200
"""No one writes longer ones by hand; bounds the work that a hostile one can cause."""

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_TERM = re.compile(r"(?:(\*)|([A-Z0-9]+)(?:-([A-Z0-9]+))?)(?:/([0-9]+))?")
_LAST_WEEKDAY_OF_MONTH = re.compile(r"([0-7])L")
_NTH_WEEKDAY_OF_MONTH = re.compile(r"([A-Z0-9]+)#([1-5])")


@dataclass(frozen=True, slots=True)
class Expression:
    """A cron expression that was checked."""

    text: str
    """As it was written."""
    canonical: str
    """Capitals, single spaces, no nickname: what `cronsim` is given."""

    @property
    def is_fixed(self) -> bool:
        """Whether it names times of day, which DST neither drops nor doubles, rather than a rhythm.

        Debian cron's rule: neither the minute nor the hour begins with a star; and there are no seconds.
        """
        fields = self.canonical.split()
        return len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    size: int = 0
    """How many different values there are; a longer step selects only one."""

    def number(self, text: str) -> int | None:
        """Return the value that `text` names, in its range or not; `None` when it names none."""
        if text in self.names:
            return self.names.index(text) + (1 if self.low else 0)
        return int(text) if text.isdecimal() else None


_SECOND = _Field("second", 0, 59, size=60)
_MINUTE = _Field("minute", 0, 59, size=60)
_HOUR = _Field("hour", 0, 23, size=24)
_DAY = _Field("day of month", 1, 31, size=31)
_MONTH = _Field("month", 1, 12, names=_MONTHS, size=12)
_WEEKDAY = _Field("day of week", 0, 7, names=_DAYS, size=7)
_FIELDS = (_SECOND, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


def parse_expression(text: Any, *, what: str = "cron expression") -> Expression:
    """Check an expression and return it.

    Args:
        what: What it is for; the beginning of the error.

    Raises:
        JobDefinitionError: It names the field, the value, the range that is allowed, and near fixes.
    """
    plain = _plain(text, what)
    if plain.startswith("@"):
        return Expression(text, _by_nickname(plain, what))
    parts = plain.upper().split()
    if len(parts) not in (5, 6):
        raise _wrong_count(plain, len(parts), what)
    checked = [_checked(field, part, what, plain) for field, part in zip(_FIELDS[-len(parts) :], parts, strict=True)]
    return Expression(text, " ".join(checked))


def _plain(text: Any, what: str) -> str:
    if not isinstance(text, str):
        raise JobDefinitionError(f"{what}: {text!r} is not text", hint='write an expression such as "*/5 * * * *"')
    if len(text) > MAX_LENGTH:
        raise JobDefinitionError(f"{what}: an expression of {len(text)} characters", hint=f"at most {MAX_LENGTH}")
    if not text.isascii():
        raise JobDefinitionError(f"{what}: {text!r} has characters that no cron expression has")
    return text.strip()


def _by_nickname(plain: str, what: str) -> str:
    canonical = NICKNAMES.get(plain.lower())
    if canonical is None:
        hint = "start a job from your application's start instead" if plain.lower() == "@reboot" else None
        raise JobDefinitionError(
            f"{what}: there is no {plain!r}",
            near=near_names(plain, NICKNAMES),
            hint=hint or f"nicknames: {', '.join(NICKNAMES)}",
        )
    return canonical


def _wrong_count(plain: str, count: int, what: str) -> JobDefinitionError:
    hint = 'five fields: minute hour day-of-month month day-of-week, as in "30 3 * * MON"; six with seconds first'
    if count == 7:
        hint = "the year of Quartz is not known here; leave it out, and use start= and end="
    elif re.match(r"(every\b|\d+ *(ms|[smhdw])[a-z]*$)", plain, re.IGNORECASE):
        hint = 'for a rhythm write every="5m"'
    return JobDefinitionError(f"{what}: {plain!r} has {count} field{'' if count == 1 else 's'}, not 5 or 6", hint=hint)


def _checked(field: _Field, part: str, what: str, plain: str) -> str:
    """Return one field as `cronsim` shall read it."""

    def refuse(problem: str, near: tuple[str, ...] = (), hint: str | None = None) -> JobDefinitionError:
        return JobDefinitionError(
            f"{what}: {field.name} {part!r} in {plain!r}: {problem}", near=near, hint=hint or _allowed(field)
        )

    terms = part.split(",")
    for term in terms:
        problem = _problem(field, term)
        if problem is not None:
            raise refuse(*problem)
    return ",".join(map(_without_idle_step, terms))


_Problem = tuple[str, tuple[str, ...], str | None]


def _problem(field: _Field, term: str) -> _Problem | None:
    """Return what is wrong with one term: what, near fixes, and what to do; `None` when nothing is."""
    if _is_special(field, term):
        return None
    match = _TERM.fullmatch(term)
    if match is None:
        return _unreadable(term)
    star, first, last, step = match.groups()
    ends = [] if star else [end for end in (first, last) if end is not None]
    for end in ends:
        problem = _bad_value(field, end)
        if problem is not None:
            return problem
    if step is not None and not 1 <= int(step) <= field.size:
        return f"the step {step} is not within 1-{field.size}", (), _as_interval(field, int(step))
    return _reversed(field, *ends) if len(ends) == 2 else None


def _is_special(field: _Field, term: str) -> bool:
    if field is _DAY:
        return term in ("L", "LW")
    if field is not _WEEKDAY:
        return False
    nth = _NTH_WEEKDAY_OF_MONTH.fullmatch(term)
    return bool(_LAST_WEEKDAY_OF_MONTH.fullmatch(term)) or bool(nth and _bad_value(field, nth[1]) is None)


def _bad_value(field: _Field, text: str) -> _Problem | None:
    value = field.number(text)
    if value is None and field is _WEEKDAY and text[:-1] in _DAYS and text[-1] == "L":
        return f"{text!r} is written with a number", (f"{_DAYS.index(text[:-1])}L",), None
    if value is None:
        return f"{text!r} is not a value", tuple(near_names(text, field.names)), None
    if not field.low <= value <= field.high:
        wrapped = field.high + 1 == value and field.low == 0
        near = str(field.low) if value < field.low or wrapped else str(field.high)
        return f"{text} is not within {field.low}-{field.high}", (near,), None
    return None


def _reversed(field: _Field, first: str, last: str) -> _Problem | None:
    start, end = field.number(first), field.number(last)
    assert start is not None
    assert end is not None
    if start <= end:
        return None
    highest = 6 if field is _WEEKDAY else field.high
    near = f"{start}-7" if field is _WEEKDAY and end == 0 else f"{start}-{highest},{field.low}-{end}"
    return f"the range {first}-{last} ends before it begins", (near,), None


def _unreadable(term: str) -> _Problem:
    if term == "":
        return "a value is missing beside a comma", (), None
    if term == "?":
        return "'?' is written '*' here", ("*",), None
    return f"{term!r} cannot be read", (), None


def _allowed(field: _Field) -> str:
    values = f"{field.low}-{field.high}"
    if field.names:
        values += f" or {field.names[0]}-{field.names[-1]}"
    special = {_DAY: ", L (last), LW (last weekday)", _WEEKDAY: ", 5L (last Friday), 1#2 (second Monday)"}
    return f"{field.name}: {values}, *, ranges a-b, steps */n, lists a,b{special.get(field, '')}"


def _as_interval(field: _Field, step: int) -> str | None:
    unit = {_SECOND: "s", _MINUTE: "m", _HOUR: "h", _DAY: "d"}.get(field) if step else None
    return f'a step begins anew in every cycle of its field; for a rhythm write every="{step}{unit}"' if unit else None


def _without_idle_step(term: str) -> str:
    # `5-5/10` is one value; cronsim would read it as `5/10`.
    match = re.fullmatch(r"([A-Z0-9]+)-\1/[0-9]+", term)
    return match[1] if match else term
