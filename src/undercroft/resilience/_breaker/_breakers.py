"""The breakers of a process, by name; and those of the other processes that use the same store."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Self, Unpack

from msgspec.structs import replace

from undercroft._core.clock import Clock, SystemClock
from undercroft._core.durations import Duration
from undercroft._core.errors import NotOpenError, near_names
from undercroft._core.url import Url
from undercroft.resilience._breaker import _standing as rules
from undercroft.resilience._breaker._breaker import CircuitBreaker
from undercroft.resilience._breaker._info import info_of
from undercroft.resilience._breaker._keeping import Sharing, standing_of
from undercroft.resilience._breaker._options import BreakerOptions
from undercroft.resilience._breaker._protocol import BreakerInfo, BreakerStore
from undercroft.resilience._errors import BreakerNotFoundError, PolicyError
from undercroft.resilience._policy import seconds


class Breakers:
    """The breakers that share one store. Used inside `async with`, which opens and closes the store; one event loop.

        async with create_breakers("redis://cache:6379/0") as breakers:
            payments = breakers.breaker("payments", failure_threshold=5)
            await payments.execute(charge, order)
            for info in await breakers.list(): ...
            await breakers.force_open("payments", for_="10m")        # in every process

    It is `infra.breakers`, and every `CircuitBreaker` that is called where the `Infra` is bound belongs to it by then,
    unless it was made with another `store` or with `is_local=True`. It does not keep those alive.

    Args:
        store: By default this process's memory.
        timeout: How long a call over a breaker, or a command, waits for an answer of the store. A store that did not
            answer is left alone for 5 s by calls.
        look_every: How old what a process knows may be, while calls are made.

    Raises:
        PolicyError: A duration is out of range.
    """

    def __init__(
        self,
        store: BreakerStore | None = None,
        *,
        timeout: Duration = "250ms",
        look_every: Duration = "1s",
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        if store is None:
            from undercroft.resilience._breaker._schemes import open_breaker_store

            store = open_breaker_store(Url.parse("memory://"), what="breakers", clock=self._clock)
        self.store = store
        self._sharing = Sharing(
            store,
            timeout_s=seconds(timeout, name="timeout", least=0.001),
            look_every_s=seconds(look_every, name="look_every", least=0.001, most=3600.0),
            clock=self._clock,
        )
        self._members: weakref.WeakSet[CircuitBreaker] = weakref.WeakSet()
        self._made: dict[str, CircuitBreaker] = {}
        self._is_open = False

    @property
    def backend(self) -> str:
        """Short name of the store: `"memory"`, `"sqlite"`, `"redis"`."""
        return self.store.name

    @property
    def is_open(self) -> bool:
        """Whether it is inside its `async with`."""
        return self._is_open

    async def __aenter__(self) -> Self:
        await self.store.__aenter__()
        self._is_open = True
        for breaker in self._made.values():
            self.add(breaker)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_open = False
        for breaker in tuple(self._members):
            breaker.detach()
        self._members.clear()
        await self.store.__aexit__(*exc_info)

    async def ping(self) -> None:
        """Return when the store answers.

        Raises:
            BreakersUnavailableError: It does not.
        """
        await self._sharing.ask(self._require_open().ping)

    # --- Breakers of this process -----------------------------------------------------------------------------------

    def breaker(self, name: str, **options: Unpack[BreakerOptions]) -> CircuitBreaker:
        """Return the breaker of this name, made with these options when there is none; it is kept for as long as this.

        Raises:
            PolicyError: There is one that was made here, and options are given again; or an option is wrong.
        """
        made = self._made.get(name)
        if made is not None:
            if options:
                raise PolicyError(
                    f"the breaker {name!r} was made already", hint="give the options once, and get it by its name then"
                )
            return made
        made = self._made[name] = CircuitBreaker(name, store=self, clock=self._clock, **options)
        if self._is_open:
            self.add(made)
        return made

    def add(self, breaker: CircuitBreaker) -> None:
        """Have a breaker that was made elsewhere share its state here. It does so by itself where this is bound.

        Raises:
            NotOpenError: This is not open.
        """
        self._require_open()
        if breaker not in self._members:
            self._members.add(breaker)
            breaker.attach(self._sharing)

    def get(self, name: str) -> CircuitBreaker | None:
        """Return this process's breaker of that name, if it has one."""
        here = self._made.get(name)
        return here or next((breaker for breaker in self._members if breaker.name == name), None)

    def require(self, name: str) -> CircuitBreaker:
        """Return this process's breaker of that name.

        Raises:
            BreakerNotFoundError: It has none.
        """
        breaker = self.get(name)
        if breaker is None:
            raise self._not_found(name, self._names_here())
        return breaker

    # --- Breakers of all processes ----------------------------------------------------------------------------------

    async def list(self) -> tuple[BreakerInfo, ...]:
        """Return all breakers that the store knows and those of this process, by name. One read of the store.

        Raises:
            BreakersUnavailableError: The store does not answer.
        """
        stored = await self._sharing.ask(self._require_open().read_all)
        infos = {name: info_of(name, standing_of(one), one.now, self._clock) for name, one in stored.items()}
        for breaker in [*self._members, *self._made.values()]:
            infos.setdefault(breaker.name, breaker.info())
        return tuple(self._with_counts(infos[name]) for name in sorted(infos))

    async def force_open(self, name: str, *, for_: Duration | None = None) -> BreakerInfo:
        """Have every process refuse calls over this breaker: for so long, and probe then; or until `reset`.

        Processes that call see it within `look_every`.

        Raises:
            BreakerNotFoundError: Nobody knows a breaker of this name.
            BreakersUnavailableError: The store does not answer; nothing was changed, as far as is known.
        """
        return await self._change(name, partial(rules.forced, to="open", for_s=_for_s(for_)))

    async def force_closed(self, name: str, *, for_: Duration | None = None) -> BreakerInfo:
        """Have every process let calls over this breaker through, and count none. Otherwise as `force_open`."""
        return await self._change(name, partial(rules.forced, to="closed", for_s=_for_s(for_)))

    async def reset(self, name: str) -> BreakerInfo:
        """Close this breaker in every process, whatever it was. Otherwise as `force_open`."""
        return await self._change(name, rules.reset)

    async def _change(self, name: str, change: rules.Change) -> BreakerInfo:
        store = self._require_open()
        if self.get(name) is None:
            known = await self._sharing.ask(store.read_all)
            if name not in known:
                raise self._not_found(name, [*known, *self._names_here()])
        standing, now = await self._sharing.change(name, change, base=standing_of)
        for breaker in [member for member in self._members if member.name == name]:
            await breaker.look()
        return self._with_counts(info_of(name, standing, now, self._clock))

    def _with_counts(self, info: BreakerInfo) -> BreakerInfo:
        here = [breaker.info() for breaker in self._members if breaker.name == info.name]
        if not here:
            return replace(info, is_here=info.name in self._made)
        return replace(
            info,
            is_here=True,
            calls=sum(one.calls for one in here),
            failures=sum(one.failures for one in here),
            rejected=sum(one.rejected for one in here),
        )

    def _names_here(self) -> tuple[str, ...]:
        return (*self._made, *(breaker.name for breaker in self._members))

    def _not_found(self, name: str, known: Iterable[str]) -> BreakerNotFoundError:
        return BreakerNotFoundError(f"there is no breaker {name!r:.100}", breaker=name, near=near_names(name, known))

    def _require_open(self) -> BreakerStore:
        if not self._is_open:
            raise NotOpenError("the breakers are not open", hint="use them inside `async with`, or open the Infra")
        return self.store


def _for_s(for_: Duration | None) -> float | None:
    return None if for_ is None else seconds(for_, name="for_", least=0.001)
