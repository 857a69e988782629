"""What `undercroft health` answers, without click and without the application.

A probe that starts an interpreter every few seconds must not cost what a whole command line costs, so this is imported
before anything else, and imports next to nothing: `json`, `os`, `sys` and `time`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from undercroft.health._heartbeats import MAX_AGE_S, Heartbeat, read_heartbeats

_OK, _FAILED = 0, 1  # of ExitCode, which would be dear to import; docker knows no other code of a probe than these
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_COLUMNS = 80


class Question(NamedTuple):
    """What is asked."""

    home: str | None = None
    kind: str | None = None
    max_age_s: float = MAX_AGE_S
    live: bool = False
    as_json: bool = False


def answer_quickly(arguments: Sequence[str], variables: Mapping[str, str] = os.environ) -> int | None:
    """Print the answer and return the exit code; `None`, with nothing printed, for what takes the whole command line.

    That is help, an option that is wrong or written in another way, and when there is nothing to be read.
    """
    question = _parsed(arguments)
    if question is None:
        return None
    try:
        beats = read(question, variables)
    except OSError:
        return None
    return answer(question, beats) if any(beat.is_here for beat in beats) else None


def read(question: Question, variables: Mapping[str, str]) -> list[Heartbeat]:
    """Return what the processes wrote down.

    Raises:
        OSError: It is there, and cannot be read.
    """
    return read_heartbeats(directory_of(question.home, variables), kind=question.kind, max_age_s=question.max_age_s)


def directory_of(home: str | None, variables: Mapping[str, str]) -> str:
    """Return where the processes of a home write; the home is `--home`, else `UNDERCROFT_HOME`, else `.undercroft`.

    Raises:
        OSError: The file that `UNDERCROFT_HOME_FILE` names cannot be read.
    """
    path = home or variables.get("UNDERCROFT_HOME", "").strip()
    file_name = variables.get("UNDERCROFT_HOME_FILE", "").strip()
    if not path and file_name:
        with open(file_name, encoding="utf-8") as file:  # noqa: PTH123 - importing pathlib takes longer than all this
            path = file.read().strip()
    return os.path.join(os.path.expanduser(path or ".undercroft"), "health")  # noqa: PTH111, PTH118


def answer(question: Question, beats: Sequence[Heartbeat]) -> int:
    """Print the state of each process; return 0 when all of this machine are well."""
    if question.as_json:
        import json

        print(json.dumps([_plain(beat) for beat in beats], indent=2))
    else:
        print("\n".join(line for beat in beats for line in _lines(beat)))
    here = [beat for beat in beats if beat.is_here]
    are_well = all(beat.is_live if question.live else beat.is_healthy for beat in here)
    return _OK if here and are_well else _FAILED


def _parsed(arguments: Sequence[str]) -> Question | None:
    """Return what the options ask, or `None` when they are not plain enough."""
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        option, has_value, value = rest.pop(0).partition("=")
        if option in ("--live", "--json") and not has_value:
            given[option] = option
        elif option in ("--home", "--kind", "--max-age") and (has_value or rest):
            given[option] = value if has_value else rest.pop(0)
        else:
            return None
    max_age_s = _seconds(given["--max-age"]) if "--max-age" in given else MAX_AGE_S
    if max_age_s is None:
        return None
    return Question(given.get("--home"), given.get("--kind"), max_age_s, "--live" in given, "--json" in given)


def _seconds(text: str) -> float | None:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = _UNITS.get(text[len(number) :] or "s")
    whole, has_part, part = number.partition(".")
    is_number = number.isascii() and whole.isdecimal() and (part.isdecimal() or not has_part)
    return float(number) * unit if unit is not None and is_number else None


def _plain(beat: Heartbeat) -> dict[str, object]:
    said = {key: beat.document.get(key) for key in ("host", "started_at", "beat_at", "loop_lag_ms", "work", "report")}
    return {
        "kind": beat.kind,
        "pid": beat.pid,
        "status": beat.status,
        "is_healthy": beat.is_healthy,
        "is_live": beat.is_live,
        "is_here": beat.is_here,
        "problem": beat.problem,
        "age_s": round(beat.age_s, 3),
        **said,
    }


def _lines(beat: Heartbeat) -> list[str]:
    head = f"{_safe(beat.kind):7} {beat.pid:>7}  {_word(beat):9}  "
    text = _safe("; ".join(part for part in (beat.problem, _state(beat) if beat.is_live else None) if part))
    if len(head) + len(text) <= _COLUMNS:
        return [(head + text).rstrip()]
    import textwrap

    first, *others = textwrap.wrap(text, max(20, _COLUMNS - len(head)))
    return [head + first, *(" " * len(head) + line for line in others)]


def _word(beat: Heartbeat) -> str:
    if not beat.is_here:
        return "elsewhere"
    return beat.status if beat.is_live else "unhealthy"


def _state(beat: Heartbeat) -> str:
    work = beat.document.get("work")
    parts = [f"beat {beat.age_s:.1f} s ago", f"loop up to {beat.document.get('loop_lag_ms')} ms late"]
    if isinstance(work, dict):
        parts += [f"{key} {value}" for key, value in work.items() if isinstance(value, str | int | float)]
    return ", ".join(parts)


def _safe(text: str) -> str:
    """Return text that moves no cursor and ends no line."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
