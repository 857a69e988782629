"""Locks that one holder has at a time: in a process, on a machine, or on many.

from undercroft.resilience import Lock, create_locks

async with create_locks("redis://cache:6379/0") as locks:
    async with locks.lock("report", ttl="30s") as lease:   # renewed; the block is cancelled when it is lost
        await write_report(fence=lease.token)              # only ever grows: have the other side compare it

async with Lock("report"): ...                             # on the bound infra.locks
"""

from undercroft.resilience._locks._errors import (
    LockDefinitionError,
    LockError,
    LockLostError,
    LockReentryError,
    LockTimeoutError,
    LockUnavailableError,
    NotOwnerError,
)
from undercroft.resilience._locks._lease import Lease
from undercroft.resilience._locks._lock import Lock, locked
from undercroft.resilience._locks._locks import LockInfo, Locks, create_locks
from undercroft.resilience._locks._protocol import Granted, Held, LockRecord, LockStore
from undercroft.resilience._locks._schemes import open_lock_store

__all__ = [
    "Granted",
    "Held",
    "Lease",
    "Lock",
    "LockDefinitionError",
    "LockError",
    "LockInfo",
    "LockLostError",
    "LockReentryError",
    "LockRecord",
    "LockStore",
    "LockTimeoutError",
    "LockUnavailableError",
    "Locks",
    "NotOwnerError",
    "create_locks",
    "locked",
    "open_lock_store",
]
