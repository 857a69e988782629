"""What can go wrong with rate limits.

UndercroftError
├── RateLimitDefinitionError   (ConfigError)   UC5101  misuse       a limit, a policy or a key is not valid
│   └── CostTooLargeError                      UC5102  misuse       a call costs more than the limit could ever allow
├── UnknownPolicyError         (LookupError)   UC5103  misuse       no policy or tier of this name here
├── RateLimitUnavailableError                  UC5110  unavailable  the store did not answer
└── RateLimitedError                           UC5120  refused      the limit is reached; see `decision`
    └── SlotTimeoutError       (TimeoutError)  UC5121  refused      no slot became free while it was waited for
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from undercroft._core.durations import format_seconds
from undercroft._core.errors import ConfigError, Kind, UndercroftError

if TYPE_CHECKING:
    from undercroft.ratelimit._values import Decision


class RateLimitDefinitionError(ConfigError):
    """A limit, a policy, a cost or a key is not valid."""

    code = "UC5101"


class CostTooLargeError(RateLimitDefinitionError):
    """A call costs more than the limit holds, so that no wait would ever let it through. Nothing was consumed."""

    code = "UC5102"


class UnknownPolicyError(UndercroftError, LookupError):
    """No policy, or no tier of the policy, has this name here. `name` is the name."""

    code = "UC5103"

    def __init__(self, message: str, *, name: str, near: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message, near=near, hint=hint)
        self.name = name


class RateLimitUnavailableError(UndercroftError):
    """The store of the limits did not answer. Of a check: whether the call was counted is not known."""

    code = "UC5110"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(
        self,
        message: str,
        *,
        decision: Decision | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.decision = decision


class RateLimitedError(UndercroftError):
    """The limit is reached. `decision` says which, and `retry_after` in how many seconds the same call may go through.

    The key is not part of the message: it may be an address or a person's name.
    """

    code = "UC5120"
    kind = Kind.REFUSED
    http_status = 429

    def __init__(self, decision: Decision) -> None:
        super().__init__(
            f"the limit {decision.policy!r} of {decision.limit} per {format_seconds(decision.window)} is reached",
            hint=f"wait {format_seconds(decision.retry_after)} before the same call",
            retry_after=decision.retry_after,
        )
        self.decision = decision


class SlotTimeoutError(RateLimitedError, TimeoutError):
    """No slot became free while it was waited for."""

    code = "UC5121"
