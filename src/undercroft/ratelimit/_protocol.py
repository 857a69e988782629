"""What a store of limits promises: all that a store's author must read. What it decides with is in `_rules`.

A store keeps, for each policy and key and each of the policy's rules, the small state that the rule makes of it, and
decides by its own clock. A decision over several rules is one step: either all of them allow and the cost is taken
from each, or nothing changes. What a refused call changes is nothing at all, not even how long a state is kept.

A state may be forgotten once it says no more than a fresh one (`Rule.idle_us`), and never before: a store that forgets
early refills early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._rules import Rule, Verdict
from undercroft.ratelimit._values import LimitedKey

Answer = tuple[int, tuple[Verdict, ...]]
"""When it was decided, microseconds since the epoch by the store's clock, and what each rule says.

When none says to wait, the cost was taken from all, and the verdicts tell what is left after that.
"""


class LimitStore(Protocol):
    """Keeps states and decides. Opened by `async with`; used from one event loop; every method is atomic, and raises
    `RateLimitUnavailableError` when the store does not answer, in which case whether it was done is not known.
    Cancellation: likewise."""

    @property
    def name(self) -> str:
        """Short name: `memory`, `sqlite`, `redis`."""

    @property
    def is_local(self) -> bool:
        """Whether it is a `LocalStore`, whose calls wait for nothing."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    async def check(self, plan: Plan, key: str, cost: int, token: str = "") -> Answer:
        """Take `cost` from every rule if all allow it. `token` is that of the slot to be taken, where there are slots.

        On one server in one round trip.
        """

    async def peek(self, plan: Plan, key: str, cost: int) -> Answer:
        """Tell what `check` would decide, with what is left now, and change nothing."""

    async def refund(self, plan: Plan, key: str, cost: int) -> None:
        """Give `cost` back to every rule, as much of it as is used there. Slots are not touched."""

    async def release(self, plan: Plan, key: str, token: str) -> bool:
        """Give a slot back; false when its lease had ended."""

    async def extend(self, plan: Plan, key: str, token: str) -> bool:
        """Have the lease of a slot begin anew; false when it had ended."""

    async def reset(self, policy: str, key: str, rules: Sequence[Rule]) -> None:
        """Forget a key of a policy: the states of these rules, and that it is limited."""

    async def note(self, policy: str, key: str, *, wait_us: int, refusals: int) -> None:
        """Keep that a key is refused for `wait_us` from now, for `limited`; `refusals` are added to those of before.

        Called now and then, and not for every refusal. A store may keep the last 10 000 keys of a policy only.
        """

    async def limited(self, policies: Sequence[str], limit: int) -> list[LimitedKey]:
        """Return up to `limit` keys that are refused now, of these policies, those that end last first."""


class LocalStore(LimitStore, Protocol):
    """A store in this process, which answers at once."""

    def check_now(self, plan: Plan, key: str, cost: int, token: str = "") -> Answer:
        """As `check`."""

    def note_now(self, policy: str, key: str, now: int, until: int) -> bool:
        """As `note`, for one refusal at an instant of the store; tells whether the key was not limited before."""
