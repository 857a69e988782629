"""config show and check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli._process import run


def test_config_names_value_and_origin_of_every_setting(tmp_path: Path) -> None:
    done = run("config", "show", "--json", cwd=tmp_path, UNDERCROFT_HOME="var", LOG_LEVEL="debug")
    document = json.loads(done.stdout)
    settings = {row["name"]: (row["value"], row["origin"]) for row in document["settings"]}
    assert settings["log_level"] == ("debug", "LOG_LEVEL")
    assert settings["home"] == ("var", "UNDERCROFT_HOME")
    assert settings["queue"] == ("sqlite:///var/queue.db", "default")
    queue = next(part for part in document["parts"] if part["part"] == "queue")
    assert queue == {"part": "queue", "backend": "sqlite", "url": "sqlite:///var/queue.db", "chosen_by": "default"}


def test_config_lists_the_parts_that_there_are(tmp_path: Path) -> None:
    def parts(**more: str) -> list[str]:
        document = json.loads(run("config", "show", "--json", cwd=tmp_path, **more).stdout)
        return [part["part"] for part in document["parts"]]

    stores = ["cache", "locks", "limits", "breakers"]
    assert parts() == ["queue", *stores, "email", "database", "pubsub"]
    addresses = {"UNDERCROFT_REDIS": "redis://localhost/0", "UNDERCROFT_MONGO": "mongodb://localhost/shop"}
    assert parts(**addresses) == ["queue", *stores, "email", "database", "redis", "mongo", "pubsub"]


def test_config_hides_secrets(tmp_path: Path) -> None:
    for options in ([], ["--json"]):
        done = run("config", "show", *options, cwd=tmp_path, RESEND_API_KEY="re_s3cret", EMAIL_FROM="a@example.com")
        assert done.returncode == 0
        assert "RESEND_API_KEY" in done.stdout
        assert "s3cret" not in done.stdout + done.stderr


def test_config_of_an_application_shows_its_arguments(project: Path) -> None:
    (project / "own.py").write_text("from undercroft import Infra\ninfra = Infra(home='elsewhere')\n")
    document = json.loads(run("config", "show", "own", "--json", cwd=project).stdout)
    home = next(row for row in document["settings"] if row["name"] == "home")
    assert home == {"name": "home", "value": "elsewhere", "origin": "argument home"}


def test_config_fits_80_columns(tmp_path: Path) -> None:
    done = run("config", "show", cwd=tmp_path, UNDERCROFT_HOME="/" + "very-long-name/" * 8)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_config_connects_to_nothing(project: Path) -> None:
    run("config", "show", "app", cwd=project)
    assert not (project / ".undercroft").exists()


def test_check_of_a_sound_application_finds_nothing(project: Path) -> None:
    done = run("check", "app", cwd=project)
    assert (done.returncode, done.stdout) == (0, "no findings\n")
    assert run("check", "app", "--json", cwd=project).stdout == "[]\n"


def test_json_is_alone_on_stdout_whatever_the_application_prints(project: Path) -> None:
    (project / "loud.py").write_text("from app import infra\nprint('hello')\n")
    for command in (["check", "loud"], ["config", "show", "loud"]):
        done = run(*command, "--json", cwd=project)
        json.loads(done.stdout)
        assert done.stderr == "hello\n"


def test_check_ends_with_1_when_there_is_an_error(project: Path) -> None:
    done = run("check", "app", "--json", cwd=project, UNDERCROFT_ENV="production")
    findings = json.loads(done.stdout)
    assert done.returncode == 1
    assert [finding["part"] for finding in findings if finding["severity"] == "error"] == ["email"]
    assert set(findings[0]) == {"severity", "part", "message", "hint"}


def test_check_ends_with_0_when_there_are_warnings_only(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith("warning   queue  no jobs are registered")


def test_check_reports_a_store_that_does_not_open(project: Path) -> None:
    (project / ".undercroft").mkdir()
    (project / ".undercroft" / "queue.db").write_bytes(b"this is no database" * 100)
    done = run("check", "app", cwd=project, UNDERCROFT_START_TIMEOUT="200ms")
    assert done.returncode == 1
    assert "does not open" in done.stdout


def test_check_without_connecting_touches_nothing(project: Path) -> None:
    assert run("check", "app", "--no-connect", cwd=project).returncode == 0
    assert not (project / ".undercroft").exists()


@pytest.mark.parametrize("text", ["nope", "redis://"])
def test_shape_that_an_error_suggests_is_whole_after_hiding(tmp_path: Path, text: str) -> None:
    done = run("config", "show", cwd=tmp_path, REDIS_URL=text)

    hints = [line for line in done.stderr.splitlines() if line.strip().startswith("do:")]
    assert hints
    for hint in hints:
        assert "write " in hint
        assert hint.count("[") == hint.count("]")
