"""Limits in this process: for tests, for one process, and for what is decided while a store is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Self

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.url import Url
from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._protocol import Answer
from undercroft.ratelimit._rules import Rule, State
from undercroft.ratelimit._values import LimitedKey

_MOST_NOTED = 10_000
_LOOKS = 2


class MemoryLimits:
    """The memory store. One instance counts for itself; for one event loop; nothing is left when it is closed.

    Memory is bounded by the keys whose state still says something: whenever a key is new, the two oldest ones are
    looked at, and dropped when their time has passed.
    """

    name = "memory"
    is_local = True

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        # Monotonic time from a fixed start, so that setting the host's clock refills nothing. Calendars go by the host.
        self._start = self._clock.time() - self._clock.monotonic()
        self._spaces: dict[str, OrderedDict[str, State]] = {}
        self._noted: dict[str, OrderedDict[str, _Noted]] = {}

    @classmethod
    def from_url(cls, url: Url, *, what: str, clock: Clock | None = None) -> Self:
        """Return an empty store; `memory://` has no options."""
        from msgspec import defstruct

        url.options_as(defstruct("MemoryOptions", []), what=what)
        return cls(clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._spaces.clear()
        self._noted.clear()

    async def ping(self) -> None:
        return None

    # --- Deciding ---------------------------------------------------------------------------------------------------

    def check_now(self, plan: Plan, key: str, cost: int, token: str = "") -> Answer:
        rule = plan.single
        if rule is None or rule.is_calendar:
            return self._check_all(plan, key, cost, token)
        now = int((self._monotonic() + self._start) * 1e6)
        try:
            state = self._spaces[plan.spaces[0]][key]
        except KeyError:
            state = self._make(plan.spaces[0], rule, key, now)
        return now, (rule.check(state, now, cost, token),)

    def _check_all(self, plan: Plan, key: str, cost: int, token: str) -> Answer:
        found = self._find(plan, key)
        verdicts = [rule.look(state, now, cost) for rule, state, now in found]
        if not any(retry for retry, _, _ in verdicts):
            verdicts = [rule.check(state, now, cost, token) for rule, state, now in found]
            self._keep(plan, key, found)
        else:
            for rule, state, now in found:
                rule.settle(state, now)
        return found[0][2], tuple(verdicts)

    def peek_now(self, plan: Plan, key: str, cost: int) -> Answer:
        found = self._find(plan, key)
        return found[0][2], tuple(rule.look(state, now, cost) for rule, state, now in found)

    async def check(self, plan: Plan, key: str, cost: int, token: str = "") -> Answer:
        return self.check_now(plan, key, cost, token)

    async def peek(self, plan: Plan, key: str, cost: int) -> Answer:
        return self.peek_now(plan, key, cost)

    async def refund(self, plan: Plan, key: str, cost: int) -> None:
        for rule, state, now in self._find(plan, key):
            rule.refund(state, now, cost)

    async def release(self, plan: Plan, key: str, token: str) -> bool:
        return self.release_now(plan, key, token)

    def release_now(self, plan: Plan, key: str, token: str) -> bool:
        """As `release`."""
        if plan.slots is None:
            return False
        at = plan.rules.index(plan.slots)
        _, state, now = self._find(plan, key)[at]
        return plan.slots.release(state, now, token)

    async def extend(self, plan: Plan, key: str, token: str) -> bool:
        if plan.slots is None:
            return False
        at = plan.rules.index(plan.slots)
        _, state, now = self._find(plan, key)[at]
        return plan.slots.extend(state, now, token)

    async def reset(self, policy: str, key: str, rules: Sequence[Rule]) -> None:
        for rule in rules:
            if (space := self._spaces.get(f"{policy} {rule.part}")) is not None:
                space.pop(key, None)
        if (noted := self._noted.get(policy)) is not None:
            noted.pop(key, None)

    # --- Who is limited ---------------------------------------------------------------------------------------------

    def note_now(self, policy: str, key: str, now: int, until: int, refusals: int = 1) -> bool:
        try:
            known = self._noted[policy][key]
        except KeyError:
            known = None
        if known is not None and known.until > now:
            if known.until < until:
                known.until = until
            known.refusals += refusals
            return False
        noted = self._noted.setdefault(policy, OrderedDict())
        noted[key] = _Noted(now, until, refusals)
        noted.move_to_end(key)
        while len(noted) > _MOST_NOTED:
            noted.popitem(last=False)
        return True

    async def note(self, policy: str, key: str, *, wait_us: int, refusals: int) -> None:
        now = self._now()
        self.note_now(policy, key, now, now + wait_us, refusals)

    async def limited(self, policies: Sequence[str], limit: int) -> list[LimitedKey]:
        now = self._now()
        found = [
            (noted.until, policy, key, noted)
            for policy in policies
            for key, noted in self._noted.get(policy, OrderedDict[str, _Noted]()).items()
            if noted.until > now
        ]
        found.sort(key=lambda entry: entry[0], reverse=True)
        return [
            LimitedKey(
                policy=policy,
                key=key,
                since=utc(noted.since / 1e6),
                until=utc(noted.until / 1e6),
                refusals=noted.refusals,
            )
            for _, policy, key, noted in found[:limit]
        ]

    # --- States -----------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int((self._monotonic() + self._start) * 1e6)

    def _now_of(self, rule: Rule) -> int:
        return int(self._clock.time() * 1e6) if rule.is_calendar else self._now()

    def _find(self, plan: Plan, key: str) -> list[tuple[Rule, State, int]]:
        """Return each rule with its state, or a fresh one that is not kept, and its time."""
        found = []
        for rule, space in zip(plan.rules, plan.spaces, strict=True):
            now = self._now_of(rule)
            states = self._spaces.get(space)
            state = None if states is None else states.get(key)
            found.append((rule, rule.fresh(now) if state is None else state, now))
        return found

    def _keep(self, plan: Plan, key: str, found: list[tuple[Rule, State, int]]) -> None:
        for space, (rule, state, now) in zip(plan.spaces, found, strict=True):
            states = self._spaces.get(space)
            if states is None or key not in states:
                self._make(space, rule, key, now, state)

    def _make(self, space: str, rule: Rule, key: str, now: int, state: State | None = None) -> State:
        states = self._spaces.get(space)
        if states is None:
            states = self._spaces[space] = OrderedDict()
        for _ in range(min(_LOOKS, len(states))):
            oldest, old = states.popitem(last=False)
            if rule.idle_us(old, now):
                states[oldest] = old  # at the end: looked at again when all others were
        states[key] = state = rule.fresh(now) if state is None else state
        return state


class _Noted:
    __slots__ = ("refusals", "since", "until")

    def __init__(self, since: int, until: int, refusals: int) -> None:
        self.since = since
        self.until = until
        self.refusals = refusals
