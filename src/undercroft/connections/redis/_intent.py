"""What a command is for: whether it may be sent twice, and how long the server may rightly keep silent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Intent:
    """What is known of the command, or the pipeline, that a connection carries."""

    is_read: bool = False
    """It changes nothing, so that sending it twice does no harm."""
    waits_s: float = 0.0
    """How long it asks the server to block; infinity for ever."""
    is_single: bool = True
    """One command and not a pipeline."""
    is_listening: bool = False
    """From now on the server sends by itself; a gap in that must be told, and not be mended in silence."""

    def timeout_s(self, base_s: float) -> float | None:
        """Return how long to wait for its answer, where any other is waited for `base_s`; `None` for ever."""
        return None if math.isinf(self.waits_s) else base_s + self.waits_s


READ = Intent(is_read=True)
WRITE = Intent()
LISTEN = Intent(is_listening=True)
# Not DUMP, OBJECT FREQ and the like: rare, and what is missing here is only never sent again.
_READS = """
BITCOUNT BITFIELD_RO BITPOS DBSIZE ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS
GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN
HSTRLEN HVALS INFO KEYS LCS LINDEX LLEN LPOS LRANGE MGET PEXPIRETIME PFCOUNT PING PTTL RANDOMKEY SCAN SCARD SDIFF SINTER
SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TIME TTL TYPE XLEN XPENDING
XRANGE XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE
ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION
"""


def intent_of(args: Sequence[Any]) -> Intent:
    """Return the intent of one command, given as redis-py sends it: its name, then its arguments."""
    intent = _INTENTS.get(args[0])
    if intent is not None:
        return intent
    name = _text(args[0])
    wait_of = _WAITS.get(name)
    if wait_of is None:
        return _INTENTS.get(name, WRITE)
    return Intent(waits_s=_seconds(wait_of, args))


def intent_of_all(commands: Iterable[Sequence[Any]]) -> Intent:
    """Return the intent of a pipeline: it is never sent twice, and its waits add up."""
    return Intent(waits_s=sum(intent_of(args).waits_s for args in commands), is_single=False)


def _seconds(wait_of: Callable[[Sequence[Any]], float], args: Sequence[Any]) -> float:
    try:
        seconds = wait_of(args)
    except (ValueError, IndexError, TypeError):
        return 0.0  # the server is going to say what is wrong
    if math.isnan(seconds) or seconds < 0:
        return 0.0
    return seconds or math.inf


def _last(args: Sequence[Any]) -> float:
    return float(args[-1])


def _first(args: Sequence[Any]) -> float:
    return float(args[1])


def _last_ms(args: Sequence[Any]) -> float:
    return float(args[-1]) / 1000


def _block_option_ms(args: Sequence[Any]) -> float:
    place = 1
    while (option := _text(args[place])) != "BLOCK":
        if option == "STREAMS":
            return -1.0
        place += _OPTION_WORDS.get(option, 1)
    return float(args[place + 1]) / 1000


def _text(word: Any) -> str:
    return (word.decode("latin-1") if isinstance(word, bytes) else str(word)).upper()


_OPTION_WORDS = {"GROUP": 3, "COUNT": 2}  # of XREADGROUP, with its own name
_INTENTS: dict[Any, Intent] = dict.fromkeys(_READS.split(), READ)
_INTENTS.update(dict.fromkeys(("SET", "SETEX", "DEL", "INCR", "EVALSHA", "EXPIRE", "HSET", "PUBLISH"), WRITE))
_INTENTS.update(dict.fromkeys(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"), LISTEN))
_WAITS: dict[str, Callable[[Sequence[Any]], float]] = {
    **dict.fromkeys(("BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX", "BRPOPLPUSH", "BLMOVE"), _last),
    **dict.fromkeys(("BLMPOP", "BZMPOP"), _first),
    **dict.fromkeys(("WAIT", "WAITAOF"), _last_ms),
    **dict.fromkeys(("XREAD", "XREADGROUP"), _block_option_ms),
}
