"""BullMQ's Lua scripts, read from the installed `bullmq` package without importing it.

The import would cost 100 ms and drag in a client that nobody uses. Each script carries in its file name how many KEYS
it takes (`moveToActive-11.lua`), which is how a version that we were not written for is noticed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

from undercroft._core.errors import ConfigError, MissingExtraError
from undercroft.connections.redis import Script

WORKS_WITH = "3.4.4 and later of 3.x"
_INSTALL = 'pip install "undercroft[bullmq]"'
KEY_COUNTS = {
    "addDelayedJob": 6,
    "addLog": 2,
    "addParentJob": 6,
    "addPrioritizedJob": 9,
    "addStandardJob": 9,
    "changePriority": 7,
    "cleanJobsInSet": 3,
    "drain": 5,
    "extendLocks": 1,
    "moveJobFromActiveToWait": 9,
    "moveStalledJobsToWait": 9,
    "moveToActive": 11,
    "moveToDelayed": 11,
    "moveToFinished": 14,
    "obliterate": 2,
    "pause": 7,
    "promote": 9,
    "releaseLock": 1,
    "removeJob": 2,
    "reprocessJob": 9,
    "retryJob": 11,
    "updateJobScheduler": 12,
    "updateProgress": 3,
}
"""Of every script that we use: how many KEYS we give it."""

PUT_ASIDE = "putAside"
"""Makes a waiting job due later. A script of our own: BullMQ has none for this."""
_PUT_ASIDE = """-- KEYS: wait, prioritized, delayed, marker, events, job; ARGV: id, due in ms, field, its value, …
if redis.call('HGET', KEYS[6], ARGV[3]) ~= ARGV[4] then return 0 end
if redis.call('LREM', KEYS[1], -1, ARGV[1]) + redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[3], ARGV[2] * 0x1000, ARGV[1])
redis.call('HSET', KEYS[6], unpack(ARGV, 5))
redis.call('XADD', KEYS[5], '*', 'event', 'delayed', 'jobId', ARGV[1], 'delay', ARGV[2])
redis.call('ZADD', KEYS[4], redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] / 0x1000, '1')
return 1
"""

SAVE_ENTRY = "saveEntry"
"""Writes an entry of the ledger if it has the version that it is thought to have. Our own, as the ledger is."""
_SAVE_ENTRY = """-- KEYS: ledger; ARGV: key, version, and the entry, empty to delete it
local now = redis.call('HGET', KEYS[1], ARGV[1])
local version = now and string.match(now, '^%d+') or '0'
if version ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
"""
ADDING = ("addDelayedJob", "addPrioritizedJob", "addStandardJob")
"""BullMQ's scripts that add a job which has no children."""
CONFLICT = -1000
"""What the scripts of `Scripts.with_entry` return, and do nothing, when the entry has another version."""
_WITH_ENTRY = f"""-- One more of KEYS, the ledger; three more of ARGV: key, version, and the entry, empty to delete it
do
    local ledger, last = KEYS[#KEYS], #ARGV
    local now = redis.call('HGET', ledger, ARGV[last - 2])
    if (now and string.match(now, '^%d+') or '0') ~= ARGV[last - 1] then return {CONFLICT} end
    if ARGV[last] == '' then redis.call('HDEL', ledger, ARGV[last - 2])
    else redis.call('HSET', ledger, ARGV[last - 2], ARGV[last]) end
end
"""


class Scripts:
    """Every script that we use, by its name in BullMQ. Immutable."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        self._scripts = scripts
        self.with_entry = {scripts[name].sha.encode(): f"{SAVE_ENTRY}+{name}" for name in ADDING}
        """By the SHA of a script that adds a job: the name of the one that writes an entry of the ledger before."""
        self.by_sha = {script.sha.encode(): script for script in scripts.values()}
        """For healing a server that has forgotten one."""

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]


@cache
def load_scripts() -> Scripts:
    """Read the scripts; once in a process.

    Raises:
        MissingExtraError: The package is not installed.
        ConfigError: The installed version has other scripts than those that we were written for.
    """
    folder = _folder()
    found = {file.stem: file for file in folder.glob("*.lua")}
    wrong = sorted(name for name, count in KEY_COUNTS.items() if f"{name}-{count}" not in found)
    if wrong:
        raise ConfigError(
            f"the installed version {_version()} of the package 'bullmq' has no script {wrong[0]!r} with "
            f"{KEY_COUNTS[wrong[0]]} keys, so jobs cannot be kept on Redis with it",
            hint=f"versions that work: {WORKS_WITH}; {_INSTALL}",
        )
    scripts = {name: Script(found[f"{name}-{count}"].read_text(encoding="utf-8")) for name, count in KEY_COUNTS.items()}
    # What is put before BullMQ's text leaves the numbers of its KEYS and ARGV as they are.
    saving = {f"{SAVE_ENTRY}+{name}": Script(_WITH_ENTRY + scripts[name].text) for name in ADDING}
    return Scripts({**scripts, **saving, PUT_ASIDE: Script(_PUT_ASIDE), SAVE_ENTRY: Script(_SAVE_ENTRY)})


def _folder() -> Path:
    spec = importlib.util.find_spec("bullmq")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise MissingExtraError(
            "a queue on Redis needs the package 'bullmq', whose Lua scripts it runs, and which is not installed",
            hint=_INSTALL,
        )
    return Path(places[0]) / "commands"


def _version() -> str:
    try:
        return importlib.metadata.version("bullmq")
    except importlib.metadata.PackageNotFoundError:
        return "(unknown)"
