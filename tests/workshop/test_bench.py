"""The bench frame: order, medians, goals, failures, environments, reports. Its peers are tiny; nothing is fetched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import _venv, groups
from bench._frame import Group, Peer, Script, Work
from bench._goal import FASTEST, Goal, Limit, Margin, Promise, is_held
from bench._report import Row, is_kept, problems, row_of, table
from bench._run import Contender, measure

ROOT = Path(__file__).parents[2]
COUNTING = """
import json, os, sys
name, log, values = sys.argv[1], sys.argv[2], sys.argv[3:]
with open(log, "a+") as file:
    file.seek(0)
    number = file.read().split().count(name)
    file.write(name + " ")
assert os.listdir() == []
print("some output before it")
print(json.dumps({"value": float(values[number]), "settings": {"quick": os.environ["BENCH_QUICK"]}}))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNDERCROFT_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Script]:
    def write(text: str, *args: object) -> Script:
        path = tmp_path / f"script{len(list(tmp_path.glob('*.py')))}.py"
        path.write_text(text)
        return Script(path, [str(arg) for arg in args])

    return write


def work_of(ours: Script, peers: Mapping[str, Script], **more: object) -> Work:
    settings: dict[str, object] = {"name": "count", "unit": "ms", "better": "lower", "ours_extras": None, **more}
    return Work(ours=ours, peers={name: Peer(peer) for name, peer in peers.items()}, **settings)  # type: ignore[arg-type]


def counting(script: Callable[..., Script], log: Path, **values: list[float]) -> Work:
    ours, *peers = [(name, script(COUNTING, name, log, *those)) for name, those in values.items()]
    return work_of(ours[1], dict(peers))


# Running


def test_contenders_run_in_turns_after_one_warm_up(script: Callable[..., Script], log: Path) -> None:
    work = counting(script, log, ours=[9, 1, 2, 3], a=[9, 4, 5, 6], b=[9, 7, 8, 9])
    measured = measure(work, rounds=3)
    assert log.read_text().split() == [
        *("ours", "a", "b"),
        *("ours", "a", "b"),
        *("a", "b", "ours"),
        *("b", "ours", "a"),
    ]
    assert [contender.name for contender in measured] == ["undercroft", "a", "b"]
    assert [contender.values for contender in measured] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_median_is_what_counts_and_the_warm_up_does_not(script: Callable[..., Script], log: Path) -> None:
    (ours,) = measure(counting(script, log, ours=[1000, 1, 100, 3]), rounds=3)
    assert ours.median == 3


def test_scripts_say_their_settings_and_know_that_it_is_quick(script: Callable[..., Script], log: Path) -> None:
    (ours,) = measure(counting(script, log, ours=[1, 1]), rounds=1, quick=True)
    assert ours.settings == {"quick": "1"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_the_kind", "ended with 1: ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("print('done')", "its last line is not"),
        ("pass", "it printed nothing"),
        ("print('{\"value\": NaN}')", "its value is nan"),
        ("import time; time.sleep(60)", "no end after 0.5s"),
    ],
)
def test_failing_peer_is_out_with_its_reason(script: Callable[..., Script], log: Path, text: str, reason: str) -> None:
    ours = script(COUNTING, "ours", log, 1, 2, 3)
    work = work_of(
        ours, {"broken": script(text)}, deadline_s=0.5 if "sleep" in text else 20, goal=Goal("<=", 1, "broken")
    )
    row = row_of(Group("g", [work]), work, measure(work, rounds=2), rounds=2, quick=False)
    assert row["ours"] == 2.5
    assert row["peers"] == {"broken": None}
    assert row["held"] is None
    assert not is_kept(row)
    assert reason in problems([row])[0]


def test_failing_round_takes_the_peer_out(script: Callable[..., Script], log: Path) -> None:
    _, peer = measure(counting(script, log, ours=[1, 1, 1, 1], a=[1, 2]), rounds=3)
    assert peer.median is None
    assert "IndexError" in str(peer.problem)
    assert log.read_text().split().count("a") == 3


def test_what_a_script_started_is_ended_with_it(script: Callable[..., Script], tmp_path: Path) -> None:
    text = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); open(sys.argv[1], 'w').write(str(p.pid))"
    measure(work_of(script(f"{text}; print('{{\"value\": 1}}')", tmp_path / "pid"), {}), rounds=1)
    assert _ends(int((tmp_path / "pid").read_text()))


