"""Names of keys in Redis, and what a name says. A space has no colon and no brace, so no two keys have one name."""

from __future__ import annotations

import re

import msgspec

CHANGES = "undercroft:cache:changes"
_LEASE = ":lease"
_GLOB = re.compile(r"([*?\[\]\\^-])")
_encode_json = msgspec.json.Encoder().encode


def entry(space: str, key: str) -> str:
    """Return where an entry lies."""
    return f"undercroft:cache:{{{space}:{key}}}"


def lease(space: str, key: str) -> str:
    """Return where the lease of an entry lies, in the same slot of a cluster."""
    return f"undercroft:cache:{{{space}:{key}}}{_LEASE}"


def tag(space: str, name: str) -> str:
    """Return where the version of a tag lies."""
    return f"undercroft:cachetag:{{{space}:{name}}}"


def pattern(space: str, prefix: str) -> str:
    """Return the glob that all entries and leases match whose keys begin with `prefix`, and nothing else."""
    return _GLOB.sub(r"\\\1", f"undercroft:cache:{{{space}:{prefix}") + "*"


def is_entry(name: bytes) -> bool:
    """Tell an entry from a lease."""
    return name.endswith(b"}")


def key_of(name: bytes, space: str) -> str | None:
    """Return the key of an entry or a lease of this space; `None` for what is neither."""
    start = f"undercroft:cache:{{{space}:".encode()
    inner = name.removesuffix(_LEASE.encode())
    if not name.startswith(start) or not inner.endswith(b"}"):
        return None
    try:
        return inner[len(start) : -1].decode()
    except UnicodeDecodeError:
        return None  # somebody else's


def message(space: str, keys: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> bytes:
    """Return what is told of a change: `[space, keys, tags]`, JSON."""
    return _encode_json((space, keys, tags))
