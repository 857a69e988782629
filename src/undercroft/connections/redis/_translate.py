"""What redis-py raises, in our words. Nothing of the driver leaves a block of `translated`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from undercroft.connections.redis._errors import (
    CrossSlotError,
    PoolExhaustedError,
    RedisAuthError,
    RedisBusyError,
    RedisCertificateError,
    RedisCommandError,
    RedisError,
    RedisNoPrimaryError,
    RedisOutOfMemoryError,
    RedisPermissionError,
    RedisReadOnlyError,
    RedisRefusedError,
    RedisTimeoutError,
    RedisTooManyClientsError,
    RedisUnavailableError,
)

_SOON_S = 1.0
"""When another try may help, where the server does not say."""
# Of answers that redis-py has no class for.
_UNAVAILABLE = ("CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF", "NOTREADY")
_BUSY = ("BUSY", "UNKILLABLE")


class translated(AbstractContextManager[None]):  # noqa: N801 - reads as the statement it is: with translated(place)
    """Turn what redis-py raises in the block into a `RedisError`; everything else passes.

    Args:
        place: The server in words, as `RedisConnection.place` has it; begins every message.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str = "Redis") -> None:
        self._place = place

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(exc, Exception) or isinstance(exc, RedisError):
            return
        error = _translation(exc, self._place)
        if error is not None:
            raise error from exc


def _translation(exc: Exception, place: str) -> RedisError | None:
    from redis.exceptions import RedisClusterException
    from redis.exceptions import RedisError as DriverError

    if not isinstance(exc, DriverError | RedisClusterException):
        return None
    for name, translate in _BY_NAME.items():
        if any(base.__name__ == name for base in type(exc).__mro__ if base.__module__.startswith(_DRIVERS)):
            return translate(exc, place)
    return RedisUnavailableError(f"{place} failed: {_words(exc)}")


def _says(kind: type[RedisError], text: str, **fields: Any) -> Callable[[Any, str], RedisError]:
    return lambda _, place: kind(text.replace("{place}", place), **fields)


_busy = _says(RedisBusyError, "{place} is loading its data, or busy with a script", retry_after=_SOON_S)
_auth = _says(  # the server's words are left out: some repeat what they were sent
    RedisAuthError,
    "{place} does not accept the user and password, or wants some",
    hint="check the user and password in the URL; special characters must be percent-encoded",
)
_no_primary = _says(
    RedisNoPrimaryError,
    "{place} has no primary now",
    retry_after=_SOON_S,
    hint="if this does not pass: are the Sentinels reachable, and is the name of the primary in the URL right?",
)
_read_only = _says(
    RedisReadOnlyError,
    "{place} is a replica now and takes no writes",
    retry_after=_SOON_S,
    hint="if this does not pass, name the primary in the URL",
)
_out_of_memory = _says(
    RedisOutOfMemoryError,
    "{place} is out of memory and takes no writes",
    hint="raise its maxmemory, give keys a TTL, or set a maxmemory-policy that evicts",
)
_cluster_down = _says(RedisNoPrimaryError, "{place} does not serve this slot now", retry_after=_SOON_S)
_cross_slot = _says(
    CrossSlotError,
    "{place}: the keys of one call lie in different hash slots",
    hint="write what the keys share in braces: {cart:7}:items and {cart:7}:total lie in one slot",
)
_conflict = _says(RedisRefusedError, "{place}: somebody else changed a watched key, so nothing was executed")


def _exhausted(exc: Any, place: str) -> RedisError:
    return PoolExhaustedError(
        f"no connection to {place} was free: {_words(exc, limit=600)}",
        holders=getattr(exc, "holders", ()),
        hint="raise ?pool_size=, or find who keeps one: a blocking command and a pipeline hold theirs until their end",
    )


def _permission(exc: Exception, place: str) -> RedisError:
    return RedisPermissionError(
        f"{place} does not permit it: {_words(exc)}", hint="see ACL SETUSER, or ask whoever may"
    )


def _late(exc: Any, place: str) -> RedisError:
    return _lost(RedisTimeoutError, f"{place} did not answer in time", exc)