# Goals


@pytest.mark.parametrize(
    ("goal", "ours", "peers", "held"),
    [
        (Goal("<=", 1.2, "a"), 12, {"a": 10}, True),
        (Goal("<=", 1.2, "a"), 12.1, {"a": 10}, False),
        (Goal(">=", 5, "a"), 50, {"a": 10, "b": None}, True),
        (Goal(">=", 5, "a"), 49, {"a": 10}, False),
        (Goal("<=", 1, FASTEST), 5, {"a": 10, "b": 5}, True),
        (Goal("<=", 1, FASTEST), 6, {"a": 10, "b": 5}, False),
        (Goal("<=", 1, FASTEST), 1, {"a": 10, "b": None}, None),
        (Margin("<=", 15, "a"), 45, {"a": 30}, True),
        (Margin("<=", 15, "a"), 45.5, {"a": 30}, False),
        (Margin("<=", 15, "a"), 1, {"a": None}, None),
        (Goal("<=", 1, "a"), None, {"a": 10}, None),
        (Limit("<=", 50), 50, {}, True),
        (Limit("<=", 50), 51, {"a": None}, False),
        (Limit("<=", 50), None, {"a": 10}, None),
    ],
)
def test_goal_is_held_missed_or_unknown(
    goal: Promise, ours: float | None, peers: Mapping[str, float | None], held: bool | None
) -> None:
    assert is_held(goal, "lower", ours, peers) is held


def test_fastest_is_the_best_in_the_work_s_own_sense() -> None:
    assert is_held(Goal(">=", 1, FASTEST), "higher", 10, {"a": 10, "b": 5}) is True
    assert is_held(Goal(">=", 1, FASTEST), "higher", 9, {"a": 10, "b": 5}) is False


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (Goal("<=", 1.2, "starlette"), "<= 1.2 x starlette"),
        (Goal(">=", 5, "huey"), ">= 5 x huey"),
        (Margin("<=", 15, "asyncio"), "<= 15 ms over asyncio"),
        (Limit("<=", 50), "<= 50 ms"),
    ],
)
def test_goal_reads_as_text(goal: Promise, text: str) -> None:
    assert goal.text("ms") == text


def test_goal_about_nobody_is_an_error(script: Callable[..., Script]) -> None:
    with pytest.raises(ValueError, match="its goal names 'hue'"):
        work_of(script(""), {"huey": script("")}, goal=Goal(">=", 5, "hue"))


# Environments


def test_environment_is_made_once(cache: Path) -> None:
    made: list[Path] = []

    def install(directory: Path, requirements: object) -> None:
        made.append(directory)
        directory.mkdir()

    first = _venv.interpreter(["a==1"], install=install)
    assert _venv.interpreter(["a==1"], install=install) == first
    assert first.parents[2] == cache
    assert _venv.interpreter(["a==2"], install=install) != first
    assert len(made) == 2


def test_interrupted_environment_is_made_again(cache: Path) -> None:
    def interrupted(directory: Path, requirements: object) -> None:
        directory.mkdir()
        (directory / "half").touch()
        raise KeyboardInterrupt

    def install(directory: Path, requirements: object) -> None:
        assert not directory.exists()
        directory.mkdir()

    with pytest.raises(KeyboardInterrupt):
        _venv.interpreter(["a"], install=interrupted)
    python = _venv.interpreter(["a"], install=install)
    assert not (python.parents[1] / "half").exists()


