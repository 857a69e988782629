"""services: what is there, and whether it answers."""

from __future__ import annotations

import json
from pathlib import Path

from tests._services import Service
from tests.cli._process import run

NOBODY = "redis://:s3cret@127.0.0.1:1/0"
"""Nothing listens on port 1."""


def test_defaults_are_reachable(tmp_path: Path) -> None:
    done = run("services", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["service", "backend", "configured", "by", "reachable", "latency", "version"]
    assert [row.split()[:4] for row in rows] == [
        ["database", "sqlite", "default", "yes"],
        ["pubsub", "memory", "default", "yes"],
    ]


def test_server_tells_version_and_latency(redis: Service, tmp_path: Path) -> None:
    done = run("services", "--json", cwd=tmp_path, UNDERCROFT_REDIS=f"redis://{redis.host}:{redis.port}/0")
    report = next(report for report in json.loads(done.stdout) if report["service"] == "redis")
    assert done.returncode == 0
    assert report["latency_ms"] > 0
    assert {**report, "latency_ms": 0} == {
        "service": "redis",
        "backend": "redis",
        "chosen_by": "UNDERCROFT_REDIS",
        "is_reachable": True,
        "latency_ms": 0,
        "version": redis.version,
        "problem": None,
    }


def test_service_that_is_away_is_4_and_the_others_are_asked_all_the_same(tmp_path: Path) -> None:
    done = run("services", "--json", cwd=tmp_path, UNDERCROFT_REDIS=NOBODY)
    reports = {report["service"]: report for report in json.loads(done.stdout)}
    assert done.returncode == 4
    assert {name: report["is_reachable"] for name, report in reports.items()} == {
        "database": True,
        "redis": False,
        "pubsub": True,
    }
    assert (reports["redis"]["latency_ms"], reports["redis"]["version"]) == (None, None)
    assert reports["redis"]["problem"]


def test_problem_is_told_under_the_table(tmp_path: Path) -> None:
    done = run("services", cwd=tmp_path, UNDERCROFT_REDIS=NOBODY)
    table, problems = done.stdout.split("\n\n")
    assert done.returncode == 4
    assert any(line.split() == ["redis", "redis", "UNDERCROFT_REDIS", "no", "-", "-"] for line in table.splitlines())
    assert problems.splitlines()[1].startswith("redis    ")
    assert "s3cret" not in done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_services_of_an_application(project: Path) -> None:
    (project / "own.py").write_text(
        "from undercroft import Infra\nprint('hi')\ninfra = Infra(database='sqlite:///own.db')\n"
    )
    done = run("services", "own", "--json", cwd=project)
    assert json.loads(done.stdout)[0]["chosen_by"] == "argument database"
    assert done.stderr == "hi\n"
