"""A home that cannot be used says so, with its setting and what to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from undercroft import Infra
from undercroft.app import HomeNotWritableError

pytestmark = pytest.mark.anyio

# Root may write anywhere, so the process gives that up after it has imported everything. The home is relative: it works
# whoever may look into the directories above.
UNPRIVILEGED = """
import anyio, json, os
from undercroft import Infra, UndercroftError

async def main():
    await anyio.to_thread.run_sync(os.getpid)
    infra = Infra(environ={"UNDERCROFT_HOME": "state"}, jobs=[])
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        await infra.open()
    except UndercroftError as exc:
        print(json.dumps([type(exc).__name__, exc.code, exc.message, exc.hint]))

anyio.run(main)
"""


def test_a_home_that_this_user_may_not_write_is_a_clear_error(home: Path) -> None:
    (home / "state").mkdir()
    (home / "state").chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED], cwd=home, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    name, code, message, hint = json.loads(done.stdout)
    assert (name, code) == ("HomeNotWritableError", "UC0206")
    assert message == "the home directory state (from UNDERCROFT_HOME) cannot be written: Permission denied"
    assert "UNDERCROFT_HOME" in hint


def test_a_home_that_this_user_may_not_make_is_a_clear_error(home: Path) -> None:
    home.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED], cwd=home, capture_output=True, text=True, timeout=30, check=False
    )
    home.chmod(0o755)
    assert json.loads(done.stdout)[:2] == ["HomeNotWritableError", "UC0206"]


@pytest.mark.parametrize("path", ["file", "file/below"])
async def test_a_file_in_the_place_of_the_home_is_a_clear_error(path: str, home: Path) -> None:
    (home / "file").touch()
    infra = Infra(environ={}, home=home / path)
    with pytest.raises(HomeNotWritableError) as caught:
        await infra.open()
    assert str(home / path) in caught.value.message
    assert "argument home" in caught.value.message
    assert isinstance(caught.value.__cause__, OSError)
    assert not infra.is_open


async def test_a_home_with_parents_that_are_missing_is_made(home: Path) -> None:
    async with Infra(environ={}, home=home / "a" / "b"):
        assert os.access(home / "a" / "b", os.W_OK)
