"""Limits in a SQLite file: for one machine and several processes.

Table `states`: a row for each policy, key and rule, with the state as the rule writes it (`_rules`), and when it says
nothing any more. Table `limited`: who is refused. A decision is one transaction, and several callers of a process share
one commit. Instants are microseconds by this machine's clock. The file may lose its last commits in a power cut
(`synchronous=normal`), which lets as much through again; `?synchronous=full` costs an fsync for each commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.errors import ConfigError
from undercroft._core.sqlite import SqliteOptions, SqliteStore, StoreUnavailableError
from undercroft._core.url import Url
from undercroft.ratelimit._errors import RateLimitUnavailableError
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._protocol import Answer
from undercroft.ratelimit._rules import Rule, SlotsRule, State, Verdict
from undercroft.ratelimit._values import LimitedKey

T = TypeVar("T")
_MOST_NOTED = 10_000
_SWEEP = 20
_SCHEMA = """
CREATE TABLE states (
    policy TEXT NOT NULL,
    key TEXT NOT NULL,
    part TEXT NOT NULL,
    state TEXT NOT NULL,
    ends_at INTEGER NOT NULL,
    PRIMARY KEY (policy, key, part)
) WITHOUT ROWID;
CREATE INDEX states_by_end ON states (ends_at);
CREATE TABLE limited (
    policy TEXT NOT NULL,
    key TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    refusals INTEGER NOT NULL,
    PRIMARY KEY (policy, key)
) WITHOUT ROWID;
CREATE INDEX limited_by_end ON limited (policy, until);
"""


class SqliteLimits:
    """The SQLite store. Opened by `async with`; used from one event loop. The file is opened by the first call."""

    name = "sqlite"
    is_local = False

    def __init__(self, path: Path, *, options: SqliteOptions | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        options = options or SqliteOptions(synchronous="normal")
        self._store = SqliteStore(path, migrations=(_SCHEMA,), options=options, is_lazy=True)

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None) -> Self:
        """Return the store of a `sqlite:///` URL. Opens nothing yet."""
        options = url.options_as(SqliteOptions, what=what)
        if "synchronous" not in url.options:
            options = msgspec.structs.replace(options, synchronous="normal")
        return cls(Path(url.file_path(what=what)), options=options, clock=clock)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    async def ping(self) -> None:
        await self._read(lambda db: db.execute("SELECT 1 FROM states LIMIT 1").fetchone())

    # --- Deciding ---------------------------------------------------------------------------------------------------

    async def check(self, plan: Plan, key: str, cost: int, token: str = "") -> Answer:
        def run(db: sqlite3.Connection) -> Answer:
            now = self._now()
            states = _States(db, plan.policy, key, plan.rules, now)
            set_back = [rule.settle(state, now) for rule, state in states]
            verdicts = [rule.look(state, now, cost) for rule, state in states]
            if not any(retry for retry, _, _ in verdicts):
                verdicts = [rule.check(state, now, cost, token) for rule, state in states]
                states.store()
            elif any(set_back):
                states.store()
            return now, tuple(verdicts)

        return await self._write(run)

    async def peek(self, plan: Plan, key: str, cost: int) -> Answer:
        def run(db: sqlite3.Connection) -> Answer:
            now = self._now()
            verdicts: list[Verdict] = []
            for rule, state in _States(db, plan.policy, key, plan.rules, now):
                rule.settle(state, now)
                verdicts.append(rule.look(state, now, cost))
            return now, tuple(verdicts)

        return await self._read(run)

    async def refund(self, plan: Plan, key: str, cost: int) -> None:
        def run(db: sqlite3.Connection) -> None:
            now = self._now()
            states = _States(db, plan.policy, key, plan.rules, now)
            for rule, state in states:
                rule.refund(state, now, cost)
            states.store()

        await self._write(run)

    async def release(self, plan: Plan, key: str, token: str) -> bool:
        return await self._on_slots(plan, key, lambda rule, state, now: rule.release(state, now, token))

    async def extend(self, plan: Plan, key: str, token: str) -> bool:
        return await self._on_slots(plan, key, lambda rule, state, now: rule.extend(state, now, token))

    async def _on_slots(self, plan: Plan, key: str, do: Callable[[SlotsRule, State, int], bool]) -> bool:
        slots = plan.slots
        if slots is None:
            return False

        def run(db: sqlite3.Connection) -> bool:
            now = self._now()
            states = _States(db, plan.policy, key, [slots], now)
            [(_, state)] = states
            done = do(slots, state, now)
            states.store()
            return done

        return await self._write(run)

    async def reset(self, policy: str, key: str, rules: Sequence[Rule]) -> None:
        def run(db: sqlite3.Connection) -> None:
            parts = [(policy, key, rule.part) for rule in rules]
            db.executemany("DELETE FROM states WHERE policy = ? AND key = ? AND part = ?", parts)
            db.execute("DELETE FROM limited WHERE policy = ? AND key = ?", (policy, key))

        await self._write(run)

    # --- Who is limited ---------------------------------------------------------------------------------------------

    async def note(self, policy: str, key: str, *, wait_us: int, refusals: int) -> None:
        def run(db: sqlite3.Connection) -> None:
            now = self._now()
            db.execute(_NOTE, {"policy": policy, "key": key, "now": now, "until": now + wait_us, "refusals": refusals})
            db.execute(_FORGET_NOTED, (policy, now, policy, _MOST_NOTED))

        await self._write(run)

    async def limited(self, policies: Sequence[str], limit: int) -> list[LimitedKey]:
        def run(db: sqlite3.Connection) -> list[LimitedKey]:
            now, found = self._now(), []
            for policy in policies:
                found += db.execute(_LIMITED, (policy, now, limit)).fetchall()
            found.sort(key=lambda row: row[3], reverse=True)
            return [_limited(*row) for row in found[:limit]]

        return await self._read(run)

    # --- The file ---------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock.time() * 1e6)

    async def _write(self, run: Callable[[sqlite3.Connection], T]) -> T:
        with _translated():
            return await self._store.write(run)

    async def _read(self, run: Callable[[sqlite3.Connection], T]) -> T:
        with _translated():
            return await self._store.read(run)


class _States:
    """The states of a key under some rules, read from the file, or fresh."""

    def __init__(self, db: sqlite3.Connection, policy: str, key: str, rules: Sequence[Rule], now: int) -> None:
        self._db, self._policy, self._key, self._now = db, policy, key, now
        self._found: list[tuple[Rule, State]] = []
        for rule in rules:
            row = db.execute(_STATE, (policy, key, rule.part, now)).fetchone()
            self._found.append((rule, rule.fresh(now) if row is None else rule.load(row[0])))

    def __iter__(self) -> Iterator[tuple[Rule, State]]:
        return iter(self._found)

    def store(self) -> None:
        """Write them, and forget a few of others' whose time has passed."""
        for rule, state in self._found:
            ends_at = self._now + rule.idle_us(state, self._now)
            self._db.execute(_STORE, (self._policy, self._key, rule.part, rule.dump(state), ends_at))
        self._db.execute(_SWEEP_STATES, (self._now, _SWEEP))


