"""What can go wrong with a cache. Reads do not fail because of the store: what it does not tell is a miss.

UndercroftError
├── MissingTTLError       (TypeError)         misuse       a value is stored, and nobody said for how long
├── CacheOptionError      (ConfigError)       misuse       a duration, namespace or other option is not valid
├── CacheKeyError         (ValueError)        misuse       a key or tag is not valid, or arguments make no key
├── CacheValueError       (InvalidDataError)  refused      a value would not come back as it went in
├── CacheMissError        (LookupError)       refused      `require()` of what is not there
├── CachedFunctionError   (ConfigError)       misuse       `@cached` on what it cannot be used on
├── ComputeCycleError     (RuntimeError)      misuse       a value waits for itself to be computed
├── ComputeCancelledError (RuntimeError)      unavailable  a computation was cancelled, and not by who waits for it
└── CacheUnavailableError                     unavailable  the store did not answer, or did not take what it was given
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError


class MissingTTLError(UndercroftError, TypeError):
    """A value is to be stored, and neither the call nor the cache says for how long. Nothing was stored."""

    code = "UC5001"

    def __init__(self, call: str) -> None:
        super().__init__(
            f"{call} needs a ttl: what is cached without an end is wrong one day",
            hint='give ttl="5m" (or ttl_ms=300_000), or make the cache with default_ttl="5m"; ttl=NO_EXPIRY keeps it '
            "until somebody deletes it",
        )


class CacheUnavailableError(UndercroftError):
    """The cache's store did not answer, or did not take what it was given. What was to be written or deleted may or may
    not be; both may be tried again. Raised by writes, `delete`, `clear` and `invalidate_tags`, never by reads."""

    code = "UC5002"
    kind = Kind.UNAVAILABLE
    http_status = 503


class CacheKeyError(UndercroftError, ValueError):
    """A key or a tag is not valid, or none can be made of a function's arguments."""

    code = "UC5003"


class CacheValueError(InvalidDataError):
    """A value has no JSON form, or would come back as something else. Nothing was stored."""

    code = "UC5004"


class CacheMissError(UndercroftError, LookupError):
    """`require()` found nothing under `key`."""

    code = "UC5005"
    kind = Kind.REFUSED
    http_status = 404

    def __init__(self, message: str, *, key: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.key = key


class CacheOptionError(ConfigError):
    """A duration, a namespace or another option of a cache is not valid."""

    code = "UC5006"


class CachedFunctionError(ConfigError):
    """`@cached` cannot be used on this function, or with these options."""

    code = "UC5007"


class ComputeCycleError(UndercroftError, RuntimeError):
    """Computing a value asks the cache for the same value, itself or by way of others, and would wait for ever."""

    code = "UC5008"


class ComputeCancelledError(UndercroftError, RuntimeError):
    """The computation that this call waited for was cancelled, and not by this call: the cache was closed, or the
    function raised `CancelledError` by itself."""

    code = "UC5009"
    kind = Kind.UNAVAILABLE
    http_status = 503
