"""What policies raise. The errors of locks and sagas are drawn with those.

UndercroftError
├── PolicyError            (ConfigError)   UC5201  misuse       a policy is not valid, or not used as it can be
├── CallTimeoutError       (TimeoutError)  UC5202  unavailable  a call took longer than its policy allows
├── CircuitOpenError                       UC5203  unavailable  the breaker lets no call through now
├── BulkheadFullError                      UC5204  refused      as many calls run and wait as are allowed
├── BreakerNotFoundError   (LookupError)   UC5205  refused      no breaker of this name is known
├── BreakersUnavailableError               UC5206  unavailable  the store of shared breakers did not answer
└── InjectedFaultError     (ConnectionError)  UC5207  unavailable  `Chaos` was told to raise it

What the called function raises passes through every policy as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from undercroft._core.durations import format_seconds
from undercroft._core.errors import ConfigError, Kind, UndercroftError


class PolicyError(ConfigError):
    """A policy's arguments are not valid, or it is used in a way that it is not for."""

    code = "UC5201"


class CallTimeoutError(UndercroftError, TimeoutError):
    """A call took longer than its policy allows, and was cancelled. `timeout_s` is what it had."""

    code = "UC5202"
    kind = Kind.UNAVAILABLE
    http_status = 504

    def __init__(self, message: str, *, timeout_s: float) -> None:
        super().__init__(message)
        self.timeout_s = timeout_s


class CircuitOpenError(UndercroftError):
    """The breaker lets no call through now; the function was not called.

    `breaker` is its name. `retry_after` is what is left until it probes, `None` for one that is forced open without an
    end, or whose probes are under way.
    """

    code = "UC5203"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(self, message: str, *, breaker: str, retry_after: float | None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.breaker = breaker


class BulkheadFullError(UndercroftError):
    """As many calls run and wait as the bulkhead allows; the function was not called.

    Refused, not unavailable: it is this process that has too much to do, so a breaker does not count it and `Retry`
    does not add to it. `bulkhead` is its name.
    """

    code = "UC5204"
    kind = Kind.REFUSED
    http_status = 503

    def __init__(self, message: str, *, bulkhead: str) -> None:
        super().__init__(message)
        self.bulkhead = bulkhead


class BreakerNotFoundError(UndercroftError, LookupError):
    """No breaker of this name is known, neither here nor in the store. `breaker` is the name."""

    code = "UC5205"
    kind = Kind.REFUSED
    http_status = 404

    def __init__(self, message: str, *, breaker: str, near: Sequence[str]) -> None:
        super().__init__(
            message, near=near, hint="a breaker is known once it was called, or forced, in any process of this store"
        )
        self.breaker = breaker


class BreakersUnavailableError(UndercroftError):
    """The store of shared breakers did not answer. A change that was asked for may have been made, or not.

    Calls over a breaker never raise it: they go on with what this process knows. Commands do (`force_open`, `list`).
    """

    code = "UC5206"
    kind = Kind.UNAVAILABLE
    http_status = 503


class InjectedFaultError(UndercroftError, ConnectionError):
    """What `Chaos` raises unless it is told otherwise; other policies take it for a service that is away."""

    code = "UC5207"
    kind = Kind.UNAVAILABLE
    http_status = 503


def seconds_text(seconds: float) -> str:
    """Write seconds for a message."""
    return format_seconds(round(seconds, 3))
