from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from undercroft.logging import LogFile, LogFileError, logger, setup_logging

pytestmark = pytest.mark.usefixtures("alone")


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_go_to_a_file_as_json_and_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    for message in ("one", "Größe 🦆"):
        with setup_logging(file=path, uncaught=False):
            logger.info(message)
    assert [line["message"] for line in objects(path)] == ["one", "Größe 🦆"]


def test_only_owner_and_group_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    setup_logging(file=str(path), uncaught=False).close()
    assert path.stat().st_mode & 0o037 == 0


@pytest.mark.parametrize("taken", ["renamed", "removed"])
def test_a_file_that_was_taken_away_begins_anew(taken: str, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with setup_logging(file=path, uncaught=False) as setup:
        logger.info("before")
        setup.flush()
        if taken == "renamed":
            path.rename(tmp_path / "app.log.1")  # as logrotate does
        else:
            path.unlink()
        logger.info("after")
    assert [line["message"] for line in objects(path)] == ["after"]
    if taken == "renamed":
        assert [line["message"] for line in objects(tmp_path / "app.log.1")] == ["before"]


def test_a_full_file_is_kept_under_a_number_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with setup_logging(file=LogFile(path=path, max_size_bytes=65_536, keep=2), uncaught=False) as setup:
        for number in range(3_000):
            logger.info("x", number=number)
            if number % 100 == 0:
                setup.flush()
        assert setup.flush()
        assert setup.dropped_count == 0
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["app.log", "app.log.1", "app.log.2"]
    assert all(file.stat().st_size <= 65_536 for file in tmp_path.iterdir())
    kept = [line["number"] for name in reversed(names) for line in objects(tmp_path / name)]
    assert kept == list(range(kept[0], 3_000))


def test_several_processes_share_a_file_that_is_begun_anew_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    program = f"""
import sys
from undercroft.logging import LogFile, logger, setup_logging
setup = setup_logging(file=LogFile(path={str(path)!r}, max_size_bytes=65_536, keep=100), uncaught=False)
for number in range(1_000):
    logger.info("x", process=sys.argv[1], number=number)
    if number % 10 == 0: setup.flush()
setup.close()
assert setup.dropped_count == 0
"""
    running = [subprocess.Popen([sys.executable, "-c", program, str(name)]) for name in range(4)]
    assert [process.wait(50) for process in running] == [0] * 4
    lines = [line for file in tmp_path.iterdir() for line in objects(file)]
    assert len(list(tmp_path.iterdir())) > 3
    for name in range(4):
        assert sorted(line["number"] for line in lines if line["process"] == str(name)) == list(range(1_000))


def test_a_folder_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(LogFileError, match=r"UC1106 cannot open(.|\n)*No such file(.|\n)*folder must exist"):
        setup_logging(file=tmp_path / "nowhere" / "app.log")


def test_a_folder_that_is_gone_later_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with setup_logging(file=folder / "app.log", uncaught=False) as setup:
        logger.info("x")
        setup.flush()
        (folder / "app.log").unlink()
        folder.rmdir()
        logger.info("y")
        setup.flush()
        assert (setup.written_count, setup.dropped_count) == (1, 1)
        folder.mkdir()
        logger.info("z")
        setup.flush()
    assert [line["message"] for line in objects(folder / "app.log")] == ["1 log lines were dropped", "z"]
    assert "FileNotFoundError" in capsys.readouterr().err


def test_a_stream_and_a_file_are_one_too_many(tmp_path: Path, lines: Any) -> None:
    with pytest.raises(LogFileError, match="both were given"):
        setup_logging(file=tmp_path / "app.log", stream=lines)


@pytest.mark.parametrize("options", [{"max_size_bytes": 1000}, {"keep": 0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(LogFileError, match="at least"):
        LogFile(path="app.log", **options)
