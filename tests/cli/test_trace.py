"""trace and logs: what is kept of requests and jobs, without the application."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli._process import COMMAND, Running, environment, run
from tests.monitoring.recent._make import line, span
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import ConfigError
from undercroft.cli._recent import existing_file, safe
from undercroft.cli._waterfall import shown_ms, shown_offset, story_lines
from undercroft.monitoring import FinishedSpan, RecentMissingError, RecentStore, SpanLink, Story
from undercroft.monitoring._recent._tree import tree_of

HOSTILE = "a\x1b[31mred\x1b[0m\nforged line\u202eevil\x07\r\x9b2J\u2028\U000e0041"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory where an application ran and kept a request, with a job that failed."""
    request = span("POST /orders", trace_id="4bf92f" + "a" * 26, ms=43.1, request_id="req-00000001", kind="server")
    query = span(
        "INSERT orders",
        parent=request,
        at_ms=2,
        ms=10,
        attributes={"db.system.name": "sqlite", "db.collection.name": "orders"},
    )
    enqueue = span("enqueue receipt", parent=request, at_ms=13)
    link = SpanLink(trace_id=request.trace_id, span_id=enqueue.span_id)
    job = span("job receipt", trace_id="9bf92f" + "b" * 26, at_ms=60, ms=1_200, job_id="job-00000001", links=[link],
               status="error", status_message="SMTP refused")  # fmt: skip
    error = {"type": "SmtpError", "message": "refused", "stack": "…"}
    keep(
        tmp_path / ".undercroft",
        *(request, query, enqueue, job),
        line("order placed", inside=request, at_ms=1, order_id=7, name="Ann Lee"),
        line("it is slow", inside=request, at_ms=41, level="warning", logger="shop.http"),
        line("no receipt", inside=job, at_ms=1_250, level="error", logger="shop.mail", error=error),
    )
    return tmp_path


def keep(home: Path, *items: FinishedSpan | dict[str, Any]) -> None:
    async def write(store: RecentStore) -> None:
        for item in items:
            store.on_end(item) if isinstance(item, FinishedSpan) else store.on_line(item)

    with_store(home, write)


def with_store(home: Path, action: Callable[[RecentStore], Awaitable[None]]) -> None:
    async def open_it() -> None:
        async with RecentStore(home / "recent.db", clock=VirtualClock()) as store:
            await action(store)

    anyio.run(open_it)


WATERFALL = """\
2025-06-15 15:06:40.000Z  1260.0 ms  4 spans, 3 lines, 2 errors
trace    4bf92faaaaaaaaaaaaaaaaaaaaaaaaaa
trace    9bf92fbbbbbbbbbbbbbbbbbbbbbbbbbb
request  req-00000001
job      job-00000001

    +0.0   43.1 ms |=               | POST /orders
    +1.0           |.               |   INFO  order placed order_id=7 name="Ann
                   |                |     Lee"
    +2.0   10.0 ms |=               |   INSERT orders
   +13.0    1.0 ms |=               |   enqueue receipt
   +60.0 1200.0 ms |================|     job receipt [SMTP refused]
 +1250.0           |               .|       ERROR no receipt error="SmtpError:
                   |                |         refused"
   +41.0           |.               |   WARN  it is slow
"""


