"""The cache on Redis: one server, a primary behind Sentinels, or a cluster; for any number of machines.

    undercroft:cache:{<space>:<key>}            an entry, a plain string; `GET` reads it
    undercroft:cache:{<space>:<key>}:lease      the token of whoever computes it
    undercroft:cachetag:{<space>:<tag>}         the version of a tag
    undercroft:cache:changes                    the channel on which every change is told

What is in braces is what a cluster chooses the slot by, so that an entry and its lease lie together, and different
entries apart. Every change is one script that also tells of it, so that no change is ever stored and not told. Nothing
is sent a second time when its answer was lost.

    _cache.py         the backend
    _keys.py          names of keys, and what a name says
    _scripts.py       every change, as Lua
    _commands.py      many scripts and reads in one round trip, on a cluster too; walking over keys
    _server_time.py   the server's clock, as well as it is known here
    _changes.py       a listener to the channel

URLs are those of `undercroft.connections.redis`.
"""

from undercroft.cache.redis._cache import RedisCache

__all__ = ["RedisCache"]
