"""What counts as a change."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.cli._process import wait_for
from undercroft.cli._watch import Watch


@pytest.mark.parametrize("name", ["app.py", "mails/welcome.md", "page.html", "settings.toml", "dev.env", ".env"])
def test_source_file_that_is_added_changed_or_removed_is_noticed(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    watch = Watch(tmp_path)
    path.write_text("1")
    assert watch.changes() == [name]
    assert watch.changes() == []
    path.write_text("22")
    assert watch.changes() == [name]
    path.unlink()
    assert watch.changes() == [name]


def test_files_written_one_after_the_other_are_one_change(tmp_path: Path) -> None:
    watch = Watch(tmp_path)

    def write() -> None:
        for number in range(5):
            (tmp_path / f"m{number}.py").write_text("1")
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    changed = wait_for(watch.changes, "a change")
    writer.join()
    assert changed == [f"m{number}.py" for number in range(5)]


@pytest.mark.parametrize(
    "name",
    [
        "queue.db",
        "app.py.swp",
        ".hidden.py",
        ".venv/m.py",
        ".git/m.py",
        "node_modules/m.py",
        "__pycache__/m.py",
        "home/m.py",
    ],
)
def test_other_files_are_not(name: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path, skipped=(tmp_path / "home",))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1")
    assert watch.changes() == []


@pytest.mark.parametrize(("name", "text"), [("pyvenv.cfg", ""), (".gitignore", "# made by a tool\n*\n")])
def test_directory_of_a_tool_is_not_looked_into(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / name).write_text(text)
    watch = Watch(tmp_path)
    (tmp_path / "made" / "m.py").write_text("1")
    assert watch.changes() == []
