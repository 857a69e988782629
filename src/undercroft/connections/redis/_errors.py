"""What goes wrong with Redis.

RedisError                                          UC4100
├── RedisUrlError           (UrlError)              UC4101  misuse       the URL names no server, or a wrong one
├── RedisCommandError                               UC4102  misuse       the server does not take this command so
│   └── CrossSlotError                              UC4103  misuse       keys of one call lie in several hash slots
├── RedisUnavailableError   (ConnectionError)       UC4110  unavailable  no connection, or it was cut
│   ├── RedisTimeoutError   (TimeoutError)          UC4111  unavailable  no answer in time
│   ├── RedisBusyError                              UC4112  unavailable  loading its data, or busy with a script
│   ├── RedisReadOnlyError                          UC4113  unavailable  a replica: a failover is going on
│   ├── RedisTooManyClientsError                    UC4114  unavailable  the server takes no more connections
│   ├── RedisNoPrimaryError                         UC4115  unavailable  Sentinel or Cluster has none for this
│   └── PoolExhaustedError                          UC4116  unavailable  all of our own connections were in use
└── RedisRefusedError                               UC4120  refused      the server said no
    ├── RedisAuthError                              UC4121  refused      … to our user or password
    ├── RedisPermissionError                        UC4122  refused      … to this command or key, by its ACL
    ├── RedisOutOfMemoryError                       UC4123  refused      … to writes, its memory is full
    └── RedisCertificateError                       UC4124  refused      we said no: its certificate is not trusted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from undercroft._core.errors import Kind, UndercroftError
from undercroft._core.url import UrlError


class RedisError(UndercroftError):
    """Base of every error of this module."""

    code = "UC4100"


class RedisUrlError(RedisError, UrlError):
    """A Redis URL names no server, or has a part that its scheme does not know."""

    code = "UC4101"


class RedisCommandError(RedisError):
    """The server does not take a command as it was given: a wrong type of key, wrong arguments, a broken script."""

    code = "UC4102"


class CrossSlotError(RedisCommandError):
    """The keys of one call lie in several hash slots of a cluster; `keys` are those of different slots."""

    code = "UC4103"

    def __init__(self, message: str, *, keys: Sequence[str] = (), hint: str | None = None) -> None:
        self.keys = tuple(keys)
        super().__init__(message, hint=hint)


class RedisUnavailableError(RedisError, ConnectionError):
    """There is no connection to Redis, or it was cut.

    `may_have_run` is True when a command that changes something was sent and its answer was lost: it may have been
    executed, or not. When it is False, nothing was executed, or only reads.
    """

    code = "UC4110"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(
        self, message: str, *, may_have_run: bool = False, retry_after: float | None = None, hint: str | None = None
    ) -> None:
        self.may_have_run = may_have_run
        super().__init__(message, hint=hint, retry_after=retry_after)


class RedisTimeoutError(RedisUnavailableError, TimeoutError):
    """Redis did not answer in time; see `may_have_run`."""

    code = "UC4111"


class RedisBusyError(RedisUnavailableError):
    """Redis is loading its data, or busy with a script; nothing was executed."""

    code = "UC4112"


class RedisReadOnlyError(RedisUnavailableError):
    """A write met a replica, as during a failover; nothing was executed, and the next call connects anew."""

    code = "UC4113"


class RedisTooManyClientsError(RedisUnavailableError):
    """The server takes no more connections (`maxclients`)."""

    code = "UC4114"


class RedisNoPrimaryError(RedisUnavailableError):
    """Sentinel knows no primary, or the cluster has none for a slot: a failover is going on, or it failed."""

    code = "UC4115"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who uses a connection, and since when."""

    task: str
    """The name of the asyncio task."""
    held_s: float


class PoolExhaustedError(RedisUnavailableError):
    """All connections of the pool stayed in use for `pool_timeout_s`; `holders` has who uses them, longest first."""

    code = "UC4116"

    def __init__(self, message: str, *, holders: Sequence[Holder] = (), hint: str | None = None) -> None:
        self.holders = tuple(holders)
        super().__init__(message, hint=hint)


class RedisRefusedError(RedisError):
    """The server understood the command and denied it; a retry gives the same answer."""

    code = "UC4120"
    kind = Kind.REFUSED
    http_status = 502


class RedisAuthError(RedisRefusedError):
    """The server does not accept our user and password, or wants some."""

    code = "UC4121"


class RedisPermissionError(RedisRefusedError):
    """The server's ACL does not allow our user this command, key or channel."""

    code = "UC4122"


class RedisOutOfMemoryError(RedisRefusedError):
    """The server's memory is full (`maxmemory`), so it takes no writes; reads still work."""

    code = "UC4123"
    http_status = 503


class RedisCertificateError(RedisRefusedError):
    """The server's certificate is not trusted, or not for its name; nothing was sent."""

    code = "UC4124"