def test_killed_making_leaves_no_lock_and_no_half_environment(cache: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from bench import _venv\n"
        "def install(directory, requirements):\n"
        "    directory.mkdir(); print('begun', flush=True); time.sleep(60)\n"
        "_venv.interpreter([], install=install)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"begun\n"
        process.kill()
        process.wait(10)
    python = _venv.interpreter([])
    assert (
        subprocess.run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"], check=False).returncode
        == 0
    )


def test_two_processes_make_one_environment(cache: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from bench import _venv\n"
        "def install(directory, requirements):\n"
        "    directory.mkdir(); time.sleep(0.3); open(sys.argv[1], 'a').write('made ')\n"
        "_venv.interpreter(['a'], install=install)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "made"], cwd=ROOT) for _ in range(3)]
    assert [process.wait(20) for process in running] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "made "


def test_environment_that_cannot_be_made_is_the_peer_s_failure(script: Callable[..., Script], log: Path) -> None:
    ours = script(COUNTING, "ours", log, 1, 2)
    requirement = "./there-is-no-such-directory"
    work = Work(
        name="w",
        unit="ms",
        better="lower",
        ours=ours,
        ours_extras=None,
        peers={"absent": Peer(script(""), [requirement])},
    )
    ours_measured, absent = measure(work, rounds=1)
    assert ours_measured.median == 2
    assert absent.median is None
    assert requirement in str(absent.problem)


# Reports and the command


def a_row(work: str = "count", held: bool | None = True, ours: float | None = 2.0, **peers: float | None) -> Row:
    goal = None if held is None and ours is not None and not peers else "<= 1.2 x a"
    return Row(group="g", work=work, unit="ms", ours=ours, peers=peers, goal=goal, held=held, settings={})


def test_row_is_plain_json(script: Callable[..., Script], log: Path) -> None:
    work = counting(script, log, ours=[1, 1], a=[2, 2])
    row = row_of(Group("g", [work]), work, measure(work, rounds=1), rounds=1, quick=True)
    assert list(row) == ["group", "work", "unit", "ours", "peers", "goal", "held", "settings"]
    assert json.loads(json.dumps(row)) == row
    assert row["settings"]["runs"] == {"undercroft": [1], "a": [2]}
    assert row["settings"]["quick"] is True


def test_table_fits_and_aligns() -> None:
    rows = [a_row(work="a work with quite a long name " * 4, a=123456.0, b=None), a_row(a=0.5, held=False)]
    lines = table(rows).splitlines()
    assert max(map(len, lines)) <= 100
    ends = {
        line.index(value) + len(value)
        for line, value in [(lines[2], "123,456"), (lines[3], "failed"), (lines[5], "0.5")]
    }
    assert len(ends) == 1
    assert "NOT HELD: <= 1.2 x a" in lines[4]
    assert "4.00 x" in lines[5]


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        (a_row(a=1.0), True),
        (a_row(a=1.0, held=False), False),
        (a_row(a=None, held=None), False),
        (a_row(held=None), True),
        (a_row(held=None, ours=None), False),
    ],
)
def test_only_what_was_shown_is_kept(row: Row, kept: bool) -> None:
    assert is_kept(row) is kept


@pytest.fixture
def group(
    script: Callable[..., Script], log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """Make `python -m bench sample` measure a work whose values are given."""

    def make(ours: float, theirs: float) -> None:
        files = tmp_path / "groups"
        files.mkdir()
        (files / "sample.py").touch()
        monkeypatch.setattr(groups, "__path__", [str(files)])
        peers = {"a": script(COUNTING, "a", log, *[theirs] * 9)}
        work = work_of(script(COUNTING, "ours", log, *[ours] * 9), peers, goal=Goal("<=", 1, "a"))
        monkeypatch.setattr(command, "load", lambda name: Group(name, [work]))

    return make


@pytest.mark.parametrize(("ours", "code", "held"), [(1.0, 0, True), (3.0, 1, False)])
def test_command_prints_rows_and_ends_by_its_goals(
    group: Callable[..., None], capsys: pytest.CaptureFixture[str], ours: float, code: int, held: bool
) -> None:
    group(ours, 2.0)
    assert command.main(["sample", "--json", "--rounds", "2"]) == code
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["ours"], row["peers"], row["held"], row["settings"]["rounds"]) == (ours, {"a": 2.0}, held, 2)


def test_command_prints_a_table(group: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    group(1.0, 2.0)
    assert command.main(["sample", "--quick"]) == 0
    printed = capsys.readouterr()
    assert "held: <= 1 x a" in printed.out
    assert "count: round 1 of 1" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["spin"], "near: spine"), ([], "name a group: "), (["spine", "--rounds", "0"], "at least 1")],
)
def test_wrong_command_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_every_group_loads_and_has_its_scripts() -> None:
    assert "spine" in command.group_names()
    for name in command.group_names():
        group = command.load(name)
        assert group.name == name
        scripts = [script for work in group.works for script in (work.ours, *(p.script for p in work.peers.values()))]
        assert [script.path for script in scripts if not script.file.is_file()] == []


def test_list_names_groups_works_and_goals() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "spine\n  import undercroft (ms; <= 15 ms over asyncio)\n" in done.stdout


def test_contender_without_values_has_no_median() -> None:
    assert Contender("a", Script("a.py")).median is None


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, signal.SIG_DFL)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return True
        time.sleep(0.02)
    return False