def _limited(policy: str, key: str, since: int, until: int, refusals: int) -> LimitedKey:
    return LimitedKey(policy=policy, key=key, since=utc(since / 1e6), until=utc(until / 1e6), refusals=refusals)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the store's errors into ours."""
    try:
        yield
    except StoreUnavailableError as exc:
        raise RateLimitUnavailableError(exc.message, hint=exc.hint) from exc
    except ConfigError as exc:  # the file cannot be opened, which a lazy store finds out at a call
        raise RateLimitUnavailableError(exc.message, hint=exc.hint) from exc


_STATE = "SELECT state FROM states WHERE policy = ? AND key = ? AND part = ? AND ends_at > ?"
_STORE = "INSERT OR REPLACE INTO states (policy, key, part, state, ends_at) VALUES (?, ?, ?, ?, ?)"
_SWEEP_STATES = """
DELETE FROM states WHERE (policy, key, part) IN
    (SELECT policy, key, part FROM states WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)"""
_NOTE = """
INSERT INTO limited (policy, key, since, until, refusals) VALUES (:policy, :key, :now, :until, :refusals)
ON CONFLICT (policy, key) DO UPDATE SET
    since = iif(until > :now, since, :now),
    refusals = iif(until > :now, refusals, 0) + :refusals,
    until = max(until, :until)"""
_FORGET_NOTED = """
DELETE FROM limited WHERE policy = ? AND (until <= ? OR key IN
    (SELECT key FROM limited WHERE policy = ? ORDER BY until DESC LIMIT -1 OFFSET ?))"""
_LIMITED = """
SELECT policy, key, since, until, refusals FROM limited WHERE policy = ? AND until > ? ORDER BY until DESC LIMIT ?"""