def _cut(exc: Any, place: str) -> RedisError:
    words = _words(exc)
    if "max number of clients" in words:
        return RedisTooManyClientsError(
            f"{place} takes no more connections", retry_after=_SOON_S, hint="raise its maxclients, or lower ?pool_size="
        )
    if any(type(cause).__name__ == "SSLCertVerificationError" for cause in _causes(exc)):
        return RedisCertificateError(
            f"the certificate of {place} is not trusted, so nothing was sent",
            hint="give the server a certificate for its name; for a private authority: ?ca_file=/path/ca.pem",
        )
    if "is now a slave" in words:
        return _read_only(exc, place)
    if "connecting to" in words or "Connect call failed" in words:
        return RedisUnavailableError(f"{place} cannot be reached", hint="is it running, and are host and port right?")
    return _lost(RedisUnavailableError, f"the connection to {place} was cut", exc)


def _lost(kind: type[RedisUnavailableError], problem: str, exc: Any) -> RedisError:
    if not getattr(exc, "may_have_run", False):
        return kind(problem)
    return kind(
        f"{problem}; the command was sent and may have been executed, or not",
        may_have_run=True,
        hint="look at what is there before you do it again, or make it safe to repeat",
    )


def _cluster(exc: Exception, place: str) -> RedisError:
    if "same key slot" in str(exc) or "same slot" in str(exc):
        return _cross_slot(exc, place)
    for cause in _causes(exc):
        if cause is not exc and (error := _translation(cause, place)):
            return error
    if "not covered" in str(exc):
        return _cluster_down(exc, place)
    if "cannot be connected" in str(exc):
        return RedisUnavailableError(f"{place} cannot be reached", hint="is one of the named nodes running?")
    return RedisCommandError(f"{place}: {_words(exc)}")


def _answer(exc: Exception, place: str) -> RedisError:
    words = _words(exc)
    name = words.partition(" ")[0]
    if name in _BUSY:
        return _busy(exc, place)
    if name in _UNAVAILABLE:
        return RedisUnavailableError(f"{place} cannot do it now: {words}", retry_after=_SOON_S)
    if name == "OOM" or "OOM command not allowed" in words:
        return _out_of_memory(exc, place)
    return RedisCommandError(f"{place} does not take the command: {words}")


def _misuse(exc: Exception, place: str) -> RedisError:
    return RedisCommandError(f"{place}: {_words(exc)}", hint="keys and values are bytes, text, int or float")


# By the names of redis-py's classes, subclasses before what they derive from.
_BY_NAME: dict[str, Callable[[Any, str], RedisError]] = {
    "MaxConnectionsError": _exhausted,
    "BusyLoadingError": _busy,
    "AuthenticationError": _auth,
    "AuthorizationError": _auth,
    "MasterNotFoundError": _no_primary,
    "TimeoutError": _late,
    "ConnectionError": _cut,
    "NoPermissionError": _permission,
    "ReadOnlyError": _read_only,
    "OutOfMemoryError": _out_of_memory,
    "ClusterCrossSlotError": _cross_slot,
    "CrossSlotTransactionError": _cross_slot,
    "ClusterDownError": _cluster_down,
    "SlotNotCoveredError": _cluster_down,
    "ClusterError": _cluster_down,
    "TryAgainError": _cluster_down,
    "RedisClusterException": _cluster,
    "WatchError": _conflict,
    "ResponseError": _answer,
    "DataError": _misuse,
    "PubSubError": _misuse,
}
_DRIVERS = ("redis.", "undercroft.connections.redis.")


def _causes(exc: BaseException) -> Iterator[Any]:
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _words(exc: Exception, limit: int = 200) -> str:
    """Return the driver's words fit for a message: one line, printable, without the command and its arguments."""
    text = re.sub(r"^Command # \d+ \(.*\) of pipeline caused error: ", "", str(exc), flags=re.DOTALL)
    text = re.sub(r"[^\x20-\x7e]+", " ", text.partition(", with args beginning with")[0]).strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
