"""db ping."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.cli._process import run


def test_ping_tells_dialect_version_and_latency(tmp_path: Path) -> None:
    done = run("db", "ping", "--json", cwd=tmp_path, DATABASE_URL="sqlite:///shop.db")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert answer.pop("latency_ms") > 0
    assert answer == {"dialect": "sqlite", "version": sqlite3.sqlite_version}


def test_ping_for_people(tmp_path: Path) -> None:
    header, row = run("db", "ping", cwd=tmp_path, DATABASE_URL="sqlite:///shop.db").stdout.splitlines()
    assert header.split() == ["dialect", "version", "latency"]
    assert row.split()[:2] == ["sqlite", sqlite3.sqlite_version]
    assert row.endswith(" ms")


def test_ping_opens_the_database_only(project: Path) -> None:
    done = run(
        "db", "ping", "app", cwd=project, DATABASE_URL="sqlite:///shop.db", UNDERCROFT_REDIS="redis://127.0.0.1:1"
    )
    assert done.returncode == 0
    assert not (project / ".undercroft").exists()


def test_database_that_is_away_is_4(tmp_path: Path) -> None:
    done = run("db", "ping", "--json", cwd=tmp_path, DATABASE_URL="postgresql://ann:s3cret@127.0.0.1:1/shop")
    assert done.returncode == 4
    assert done.stderr.startswith("error: UC")
    assert done.stdout == ""
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_database_url_that_is_wrong_is_3(tmp_path: Path) -> None:
    done = run("db", "ping", cwd=tmp_path, DATABASE_URL="oracle://localhost/shop")
    assert done.returncode == 3
    assert done.stderr.startswith("error: UC")
