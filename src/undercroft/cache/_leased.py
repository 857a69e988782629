"""One computation across processes: under the lease of its key, stored only if the lease still holds at its end."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable
from typing import Any

import anyio

from undercroft._core.clock import Clock
from undercroft.cache._counts import Computed
from undercroft.cache._errors import CacheOptionError, CacheUnavailableError
from undercroft.cache._flight import Flight, Landed
from undercroft.cache._look import Found, look, versions_of
from undercroft.cache._protocol import Item
from undercroft.cache._rules import Wanted
from undercroft.cache._store import Store
from undercroft.logging import Logger
from undercroft.monitoring import library_span

LEASE_S = 5.0
"""How long after the last sign of life of who computes another one begins; a sign is given each third of it."""
KEY = "undercroft.cache.key"
_log = Logger(module="undercroft.cache")


class Leased:
    """Computes one value, and stores it. Lives as long as that takes.

    The store's failures are no reason to fail: then it computes all the same, and stores nothing.

    Args:
        seen: What was there and will not do; what was stored after it may.
    """

    def __init__(self, store: Store, space: str, wanted: Wanted, *, clock: Clock, token: str, seen: Found) -> None:
        self._store = store
        self._backend = store.backend
        self._space = space
        self._wanted = wanted
        self._clock = clock
        self._token = token
        self._is_away = seen.reason == "unavailable"
        self._seen_at = seen.envelope.written_at if seen.envelope else -math.inf
        if wanted.rules.is_refresh:
            self._seen_at = math.inf

    async def fly(self, flight: Flight[Landed]) -> Landed:
        """Return the value, computed here or stored by another process meanwhile."""
        try:
            has_lease = False if self._is_away else await self._take_lease(flight)
        except CacheUnavailableError:
            self._is_away = True
        flight.has_begun = True
        if self._is_away:
            return await self._alone("not_stored", is_current=True)  # nobody can delete anything either
        if isinstance(has_lease, Landed):
            return has_lease
        if not has_lease:
            return await self._alone("uncoordinated", is_current=False)
        try:
            return await self._under_lease(flight)
        except BaseException:
            await self._give_back()
            raise

    # --- The lease --------------------------------------------------------------------------------------------------

    async def _take_lease(self, flight: Flight[Landed]) -> bool | Landed:
        """Return true with the lease, what another process stored meanwhile, or false after waiting for too long."""
        until = self._clock.monotonic() + self._wanted.rules.wait_s
        while not await self._store.ask(
            lambda: self._backend.take_lease(self._space, self._wanted.key, self._token, ttl_s=LEASE_S)
        ):
            left_s = until - self._clock.monotonic()
            if left_s <= 0:
                _log.warning(
                    "cached value is computed elsewhere for too long: computing it here as well",
                    key=self._wanted.what,
                    waited_s=self._wanted.rules.wait_s,
                )
                return False
            await self._wait_for_lease(min(left_s, LEASE_S))
            flight.has_begun = True  # what is found now may be deleted before who joins now has it
            if (landed := await self._stored_meanwhile()) is not None:
                self._wanted.counts.coalesced.add()
                return landed
            flight.has_begun = False
        return True

    async def _wait_for_lease(self, at_most_s: float) -> None:
        await self._store.ask(
            lambda: self._backend.wait_for_lease(self._space, self._wanted.key, timeout_s=at_most_s), more_s=at_most_s
        )

    async def _stored_meanwhile(self) -> Landed | None:
        wanted = self._wanted
        found = await look(self._store, self._space, wanted.key, wanted.codec, wanted.rules.tags)
        if found.envelope is None or not found.is_fresh or found.envelope.written_at <= self._seen_at:
            return None
        return Landed(wanted.codec.encode(found.envelope.data, what=wanted.what)[0], is_current=False)

    async def _give_back(self) -> None:
        """Let the next one compute, also when this one is cancelled."""
        with anyio.CancelScope(shield=True):
            try:
                await self._store.ask(lambda: self._backend.end_lease(self._space, self._wanted.key, self._token))
            except CacheUnavailableError:
                return  # it ends by itself

    async def _renew(self) -> None:
        is_held = True
        while is_held:
            await self._clock.sleep(LEASE_S / 3)
            try:
                is_held = await self._has_lease()
            except CacheUnavailableError:
                continue  # it may still hold, and if not, nothing is stored

    async def _has_lease(self) -> bool:
        return await self._store.insist(
            lambda: self._backend.renew_lease(self._space, self._wanted.key, self._token, ttl_s=LEASE_S)
        )

    # --- Computing --------------------------------------------------------------------------------------------------

    async def _under_lease(self, flight: Flight[Landed]) -> Landed:
        try:
            if (landed := await self._stored_meanwhile()) is not None:
                await self._give_back()
                return landed
            versions = await self._tag_versions()
        except CacheUnavailableError:
            await self._give_back()
            return await self._alone("not_stored", is_current=True)
        started = self._clock.monotonic()
        value = await self._renewing()
        cost_s = self._clock.monotonic() - started
        data, _ = self._encoded(value, cost_s)
        return await self._keep(flight, value, data, versions, cost_s)

    async def _alone(self, outcome: Computed, *, is_current: bool) -> Landed:
        started = self._clock.monotonic()
        value = await self._call()
        cost_s = self._clock.monotonic() - started
        data, _ = self._encoded(value, cost_s)
        self._wanted.counts.computation(outcome, cost_s)
        return Landed(data, is_current)

    async def _call(self) -> Any:
        started = self._clock.monotonic()
        try:
            # Not the key in the name, of which there is one for each customer.
            with library_span(f"compute {self._wanted.counts.name}", attributes={KEY: self._wanted.what}):
                return await self._begin()
        except Exception:
            self._wanted.counts.computation("failed", self._clock.monotonic() - started)
            raise

    def _begin(self) -> Awaitable[Any]:
        computing = self._wanted.compute()
        if not inspect.isawaitable(computing):
            raise CacheOptionError(
                f"{self._wanted.what}: the function to compute with returned a {type(computing).__name__}",
                hint="make it an async function, without parameters: partial(load_user, 7), or a lambda",
            )
        return computing

    async def _renewing(self) -> Any:
        failure: Exception | None = None
        value = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._renew, name="undercroft cache lease")
            try:
                value = await self._call()
            except Exception as exc:  # raised below: a task group would make it an ExceptionGroup
                failure = exc
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return value

    def _encoded(self, value: Any, cost_s: float) -> tuple[bytes, Any]:
        try:
            return self._wanted.codec.encode(value, what=self._wanted.what)
        except Exception:
            self._wanted.counts.computation("failed", cost_s)
            raise

    # --- Storing ----------------------------------------------------------------------------------------------------

    async def _tag_versions(self) -> dict[str, str | None]:
        """Return the versions that the tags have before anything is computed."""
        rules = self._wanted.rules
        if not rules.tags:
            return {}
        ttl_s = rules.kept_s(rules.longest_s)
        made = await self._store.insist(lambda: self._backend.ensure_tags(self._space, rules.tags, ttl_s=ttl_s))
        return versions_of(rules.tags, made)

    async def _keep(
        self, flight: Flight[Landed], value: Any, data: bytes, versions: dict[str, str | None], cost_s: float
    ) -> Landed:
        outcome: Computed = "not_stored"
        is_current = True
        fresh_s = self._wanted.jittered(self._wanted.rules.fresh_s(value))
        try:
            if fresh_s == 0:
                is_current = await self._has_lease()
                await self._give_back()
            else:
                is_current = await self._write(data, fresh_s, versions, cost_s)
                outcome = "stored" if is_current else "superseded"
                if is_current and versions and flight.has_late_joiners:
                    is_current = await self._has_versions(versions)
        except CacheUnavailableError:
            pass  # has been logged and counted; the value is as good as without a cache
        self._wanted.counts.computation(outcome, cost_s)
        return Landed(data, is_current)

    async def _write(self, data: bytes, fresh_s: float | None, versions: dict[str, str | None], cost_s: float) -> bool:
        stored = self._wanted.codec.wrap(
            data, written_at=self._store.time(), fresh_for_s=fresh_s, cost_s=cost_s, tags=versions
        )
        item = Item(self._wanted.key, stored, self._wanted.rules.kept_s(fresh_s))
        return await self._store.insist(lambda: self._backend.write_leased(self._space, item, self._token))

    async def _has_versions(self, versions: dict[str, str | None]) -> bool:
        read = await self._store.insist(lambda: self._backend.read(self._space, (), tuple(versions)))
        return versions_of(tuple(versions), read.versions) == versions
