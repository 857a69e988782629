"""What the guards refuse, and what is wrong with how they are set up.

UndercroftError
├── GuardConfigError   (ConfigError)   misuse   an option of a guard is not valid
├── NotInRequestError  (LookupError)   misuse   a route's limit is asked for outside of a request that a guard sees
├── ClientDeniedError                  refused  the client is on the deny list (403)
├── ClientBlockedError                 refused  the client went over its ceiling, or is in the penalty box (429)
├── TooCostlyError                     refused  a request costs more than its limit could ever allow (413)
├── QuotaExceededError (RateLimitedError)  refused  a limit is reached whose rule answers with 402
└── OverloadedError                    unavailable  the process has more to do than it can (503)
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError
from undercroft.ratelimit import RateLimitedError


class GuardConfigError(ConfigError):
    """An option of a guard is not valid."""

    code = "UC5131"


class NotInRequestError(UndercroftError, LookupError):
    """A route's limit is asked for where there is no request, or none that passed a guard."""

    code = "UC5132"


class ClientDeniedError(UndercroftError):
    """The client is on the deny list. The answer does not say which entry it is."""

    code = "UC5133"
    kind = Kind.REFUSED
    http_status = 403


class ClientBlockedError(UndercroftError):
    """The client sent more than a client may, or is in the penalty box for it. `retry_after` says how long."""

    code = "UC5134"
    kind = Kind.REFUSED
    http_status = 429

    def __init__(self, message: str, *, policy: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)
        self.policy = policy


class OverloadedError(UndercroftError):
    """The process has more to do than it can, and refuses a share of the requests so that the others are served."""

    code = "UC5135"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(self, message: str, *, policy: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)
        self.policy = policy


class TooCostlyError(UndercroftError):
    """A request costs more than its limit could ever allow, so that no wait would let it through."""

    code = "UC5136"
    kind = Kind.REFUSED
    http_status = 413


class QuotaExceededError(RateLimitedError):
    """The limit is reached, and its rule says that more must be paid for (402). `decision` says which limit it is."""

    code = "UC5137"
    http_status = 402
