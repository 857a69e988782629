"""The cache in one SQLite file: for one machine and any number of its processes.

What changes something is a `BEGIN IMMEDIATE` transaction on the process's one writer thread, shared by whoever writes
at that moment (`_core.sqlite`). Small values are read in the event loop's own thread, on a second connection that only
reads (`_reader`): a reader of a WAL file waits for nobody, and a hop to a thread would cost several times the read.

The file holds the cache and nothing else, and everything in it may be lost. It is kept below `max_bytes`: what has
expired goes first, then what was written longest ago. Instants are those of the machine's clock.

    _cache.py       the backend
    _reader.py      point reads without a thread
    _writes.py      what a write does to the tables
    _ranges.py      the keys that begin with a prefix
    _options.py     options of the URL
    schema_1.sql    the schema, in the order of its versions

URL: `sqlite:///var/cache.db?max_bytes=268435456&synchronous=normal|full&busy_timeout_s=5&poll_s=0.05`
"""

from undercroft.cache.sqlite._cache import SqliteCache
from undercroft.cache.sqlite._options import SqliteCacheOptions

__all__ = ["SqliteCache", "SqliteCacheOptions"]