@pytest.mark.parametrize("text", ["req-00000001", "job-00000001", "4bf92f", "9BF92F"])
def test_trace_prints_the_whole_story(here: Path, text: str) -> None:
    done = run("trace", text, cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == WATERFALL


def test_trace_prints_attributes_when_asked(here: Path) -> None:
    done = run("trace", "req-00000001", "--attributes", cwd=here)
    rows = [row[38:].strip() for row in done.stdout.splitlines()]
    at = rows.index("INSERT orders")
    assert rows[at + 1 : at + 3] == ["db.system.name=sqlite", "db.collection.name=orders"]


def test_failed_span_says_what_failed_and_a_line_is_not_before_its_span(tmp_path: Path) -> None:
    failed = {"status": "error", "attributes": {"error.type": "KeyError"}}
    outer = span("outer", ms=9, request_id="req-1", **failed)
    inner = span("inner", parent=outer, at_ms=2.6, status_message="'x'", **failed)
    keep(tmp_path / ".undercroft", outer, inner, line("said", inside=inner, at_ms=2))

    rows = run("trace", "req-1", cwd=tmp_path).stdout.splitlines()[4:]

    assert [(row[:8].strip(), row[38:].strip()) for row in rows] == [
        ("+0.0", "outer [KeyError]"),
        ("+2.6", "inner [KeyError: 'x']"),
        ("+2.6", "INFO  said"),
    ]


def test_trace_as_json_is_the_story(here: Path) -> None:
    document = json.loads(run("trace", "req-00000001", "--json", cwd=here).stdout)
    assert (document["id"], document["span_count"], document["error_count"]) == ("req-00000001", 4, 2)
    (top,) = document["entries"]
    assert [entry["type"] for entry in top["entries"]] == ["line", "span", "span", "line"]


def test_trace_without_id_lists_the_last_ones(here: Path) -> None:
    lines = run("trace", cwd=here).stdout.splitlines()
    assert lines[0].split() == ["began", "took", "spans", "lines", "errors", "id", "name"]
    rows = [row.split() for row in lines[1:]]
    assert rows == [
        ["06-15", "15:06:40Z", "1200.0", "ms", "1", "1", "1", "9bf92fbbbbbb", "job", "receipt"],
        ["06-15", "15:06:40Z", "43.1", "ms", "3", "2", "0", "4bf92faaaaaa", "POST", "/orders"],
    ]
    assert all(len(row) <= 80 for row in lines)


@pytest.mark.parametrize("options", [("--errors",), ("--slow", "1s"), ("--limit", "1")])
def test_list_of_traces_can_be_narrowed(here: Path, options: tuple[str, ...]) -> None:
    (found,) = json.loads(run("trace", *options, "--json", cwd=here).stdout)
    assert found["name"] == "job receipt"


def test_unknown_id_ends_with_refused(here: Path) -> None:
    done = run("trace", "ffffff", cwd=here)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("error: UC1492 no span and no line has the id 'ffffff'\n  do: ")


def test_ambiguous_id_names_the_candidates(here: Path) -> None:
    keep(here / ".undercroft", *(span("x", request_id=f"same-beginning-{n}") for n in range(2)))
    done = run("trace", "same-beg", cwd=here)
    assert (done.returncode, done.stdout) == (5, "")
    assert "near: same-beginning-0, same-beginning-1" in done.stderr


@pytest.mark.parametrize("command", [("trace",), ("trace", "ffffff"), ("logs",), ("logs", "-f")])
def test_where_nothing_is_kept_says_so_and_makes_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "UC1494 no spans and lines are kept in .undercroft/recent.db" in done.stderr
    assert not list(tmp_path.iterdir())


def test_place_is_the_option_then_the_url_then_the_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, elsewhere = str(here / ".undercroft"), here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "home").write_text(f"{kept}\n")
    monkeypatch.chdir(elsewhere)
    url = f"sqlite:///{kept}/recent.db?max_lines=5"

    def found(option: str | None = None, **variables: str) -> Path:
        return existing_file(option, variables)

    expected = Path(kept, "recent.db")
    assert found(UNDERCROFT_HOME=kept) == expected
    assert found(UNDERCROFT_HOME="nowhere", UNDERCROFT_RECENT=url) == expected
    assert found(kept, UNDERCROFT_RECENT="none") == expected
    assert found(UNDERCROFT_HOME_FILE="home") == expected
    for wrong in ({}, {"UNDERCROFT_HOME": kept, "UNDERCROFT_RECENT": "none"}):
        with pytest.raises(RecentMissingError):
            found(**wrong)
    for wrong in ({"UNDERCROFT_RECENT": "recent.db"}, {"UNDERCROFT_HOME_FILE": "not there"}):
        with pytest.raises(ConfigError):
            found(**wrong)


def test_trace_and_logs_load_no_application(here: Path) -> None:
    (here / "sitecustomize.py").write_text("raise SystemExit('the application was imported')")
    names = "{'undercroft.app', 'undercroft.queue', 'undercroft.logging', 'undercroft.asgi'}"
    for command in (["trace"], ["logs"]):
        code = (
            f"import sys; from undercroft.cli import main; main({command!r}); print(sorted({names} & set(sys.modules)))"
        )
        done = subprocess.run(
            [COMMAND[0], "-c", code], cwd=here, env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"


# --- logs -------------------------------------------------------------------------------------------------------------


def test_logs_prints_a_line_for_each(here: Path) -> None:
    assert run("logs", cwd=here).stdout.splitlines() == [
        '15:06:40.001Z INFO  shop order placed order_id=7 name="Ann Lee" [req-00000001]',
        "15:06:40.041Z WARN  shop.http it is slow [req-00000001]",
        '15:06:41.250Z ERROR shop.mail no receipt error="SmtpError: refused" [job-00000001]',
    ]


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (("--level", "Warning"), ["it is slow", "no receipt"]),
        (("--grep", "ORDER_ID=7"), ["order placed"]),
        (("--request", "req-00000001"), ["order placed", "it is slow"]),
        (("--logger", "shop.mail"), ["no receipt"]),
        (("--limit", "1"), ["no receipt"]),
        (("--since", "10m"), []),
        (("--since", "5000w"), ["order placed", "it is slow", "no receipt"]),
    ],
)
def test_logs_can_be_narrowed(here: Path, options: tuple[str, ...], messages: list[str]) -> None:
    found = json.loads(run("logs", *options, "--json", cwd=here).stdout)
    assert [one["message"] for one in found] == messages


