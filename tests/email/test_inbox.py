"""The inbox: files that are whole or not there, one per idempotency key, also with many writers and dead ones."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from undercroft._core.ids import is_id
from undercroft.email import InboxError, Url, open_transport
from undercroft.email.inbox import InboxTransport
from undercroft.testing.conformance.email import message

pytestmark = pytest.mark.anyio


def files(directory: Path) -> list[str]:
    return sorted(path.suffix for path in directory.iterdir() if path.is_file())


async def test_message_is_two_files_for_its_owner_only(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path / "deep" / "box") as inbox:
        receipt = await inbox.send(message())

    assert files(inbox.directory) == [".eml", ".json"]
    record = json.loads((inbox.directory / f"{receipt.id}.json").read_text())
    assert record["version"] == 1
    assert record["to"] == ["ann@x.example"]
    assert record["subject"] == "Hello"
    assert record["created_at"] == "2026-11-20T12:30:00Z"
    assert {stat.S_IMODE(path.stat().st_mode) for path in inbox.directory.iterdir() if path.is_file()} == {0o600}


async def test_newest_comes_first_and_the_limit_holds(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path) as inbox:
        ids = [(await inbox.send(message())).id for _ in range(5)]

        assert [entry.id for entry in await inbox.list_messages()] == ids[::-1]
        assert [entry.id for entry in await inbox.list_messages(limit=2)] == ids[:2:-1]
        assert await inbox.list_messages(limit=0) == ()


@pytest.mark.parametrize("id_", ["01M7WXJSB3W296Q6GAF7TDF67P", "../x", "", "x\0", "*"])
async def test_unknown_message_is_none(tmp_path: Path, id_: str) -> None:
    async with InboxTransport(tmp_path) as inbox:
        assert await inbox.get_message(id_) is None


async def test_second_message_with_a_key_is_told_the_first_one_s_id_and_recipients(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path) as inbox:
        first = await inbox.send(message(idempotency_key="k", subject="first"))
        second = await inbox.send(message(idempotency_key="k", subject="second", to=()))

        assert (second.id, second.accepted) == (first.id, first.accepted)
        assert [entry.subject for entry in await inbox.list_messages()] == ["first"]
    assert files(tmp_path) == [".eml", ".json"]


async def test_fifty_tasks_with_one_key_write_one_message(tmp_path: Path) -> None:
    ids: set[str] = set()
    async with InboxTransport(tmp_path) as inbox:

        async def send() -> None:
            ids.add((await inbox.send(message(idempotency_key="k"))).id)

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(send)

        assert [entry.id for entry in await inbox.list_messages()] == list(ids)
    assert files(tmp_path) == [".eml", ".json"]


_PROCESS = """
import asyncio, sys
from undercroft.email.inbox import InboxTransport
from undercroft.testing.conformance.email import message
async def main():
    async with InboxTransport(sys.argv[1]) as inbox:
        sys.stdin.readline()
        for number in range(10):
            print((await inbox.send(message(idempotency_key=f"k{number}"))).id)
asyncio.run(main())
"""


def test_processes_with_the_same_keys_write_each_message_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROCESS, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=50)[0].split() for process in processes]

    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0])) == 10
    assert files(tmp_path) == [".eml"] * 10 + [".json"] * 10


async def test_writer_that_died_after_its_claim_is_finished_by_the_next(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path) as inbox:
        first = await inbox.send(message(idempotency_key="k", subject="first"))
        record = tmp_path / f"{first.id}.json"
        record.rename(record.with_suffix(".pending"))  # as if it had died before the last step
        assert await inbox.list_messages() == ()

        again = await inbox.send(message(idempotency_key="k", subject="second"))

        assert again.id == first.id
        assert [entry.subject for entry in await inbox.list_messages()] == ["first"]


async def test_files_of_others_are_not_messages(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    async with InboxTransport(tmp_path) as inbox:
        assert await inbox.list_messages() == ()


async def test_damaged_record_is_named(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path) as inbox:
        receipt = await inbox.send(message())
        (tmp_path / f"{receipt.id}.json").write_text('{"id": 5')

        with pytest.raises(InboxError, match=rf"{receipt.id}\.json .* is damaged"):
            await inbox.list_messages()


async def test_directory_that_cannot_be_made_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InboxError, match="cannot be made or written: Not a directory") as error:
        async with InboxTransport(tmp_path / "file" / "box"):
            pass
    assert (error.value.code, error.value.kind) == ("UC2022", "unavailable")


async def test_directory_without_permission_is_an_error_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_nobody: Callable[[], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o555)
    as_nobody()

    with pytest.raises(InboxError, match="Permission denied"):
        async with InboxTransport("box"):
            pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_full_disk_is_an_error_and_leaves_no_message(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path) as inbox:
        sent = message()
        (tmp_path / f"{sent.id}.eml").symlink_to("/dev/full")

        with pytest.raises(InboxError):
            await inbox.send(sent)

        assert await inbox.list_messages() == ()


def test_url_chooses_the_directory() -> None:
    assert open_transport(Url.parse("inbox:///var/mail"), what="x").directory == Path("var/mail")
    assert open_transport(Url.parse("inbox:////var/mail"), what="x").directory == Path("/var/mail")
    with pytest.raises(ValueError, match="needs a file path"):
        open_transport(Url.parse("inbox://mail"), what="x")
    with pytest.raises(ValueError, match="unknown option 'keep'"):
        open_transport(Url.parse("inbox:///mail?keep=1"), what="x")


async def test_id_is_one_that_sorts(tmp_path: Path) -> None:
    async with InboxTransport(tmp_path) as inbox:
        assert is_id((await inbox.send(message())).id)
