"""How many extra calls there may be, whatever policy makes them."""

from __future__ import annotations

from undercroft.resilience._errors import PolicyError


class RetryBudget:
    """A bound on extra calls, so that retries and hedges cannot multiply the load on what is failing already.

    A bucket of tokens, as in Finagle's `RetryBudget` and gRPC's retry throttling (gRFC A6): each first call puts
    `ratio` of a token in, each extra call takes one out. So of any number of calls, the extra ones are at most
    `reserve + ratio * calls`. Time plays no part.

    Share one among all policies that call the same service. For one event loop; lives as long as you like, holds
    nothing that must be closed.

    Args:
        ratio: Extra calls per call in the long run; 0.1 is ten in a hundred. Source of the figure: Google's "Site
            Reliability Engineering", chapter 21, "Handling Overload".
        reserve: What the bucket holds at most, and at first: extra calls that need no earlier calls.

    Raises:
        PolicyError: An argument is out of range.
    """

    __slots__ = ("_ratio", "_reserve", "_tokens")

    def __init__(self, ratio: float = 0.1, *, reserve: float = 10) -> None:
        if not 0 <= ratio <= 1:
            raise PolicyError(f"ratio={ratio!r} is not a share from 0 to 1", hint="ten in a hundred: ratio=0.1")
        if not 0 <= reserve <= 1_000_000:
            raise PolicyError(f"reserve={reserve!r} is not a number of calls from 0 to 1000000")
        self._ratio = float(ratio)
        self._reserve = self._tokens = float(reserve)

    @property
    def balance(self) -> float:
        """How many extra calls there may be now."""
        return self._tokens

    def deposit(self) -> None:
        """Count a first call."""
        # One more than the reserve is kept: with reserve=0 nothing would ever come together otherwise.
        self._tokens = min(self._tokens + self._ratio, max(self._reserve, 1.0))

    def withdraw(self) -> bool:
        """Take an extra call; false when there is none left."""
        if self._tokens < 1 - 1e-9:  # ten times 0.1 is a little less than 1
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True