@pytest.mark.parametrize("options", [("--level", "loud"), ("--since", "soon"), ("--limit", "-1")])
def test_option_that_is_wrong_is_a_matter_of_usage(here: Path, options: tuple[str, ...]) -> None:
    assert run("logs", *options, cwd=here).returncode == 2


def test_logs_goes_on_until_ctrl_c(here: Path) -> None:
    with Running("logs", "-f", "--limit", "1", "--level", "warning", cwd=here) as command:
        command.wait_for_text("no receipt")
        keep(here / ".undercroft", line("too quiet", at_ms=2_000), line("as it comes", at_ms=2_001, level="error"))
        command.wait_for_text("as it comes")
        command.send(signal.SIGINT)
        assert command.ended() == 0
        assert len(command.out.splitlines()) == 2
        assert command.err == ""


def test_logs_that_are_followed_as_json_are_an_object_each(here: Path) -> None:
    with Running("logs", "-f", "--json", cwd=here) as command:
        command.wait_for_text("\n", count=3)
        command.send(signal.SIGINT)
        assert command.ended() == 0
    assert [json.loads(row)["message"] for row in command.out.splitlines()] == [
        "order placed",
        "it is slow",
        "no receipt",
    ]


def test_reader_that_has_seen_enough_is_no_error(here: Path) -> None:
    keep(here / ".undercroft", *(line(f"{n} {'x' * 500}", at_ms=2_000 + n) for n in range(900)))
    command = " ".join([*COMMAND, "logs", "--limit", "1000"])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -1"],
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(("variables", "has_color"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_errors_are_red_on_a_terminal_only_where_that_is_wanted(
    here: Path, variables: dict[str, str], has_color: bool
) -> None:
    ours, theirs = pty.openpty()
    try:
        for command in (["trace", "req-00000001"], ["logs", "--level", "error"]):
            settings = {**environment(TERM="xterm", **variables)}
            subprocess.run([*COMMAND, *command], cwd=here, env=settings, stdout=theirs, check=True)
            printed = os.read(ours, 65_536).decode()
            assert ("\x1b[31m" in printed) is has_color
            assert "no receipt" in printed
    finally:
        os.close(ours)
        os.close(theirs)


# --- What is in it may be anybody's -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("trace", "req-hostile"), ("trace",), ("logs",), ("trace", "req-hostile", "--attributes")]
)
def test_nothing_of_a_strangers_reaches_the_terminal_unescaped(tmp_path: Path, command: tuple[str, ...]) -> None:
    hostile = span(
        HOSTILE, request_id="req-hostile", status="error", status_message=HOSTILE, attributes={HOSTILE: HOSTILE}
    )
    said = line(HOSTILE, inside=hostile, level=HOSTILE, logger=HOSTILE, error={"type": HOSTILE, "message": HOSTILE})
    keep(tmp_path / ".undercroft", hostile, said | {HOSTILE: HOSTILE, "job_id": HOSTILE})

    done = run(*command, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "red" in done.stdout
    assert all(character.isprintable() for character in done.stdout if character != "\n")
    assert not any(row.startswith("forged") for row in done.stdout.split("\n"))


@given(st.text())
def test_safe_text_is_one_printable_line(text: str) -> None:
    shown = safe(text)
    assert all(character.isprintable() or character in "\u200c\u200d" for character in shown)
    assert safe(shown) == shown


@given(
    st.lists(st.tuples(st.text(max_size=200), st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1, max_size=8),
    st.integers(60, 140),
)
def test_waterfall_is_never_wider_than_it_may_be(parts: list[tuple[str, float, float]], width: int) -> None:
    spans = [span(parts[0][0], at_ms=parts[0][1], ms=parts[0][2])]
    for name, at_ms, ms in parts[1:]:
        spans.append(span(name, parent=spans[-1], at_ms=at_ms, ms=ms))
    ends = [one.end_time_ns for one in spans]
    story = Story(
        id="x",
        start_time_ns=min(one.start_time_ns for one in spans),
        end_time_ns=max(ends),
        span_count=len(spans),
        line_count=0,
        error_count=0,
        is_cut=False,
        entries=tree_of(spans, []),
    )
    rows = list(story_lines(story, width=width))
    assert all(len(row) <= max(width, 84) for row in rows)
    assert sum("=" in row[20:36] for row in rows[2:]) >= len(spans)


@given(st.floats(0, 1e12))
def test_times_fit_their_columns(milliseconds: float) -> None:
    assert len(shown_ms(milliseconds)) <= 9
    assert len(shown_offset(milliseconds)) <= 8


def test_long_times_are_written_for_people() -> None:
    assert [shown_ms(ms) for ms in (0.04, 99_999.9, 100_000, 3_600_000, 86_400_000)] == [
        "0.0 ms",
        "100.0 s",
        "100.0 s",
        "3600.0 s",
        "86400.0 s",
    ]


def test_line_without_anything_is_printed(tmp_path: Path) -> None:
    keep(tmp_path / ".undercroft", {})
    assert run("logs", cwd=tmp_path).stdout == "15:06:40.000Z INFO\n"
