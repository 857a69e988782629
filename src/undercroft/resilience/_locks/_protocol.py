"""What a store of locks promises: all that a store's author must read.

A store keeps, for each name, at most one *claim*, and forgets it when its lease ends. It does not wait, renew or
repeat; the facade does. Three values name a holder:

- `owner`: a text for people, not unique; `lease.owner`.
- `claim`: one random id for each time that somebody tries to acquire. Whoever knows it is the holder, and nobody else
  may extend or release. Because it is chosen before the first request, every call here may be repeated when its answer
  was lost: the same claim gets the same lease again.
- `token`: a number that the store makes for each lease, the *fencing token*. For one name it only ever grows, also when
  the store lost its data: `max(the last one + 1, microseconds of the store's clock)`. Only a store that loses its data
  *and* whose clock is set back can give a smaller one. It fits in 63 bits; a store may share one sequence among names.

Leases end by the store's own clock: `ttl_s` from when it took the call, which is later than the caller sent it. So a
holder that counts from before it sent the call gives up first.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Granted(msgspec.Struct, frozen=True):
    """The claim holds the name now."""

    token: int


class Held(msgspec.Struct, frozen=True):
    """Another claim holds the name."""

    owner: str
    expires_in_s: float
    """When its lease ends, unless it is extended or released before."""


class LockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that is in force."""

    name: str
    owner: str
    token: int
    expires_in_s: float
    acquired_at: float
    """Epoch seconds by the store's wall clock."""


class LockStore(Protocol):
    """Keeps claims. Opened by `async with`; used from one event loop; every method is atomic, and raises
    `LockUnavailableError` when the store does not answer, in which case what it did is unknown. Cancellation: likewise.
    Each may be repeated after that. Names are as `check_name` has them: no braces, no control characters."""

    @property
    def name(self) -> str:
        """Short name: `memory`, `sqlite`, `redis`."""

    @property
    def is_local(self) -> bool:
        """Whether all who use this store are in this process, and its calls never wait: they need no deadline, and
        nobody has to ask again whether somebody elsewhere released."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def ping(self) -> None:
        """Return when the store answers."""

    async def acquire(self, name: str, *, owner: str, claim: str, ttl_s: float) -> Granted | Held:
        """Give `name` to this claim for `ttl_s` from now, unless another claim holds it.

        Repeated by the claim that holds it: the same token, `ttl_s` from now.
        """

    async def extend(self, name: str, *, claim: str, ttl_s: float) -> bool:
        """Let the lease of this claim end `ttl_s` from now. False, and nothing changes, when it does not hold `name`:
        its lease has ended, even if nobody took the name since."""

    async def release(self, name: str, *, claim: str) -> bool:
        """End the lease of this claim. False, and nothing changes, when it does not hold `name`.

        Where a call that was given up may still be on its way: an `acquire` of this claim that arrives within a minute
        after this gets nothing.
        """

    async def list_held(self, *, prefix: str, limit: int) -> list[LockRecord]:
        """Return up to `limit` leases that are in force and whose name begins with `prefix`, by name.

        Of more than `limit`, any; looks at a moment, and not at all of them at the same one.
        """

    async def force_release(self, name: str) -> LockRecord | None:
        """End the lease of whoever holds `name`, and return what it was; `None` when nobody held it."""
