"""Claims: one winner, leases by the database's clock, and a token that tells the current claim from those before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from sqlalchemy import text

from tests.connections.sql._databases import Target
from undercroft.connections.sql import ClaimResult, Database, InvalidClaimError, SqlClaims, migrate

pytestmark = pytest.mark.anyio
LONG_S = 600.0


@pytest.fixture
async def db(target: Target) -> AsyncIterator[Database]:
    async with Database(target.url) as db:
        await migrate(db)
        yield db


@pytest.fixture
def claims(db: Database) -> SqlClaims:
    return SqlClaims(db)


async def let_leases_end(db: Database) -> None:
    """Make every lease one that ended a second ago, as if its time had come."""
    async with db.transaction() as session:
        await session.execute(text("UPDATE undercroft_claims SET lease_until = claimed_at - 1000000"))


async def count(db: Database) -> int:
    async with db.read_session() as session:
        return int(await session.scalar(text("SELECT count(*) FROM undercroft_claims")) or 0)


async def test_free_key_is_claimed(claims: SqlClaims) -> None:
    before = datetime.now(UTC).timestamp()
    claim = await claims.claim("key", owner="me", lease_s=LONG_S)

    assert claim.state == "claimed"
    assert claim.token > 0
    assert abs(claim.lease_until - before - LONG_S) < 5


async def test_claimed_key_is_busy_for_others(claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)
    other = await claims.claim("key", owner="other", lease_s=1)

    assert other == ClaimResult(state="busy", token=0, lease_until=mine.lease_until)


async def test_done_key_is_done_for_everybody(claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)
    assert await claims.done("key", mine.token, note="order 7")

    for owner in ("me", "other"):
        assert await claims.claim("key", owner=owner, lease_s=1) == ClaimResult(state="done", token=0, lease_until=0.0)


async def test_done_twice_is_true_twice(claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)

    assert [await claims.done("key", mine.token) for _ in range(2)] == [True, True]


async def test_released_key_can_be_claimed_at_once(claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)
    assert await claims.release("key", mine.token)

    other = await claims.claim("key", owner="other", lease_s=LONG_S)
    assert other.state == "claimed"
    assert other.token > mine.token


async def test_lease_that_ended_is_taken_over_and_its_holder_is_fenced_off(db: Database, claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)
    await let_leases_end(db)
    other = await claims.claim("key", owner="other", lease_s=LONG_S)

    assert other.state == "claimed"
    assert other.token > mine.token
    assert not await claims.done("key", mine.token)
    assert not await claims.release("key", mine.token)
    assert await claims.done("key", other.token)


async def test_holder_of_a_lease_that_ended_may_finish_when_nobody_took_over(db: Database, claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)
    await let_leases_end(db)

    assert await claims.done("key", mine.token)


async def test_owner_claims_again_with_a_new_token(claims: SqlClaims) -> None:
    first = await claims.claim("key", owner="me", lease_s=1)
    second = await claims.claim("key", owner="me", lease_s=LONG_S)

    assert second.state == "claimed"
    assert second.token > first.token
    assert second.lease_until > first.lease_until
    assert not await claims.done("key", first.token)
    assert await claims.done("key", second.token)


async def test_unknown_key_is_neither_done_nor_released(claims: SqlClaims) -> None:
    assert not await claims.done("key", 1)
    assert not await claims.release("key", 1)


async def test_done_key_is_not_released(claims: SqlClaims) -> None:
    mine = await claims.claim("key", owner="me", lease_s=LONG_S)
    await claims.done("key", mine.token)

    assert not await claims.release("key", mine.token)
    assert (await claims.claim("key", owner="other", lease_s=1)).state == "done"


async def test_keys_are_compared_exactly(claims: SqlClaims) -> None:
    for key in ("key", "KEY", "kéy", "key%", "a b", "'; DROP TABLE users", "𝄞" * 255):
        assert (await claims.claim(key, owner=key, lease_s=LONG_S)).state == "claimed"


@pytest.mark.parametrize("round_", range(3))
async def test_sixty_four_contenders_have_one_winner(db: Database, claims: SqlClaims, round_: int) -> None:
    """New, over a lease that ended, and over a key that was released."""
    if round_:
        claim = await claims.claim("key", owner="before", lease_s=LONG_S)
        await (let_leases_end(db) if round_ == 1 else claims.release("key", claim.token))
    results: list[ClaimResult] = []

    async def contend(owner: str) -> None:
        results.append(await claims.claim("key", owner=owner, lease_s=LONG_S))

    async with anyio.create_task_group() as tasks:
        for number in range(64):
            tasks.start_soon(contend, f"owner-{number}")

    winners = [result for result in results if result.state == "claimed"]
    assert len(winners) == 1
    assert [result.state for result in results].count("busy") == 63
    assert {result.lease_until for result in results} == {winners[0].lease_until}


async def test_contenders_from_several_pools_have_one_winner_for_each_key(target: Target, claims: SqlClaims) -> None:
    won: list[str] = []

    async def contend(owner: str) -> None:
        async with Database(target.url, pool_size=2) as mine:
            for number in range(20):
                claim = await SqlClaims(mine).claim(f"key-{number}", owner=owner, lease_s=LONG_S)
                if claim.state == "claimed":
                    won.append(f"key-{number}")
                    assert await SqlClaims(mine).done(f"key-{number}", claim.token)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(contend, f"owner-{number}")
    assert sorted(won) == sorted(f"key-{number}" for number in range(20))


async def test_prune_forgets_what_is_older(db: Database, claims: SqlClaims) -> None:
    for key in ("done", "held", "dead"):
        claim = await claims.claim(key, owner="me", lease_s=LONG_S if key != "dead" else 0.000001)
        if key == "done":
            await claims.done(key, claim.token)
    now = datetime.now(UTC)

    assert await claims.prune(now - timedelta(minutes=1)) == 0
    assert await claims.prune(now + timedelta(minutes=1)) == 2
    assert await count(db) == 1
    assert (await claims.claim("held", owner="other", lease_s=1)).state == "busy"


async def test_prune_goes_on_beyond_one_batch(db: Database, claims: SqlClaims) -> None:
    async with db.transaction() as session:
        key = "`key`" if db.dialect == "mariadb" else '"key"'
        insert = f"INSERT INTO undercroft_claims ({key}, owner, state, token, claimed_at, lease_until, done_at)"
        rows = [{"key": f"key-{number}"} for number in range(1100)]
        await session.execute(text(f"{insert} VALUES (:key, 'me', 'done', 1, 1, 0, 1)"), rows)

    assert await claims.prune(datetime.now(UTC)) == 1100
    assert await count(db) == 0


async def test_token_grows_also_after_the_key_was_forgotten(claims: SqlClaims) -> None:
    before = await claims.claim("key", owner="me", lease_s=LONG_S)
    await claims.done("key", before.token)
    await claims.prune(datetime.now(UTC) + timedelta(minutes=1))
    after = await claims.claim("key", owner="other", lease_s=LONG_S)

    assert after.token > before.token
    assert not await claims.done("key", before.token)


@pytest.mark.parametrize(
    ("key", "owner", "lease_s"),
    [
        ("", "me", 1),
        ("k" * 256, "me", 1),
        ("key ", "me", 1),
        ("k\x00y", "me", 1),
        ("key", "", 1),
        ("key", "me", 0),
        ("key", "me", float("nan")),
        ("key", "me", float("inf")),
    ],
)
async def test_claim_that_cannot_be_one_is_misuse(claims: SqlClaims, key: str, owner: str, lease_s: float) -> None:
    with pytest.raises(InvalidClaimError, match="UC4250"):
        await claims.claim(key, owner=owner, lease_s=lease_s)


async def test_prune_needs_a_time_zone(claims: SqlClaims) -> None:
    with pytest.raises(InvalidClaimError, match="time zone"):
        await claims.prune(datetime(2026, 11, 20))
