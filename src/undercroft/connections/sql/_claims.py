"""Claims in the database: claim a key, do the work, mark it done; whoever dies in between loses the claim in time.

Table `undercroft_claims`, made by `migrate`. Instants are microseconds since 1970 by the database's clock, so that the
clocks of our machines never matter. A token is such an instant too, or one more than the token before it, whichever is
larger: it grows with every claim of a key, also after the key's row was pruned.

Each change of a row is one statement that only acts on the row as it was read (its token), so two of them cannot both
succeed. Read, then change, then again if somebody was faster.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import anyio

from undercroft.connections.sql._errors import (
    DatabaseUnavailableError,
    InvalidClaimError,
    TransactionConflictError,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from undercroft.connections.sql._claims_sql import ClaimStatements
    from undercroft.connections.sql._facade import Database

_MICRO = 1_000_000
_ATTEMPTS = 8
_MAX_LENGTH = 255
_MAX_LEASE_S = 10 * 365 * 86400
_PRUNE_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """What a claim found."""

    state: Literal["claimed", "done", "busy"]
    """`claimed`: the caller has it. `done`: it was handled. `busy`: somebody else has it until `lease_until`."""
    token: int
    """Grows with every claim of the key; names this claim in `done` and `release`. 0 unless claimed."""
    lease_until: float
    """Epoch seconds by the database's clock, or 0 when the state is `done`."""


@dataclass(frozen=True, slots=True)
class _Row:
    now: int
    state: str | None
    owner: str | None
    token: int | None
    lease_until: int | None


class SqlClaims:
    """Remembers, for each key, who works on it and whether it is done. Lives and is closed with its `Database`.

    Every method is atomic, safe from any number of processes, and raises a `DatabaseError` when the database does not
    answer; whether it took effect is unknown then, and calling again is right: `claim` by the same owner, `done` and
    `release` with the same token.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._statements: ClaimStatements | None = None

    async def claim(self, key: str, *, owner: str, lease_s: float) -> ClaimResult:
        """Take `key` until `lease_s` from now, unless it is done or somebody else has it.

        The owner of a claim that has not ended may claim again: the lease begins anew, with a new token, and the token
        before it is worth nothing from then on.

        Args:
            key: 1 to 255 characters, compared exactly.
            owner: Who claims, 1 to 255 characters; unique to the process or task.
            lease_s: More than 0, up to ten years.

        Raises:
            InvalidClaimError: One of them is not that.
        """
        _check(key=key, owner=owner)
        if not 0 < lease_s <= _MAX_LEASE_S:
            raise InvalidClaimError(f"lease_s {lease_s!r} is not more than 0 and at most ten years")
        lease = max(1, round(lease_s * _MICRO))
        for attempt in range(_ATTEMPTS):
            try:
                result = await self._try_claim(key, owner, lease)
            except TransactionConflictError:
                result = None
            if result is not None:
                return result
            await anyio.sleep(random.uniform(0, 0.005 * 2**attempt))
        raise DatabaseUnavailableError(
            f"the claim of {key!r} was contended {_ATTEMPTS} times in a row", hint="try again", retry_after=1.0
        )

    async def done(self, key: str, token: int, *, note: str | None = None) -> bool:
        """Mark `key` as done. `False`, and nothing changes, when `token` is not that of the current claim.

        A claim whose lease has ended is current until somebody else claims the key. Doing it twice is `True` twice.

        Args:
            note: What to keep about it, up to 255 characters.
        """
        if note is not None and len(note) > _MAX_LENGTH:
            raise InvalidClaimError(f"a note has up to {_MAX_LENGTH} characters, not {len(note)}")
        sql = self._sql()
        async with self._db.transaction() as session:
            return await _changed(session, sql.DONE, key=key, token=token, note=note)

    async def release(self, key: str, token: int) -> bool:
        """Give up the claim, so that the key can be claimed at once. `False` when it is not current, or done."""
        sql = self._sql()
        async with self._db.transaction() as session:
            return await _changed(session, sql.RELEASE, key=key, token=token)

    async def prune(self, before: datetime) -> int:
        """Forget keys that were done before, and claims that ended before, this instant; return how many.

        A message that comes again after its key was forgotten is handled again: keep keys for longer than messages.
        """
        if before.tzinfo is None:
            raise InvalidClaimError(f"before {before!r} has no time zone", hint="use datetime.now(UTC) - timedelta(…)")
        sql, limit = self._sql(), round(before.timestamp() * _MICRO)
        total = 0
        while True:
            async with self._db.transaction() as session:
                result = await session.execute(sql.OLD, {"before": limit, "limit": _PRUNE_BATCH})
                keys = [key for (key,) in result]
                for key in keys:
                    total += await _changed(session, sql.FORGET, key=key, before=limit)
            if len(keys) < _PRUNE_BATCH:
                return total

    async def _try_claim(self, key: str, owner: str, lease: int) -> ClaimResult | None:
        """Return the outcome, or `None` when somebody else changed the row meanwhile."""
        sql = self._sql()
        async with self._db.transaction() as session:
            row = _Row(*(await session.execute(sql.LOOK, {"key": key})).one())
            if row.state == "done":
                return ClaimResult(state="done", token=0, lease_until=0.0)
            held_until = row.lease_until or 0
            if held_until > row.now and row.owner != owner:
                return ClaimResult(state="busy", token=0, lease_until=held_until / _MICRO)
            until = row.now + lease
            token = row.now if row.token is None else max(row.now, row.token + 1)
            values: dict[str, Any] = {"key": key, "owner": owner, "token": token, "now": row.now, "until": until}
            statement = sql.INSERT if row.token is None else sql.TAKE
            if row.token is not None:
                values["seen"] = row.token
            if not await _changed(session, statement, **values):
                return None
        return ClaimResult(state="claimed", token=token, lease_until=until / _MICRO)

    def _sql(self) -> ClaimStatements:
        if self._statements is None:
            from undercroft.connections.sql._claims_sql import statements_for

            self._statements = statements_for(self._db.dialect)
        return self._statements


async def _changed(session: AsyncSession, statement: Any, **values: object) -> bool:
    result: Any = await session.execute(statement, values)
    return bool(result.rowcount == 1)


def _check(**names: str) -> None:
    for name, value in names.items():
        is_plain = 0 < len(value) <= _MAX_LENGTH and value == value.strip()
        # No control characters: PostgreSQL keeps no zero; no outer spaces: MySQL compares without them.
        if not is_plain or any(ord(character) < 32 for character in value):
            raise InvalidClaimError(
                f"{name} {value[:64]!r} is not valid",
                hint=f"use 1 to {_MAX_LENGTH} characters, without control characters and outer spaces",
            )
