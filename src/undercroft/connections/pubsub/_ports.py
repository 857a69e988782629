"""What this module needs of others: a place that remembers which messages were handled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


class ClaimAnswer(Protocol):
    """What a claim found, of whatever class; `ClaimResult` is one."""

    @property
    def state(self) -> Literal["claimed", "done", "busy"]: ...
    @property
    def token(self) -> int: ...
    @property
    def lease_until(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """What a claim found."""

    state: Literal["claimed", "done", "busy"]
    """`claimed`: the caller has it. `done`: it was handled. `busy`: somebody else has it until `lease_until`."""
    token: int
    """Grows with every claim of the key; names this claim in `done` and `release`. 0 unless claimed."""
    lease_until: float
    """Epoch seconds by the store's clock, or 0 when the state is `done`."""


class ClaimStore(Protocol):
    """Remembers, for each message, who works on it and whether it is done: claim, then work, then done.

    A claim has a lease: one whose holder died may be claimed again when it ends. A done key stays done for as long as
    the store keeps it, which must be longer than messages are kept. Each method is atomic, and raises when the store
    does not answer; the message is then not handled, and comes again.
    """

    async def claim(self, key: str, *, owner: str, lease_s: float) -> ClaimAnswer:
        """Take `key` until `lease_s` from now, unless it is done or somebody else has it.

        The owner of a claim that has not ended may claim again, which begins the lease anew. The token may be a new
        one, which is then the only one.

        Args:
            key: Up to 255 characters.
            owner: Up to 255 characters; of one run of one handler.
        """

    async def done(self, key: str, token: int) -> bool:
        """Mark `key` as done. `False`, and nothing changes, when `token` is not that of the current claim."""

    async def release(self, key: str, token: int) -> bool:
        """Give up the claim, so that the key can be claimed at once. `False` when it is not the current one."""
