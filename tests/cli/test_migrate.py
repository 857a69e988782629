"""migrate: undercroft's own tables."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli._process import Running, run

URL = "sqlite:///shop.db"


def _migrate(*options: str, cwd: Path) -> Any:
    done = run("migrate", "--json", *options, cwd=cwd, DATABASE_URL=URL)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def _tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_steps_are_taken_and_told(tmp_path: Path) -> None:
    steps = _migrate(cwd=tmp_path)
    assert [step["number"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["title"].startswith("Claims")
    assert "undercroft_claims" in _tables(tmp_path / "shop.db")


def test_steps_are_told_to_people(tmp_path: Path) -> None:
    lines = run("migrate", cwd=tmp_path, DATABASE_URL=URL).stdout.splitlines()
    assert lines[0].split() == ["done", "title"]
    assert lines[1].startswith("1     Claims")


def test_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    _migrate(cwd=tmp_path)
    assert _migrate(cwd=tmp_path) == []
    for options in ([], ["--plan"]):
        done = run("migrate", *options, cwd=tmp_path, DATABASE_URL=URL)
        assert (done.returncode, done.stdout) == (0, "nothing to do\n")


def test_plan_tells_the_sql_and_changes_nothing(tmp_path: Path) -> None:
    planned = _migrate("--plan", cwd=tmp_path)
    assert set(planned[0]) == {"number", "title", "works_with", "sql"}
    assert "CREATE TABLE" in planned[0]["sql"]
    assert _tables(tmp_path / "shop.db") == set()
    assert [step["number"] for step in _migrate(cwd=tmp_path)] == [step["number"] for step in planned]


def test_plan_is_a_script_that_migrates(tmp_path: Path) -> None:
    script = run("migrate", "--plan", cwd=tmp_path, DATABASE_URL=URL).stdout
    assert script.startswith("-- 1  Claims")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.executescript(script)
    assert _migrate("--plan", cwd=tmp_path) == []


def test_several_at_once_take_each_step_once(tmp_path: Path) -> None:
    total = len(_migrate("--plan", cwd=tmp_path))
    places = []
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        places.append(tmp_path / str(number) / "here")
        places[-1].mkdir()
    address = f"sqlite:///{tmp_path / 'shop.db'}"
    running = [Running("migrate", "--json", cwd=place, DATABASE_URL=address) for place in places]
    taken: list[int] = []
    for each in running:
        with each:
            assert each.ended() == 0, each.err
            taken += [step["number"] for step in json.loads(each.out)]
    assert sorted(taken) == list(range(1, total + 1))


def test_migrate_opens_the_database_only(project: Path) -> None:
    done = run("migrate", "app", cwd=project, DATABASE_URL=URL)
    assert done.returncode == 0
    assert not (project / ".undercroft").exists()


def test_database_that_is_away_is_4(tmp_path: Path) -> None:
    done = run("migrate", cwd=tmp_path, DATABASE_URL="postgresql://ann:s3cret@127.0.0.1:1/shop")
    assert done.returncode == 4
    assert done.stderr.startswith("error: UC")
    assert done.stdout == ""
