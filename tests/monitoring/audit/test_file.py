"""The audit log in a file: what tampering shows, what a crash leaves, what other processes and a bad disk do."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from tests.monitoring.audit.conftest import hide
from undercroft._core.errors import Kind
from undercroft.monitoring import (
    AuditDamagedError,
    AuditLog,
    AuditMark,
    AuditUnavailableError,
    create_audit_log,
    get_counter,
)
from undercroft.monitoring._audit._chain import hash_of

pytestmark = pytest.mark.anyio
PROCESS = Path(__file__).with_name("_process.py")
DEADLINE_S = 50
PROCESSES, EACH = 4, 50
KEY = "correct horse battery staple"
TRIGGERS = "DROP TRIGGER entries_are_not_changed; DROP TRIGGER entries_are_not_removed;"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[AuditLog]:
    async with create_audit_log(f"sqlite:///{path}?busy_timeout_s=0.05", redact=hide) as log:
        for number in range(1, 6):
            await log.record("order.refund", f"order:{number}", actor="ada", after={"total": number})
        yield log


def tamper(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(TRIGGERS + script)


TAMPERING = {
    "an entry's text is changed": (
        'UPDATE entries SET body = replace(body, \'"actor":"ada"\', \'"actor":"eve"\') WHERE sequence = 3',
        "entry 3 does not have the hash that it was recorded with",
    ),
    "one character is changed": (
        "UPDATE entries SET body = replace(body, '\"total\":2', '\"total\":3') WHERE sequence = 2",
        "entry 2 does not have the hash that it was recorded with",
    ),
    "an entry is taken out": (
        "DELETE FROM entries WHERE sequence = 3",
        "entry 3 is missing: entry 4 follows entry 2",
    ),
    "the first entry is taken out": ("DELETE FROM entries WHERE sequence = 1", "entry 1 is missing"),
    "an entry is taken out and the others are moved up": (
        "DELETE FROM entries WHERE sequence = 3; UPDATE entries SET sequence = sequence - 1 WHERE sequence > 3",
        "entry 3 does not have the hash that it was recorded with",
    ),
    "two entries change places": (
        """UPDATE entries SET sequence = 9 WHERE sequence = 2;
        UPDATE entries SET sequence = 2 WHERE sequence = 3;
        UPDATE entries SET sequence = 3 WHERE sequence = 9""",
        "entry 2 does not have the hash that it was recorded with",
    ),
    "an entry is put in": (
        "INSERT INTO entries (sequence, body, hash) SELECT 6, body, hash FROM entries WHERE sequence = 1",
        "entry 6 does not have the hash that it was recorded with",
    ),
    "a hash is changed": (
        "UPDATE entries SET hash = replace(hash, substr(hash, 1, 1), 'g') WHERE sequence = 4",
        "entry 4 does not have the hash that it was recorded with",
    ),
    "a hash is overwritten with what is no text": (
        "UPDATE entries SET hash = x'00ff' WHERE sequence = 5",
        "entry 5 does not have the hash that it was recorded with",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_seen(log: AuditLog, path: Path, what: str) -> None:
    script, problem = TAMPERING[what]
    assert (await log.verify()).is_intact
    tamper(path, script)
    verdict = await log.verify()
    assert not verdict.is_intact
    assert verdict.problem is not None
    assert verdict.problem.startswith(problem)
    assert verdict.checked_count == int(problem.split()[1]) - 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{"version": 1}', "entry 6 cannot be read: Object missing required field"),
        (
            '{"version":1,"sequence":5,"at_us":0,"action":"a","resource":"b","actor":"c","outcome":"success"}',
            "entry 6 was recorded as entry 5",
        ),
    ],
)
async def test_forged_entry_with_a_hash_that_fits_must_still_be_one(
    log: AuditLog, path: Path, body: str, problem: str
) -> None:
    mark = await log.mark()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        forged = hash_of(body, before=mark.hash, key=None)
        db.execute("INSERT INTO entries (sequence, body, hash) VALUES (6, ?, ?)", (body, forged))
    verdict = await log.verify()
    assert (verdict.is_intact, verdict.checked_count) == (False, 5)
    assert str(verdict.problem).startswith(problem)


async def test_entries_taken_from_the_end_are_seen_by_a_mark(log: AuditLog, path: Path) -> None:
    mark = await log.mark()
    tamper(path, "DELETE FROM entries WHERE sequence > 3")
    assert (await log.verify()).is_intact  # nothing in the file tells
    verdict = await log.verify(mark=mark)
    assert (verdict.is_intact, verdict.problem) == (False, "the log ends with entry 3, and had entry 5 once")


async def test_log_that_is_written_anew_is_seen_by_the_key_and_by_a_mark(path: Path) -> None:
    async with create_audit_log(f"sqlite:///{path}", redact=hide, key=KEY) as log:
        await log.record("order.refund", "order:1", actor="eve")
        mark = await log.mark()
        assert (await log.verify(mark=mark)).is_intact
    path.unlink()
    async with create_audit_log(f"sqlite:///{path}", redact=hide) as forged:
        await forged.record("order.refund", "order:1", actor="ada")
        assert (await forged.verify()).is_intact
        assert not (await forged.verify(mark=mark)).is_intact
    async with create_audit_log(f"sqlite:///{path}", redact=hide, key=KEY) as log:
        assert not (await log.verify()).is_intact


async def test_mistake_in_sql_changes_nothing(log: AuditLog, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        with pytest.raises(sqlite3.IntegrityError, match="audit entries are not removed"):
            db.execute("DELETE FROM entries")
        with pytest.raises(sqlite3.IntegrityError, match="audit entries are not changed"):
            db.execute("UPDATE entries SET hash = ''")
    assert (await log.verify()).checked_count == 5


async def test_entry_that_cannot_be_read_is_an_error_that_names_it(log: AuditLog, path: Path) -> None:
    tamper(path, 'UPDATE entries SET body = \'{"action": "order.refund"}\' WHERE sequence = 2')
    with pytest.raises(AuditDamagedError, match="entry 2 of the audit log cannot be read") as caught:
        await log.search(action="order.refund")
    assert caught.value.sequence == 2
    assert [entry.sequence for entry in await log.search(limit=3)] == [5, 4, 3]


async def test_search_goes_by_an_index(log: AuditLog, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        for name in ("actor", "action", "resource", "tenant", "request_id"):
            plan = db.execute(
                f"EXPLAIN QUERY PLAN SELECT body FROM entries WHERE {name} = 'x' ORDER BY sequence DESC LIMIT 9"
            ).fetchall()
            assert "USING INDEX" in plan[0][3], name
            assert "TEMP B-TREE" not in str(plan), name


async def test_log_goes_on_where_it_ended(path: Path) -> None:
    for expected in (1, 2, 3):
        async with create_audit_log(f"sqlite:///{path}", redact=hide) as log:
            assert (await log.record("a", "b", actor="c")).sequence == expected
    async with create_audit_log(f"sqlite:///{path}", redact=hide) as log:
        assert (await log.verify()).checked_count == 3


async def test_processes_share_one_chain(path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, PROCESS, "record", path, str(EACH)], stderr=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        _, errors = await anyio.to_thread.run_sync(lambda p=process: p.communicate(timeout=DEADLINE_S))
        assert (process.returncode, errors) == (0, "")
    async with create_audit_log(f"sqlite:///{path}", redact=hide) as log:
        verdict = await log.verify()
    assert (verdict.is_intact, verdict.checked_count) == (True, PROCESSES * EACH)


async def test_entry_that_was_recorded_survives_a_kill(path: Path) -> None:
    process = subprocess.Popen([sys.executable, PROCESS, "forever", path], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            seen = [process.stdout.readline() for _ in range(20)]
        finally:
            process.send_signal(signal.SIGKILL)
        seen += process.stdout.readlines()
    sequence, hash_ = seen[-1].split() if seen[-1].endswith("\n") else seen[-2].split()
    async with create_audit_log(f"sqlite:///{path}", redact=hide) as log:
        assert (await log.verify(mark=AuditMark(sequence=int(sequence), hash=hash_))).is_intact
        assert (await log.record("a", "b", actor="c")).sequence >= int(sequence) + 1


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


async def test_entry_that_another_process_keeps_out_is_not_recorded_and_says_so(log: AuditLog, path: Path) -> None:
    unrecorded = get_counter("undercroft_audit_unrecorded_total")
    with locked(path):
        with pytest.raises(AuditUnavailableError, match="locked") as caught:
            await log.record("a", "b", actor="c")
        assert caught.value.kind is Kind.UNAVAILABLE
        assert get_counter("undercroft_audit_unrecorded_total") == unrecorded + 1
        assert len(await log.search()) == 5
    assert (await log.record("a", "b", actor="c")).sequence == 6


async def test_entry_that_does_not_fit_on_the_disk_is_not_recorded_and_says_so(log: AuditLog) -> None:
    await _on_its_connection(log, "PRAGMA max_page_count = 1")  # as small as what is there already
    with pytest.raises(AuditUnavailableError, match="full"):
        await _fill(log)
    found = len(await log.search(limit=1_000))
    await _on_its_connection(log, "PRAGMA max_page_count = 1000000")
    assert (await log.record("a", "b", actor="c")).sequence == found + 1
    assert (await log.verify()).checked_count == found + 1


async def test_deleted_file_takes_no_entries(log: AuditLog, path: Path) -> None:
    path.unlink()
    with pytest.raises(AuditUnavailableError, match="deleted or replaced"):
        await log.record("a", "b", actor="c")


async def test_file_that_is_something_else_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database, " * 1_000)
    with pytest.raises(AuditUnavailableError, match="not a database"):
        async with create_audit_log(f"sqlite:///{path}", redact=hide):
            pass


async def test_cancelled_record_leaves_the_log_whole(log: AuditLog) -> None:
    for _ in range(20):
        with anyio.move_on_after(0):
            await log.record("a", "b", actor="c")
    entry = await log.record("a", "b", actor="c")
    verdict = await log.verify(mark=entry.mark)
    assert (verdict.is_intact, verdict.checked_count) == (True, entry.sequence)


async def _fill(log: AuditLog) -> None:
    for _ in range(1_000):
        await log.record("a", "b", actor="c", after={"text": "x" * 10_000})


async def _on_its_connection(log: AuditLog, statement: str) -> None:
    run: Callable[[sqlite3.Connection], object] = lambda db: db.execute(statement).fetchone()  # noqa: E731
    await log._store._store.read(run)  # type: ignore[attr-defined]
