"""`undercroft health`."""

from __future__ import annotations

import os

import click

from undercroft.cli._health_quick import Question, answer, directory_of, read
from undercroft.cli._options import debug_option, json_option, read_duration


@click.command(short_help="Tell how the processes of this machine are.")
@click.option("--home", metavar="DIRECTORY", help="Where the application keeps its files. [default: $UNDERCROFT_HOME]")
@click.option("--kind", metavar="KIND", help="Look at processes of this kind only: api, worker, all.")
@click.option(
    "--max-age",
    callback=read_duration,
    default="15s",
    show_default=True,
    metavar="TIME",
    help="How old the last sign of life may be.",
)
@click.option("--live", is_flag=True, help="Ask only whether they run and their event loops turn.")
@json_option
@debug_option
def health(*, home: str | None, kind: str | None, max_age: float, live: bool, as_json: bool) -> int:
    """Tell how the processes of this machine are, by what they write down; exit with 1 when one is not well.

    Reads small files in the home, and asks nobody: it neither imports the application nor connects to anything, so it
    is fit for a probe that runs every few seconds. A process is well when it runs, its event loop turns, and none of
    its critical checks is unhealthy. --live leaves the checks out: a liveness probe must not ask for dependencies.
    """
    question = Question(home, kind, max_age, live, as_json)
    directory = directory_of(home, os.environ)
    try:
        beats = read(question, os.environ)
    except OSError as exc:
        raise _nothing(directory, question, exc.strerror or type(exc).__name__) from exc
    if not any(beat.is_here for beat in beats):
        raise _nothing(directory, question, "only of other machines" if beats else None)
    return answer(question, beats)


def _nothing(directory: str, question: Question, reason: str | None) -> Exception:
    from undercroft._core.errors import near_names
    from undercroft.health import NoHeartbeatError, read_heartbeats

    near: list[str] = []
    if reason is None and question.kind is not None:
        kinds = sorted({beat.kind for beat in read_heartbeats(directory)})
        near = near_names(question.kind, kinds) or kinds
    whose = "process" if question.kind is None else f"process of the kind {question.kind!r}"
    return NoHeartbeatError(
        f"no {whose} has written its state into {directory}" + (f": {reason}" if reason else ""),
        near=near,
        hint="start one here (undercroft worker APP), or say where the application keeps its files: --home var",
    )
