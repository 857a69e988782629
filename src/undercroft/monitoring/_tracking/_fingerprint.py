"""Which errors are the same error, and how alike two others are.

Two exceptions are the same error when they have the same type and were raised in the same functions of the application,
whatever they say, in whichever line, on whichever machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from undercroft.monitoring._tracking._frames import Frame, InApp, frames_of, leaves_of, telling_places, type_name

PLACES = 5
"""How many functions tell one error from another."""
_LENGTH = 32


def fingerprint_of(exc: BaseException, *, in_app: Sequence[str] = ()) -> str:
    """Return 32 hex digits that are the same for every occurrence of an error.

    Taken from its type and the innermost five functions of the application that it passed (of libraries, if it passed
    none of the application), as module and qualified name. No line numbers, no messages, no paths: it survives an edit
    elsewhere in the file, a deployment and another machine. An exception that was never raised has its type alone.
    A group (PEP 654) of one exception is that exception, as a task group wraps it; a group of several is told by those,
    in any order. Causes and contexts do not count.

    Args:
        in_app: The names of the application's packages. Without any: whatever is not installed as a library. Name
            them if the application itself is installed as a wheel, or it is taken for a library.
    """
    return fingerprint_in(exc, InApp(in_app))


def fingerprint_in(exc: BaseException, check: InApp) -> str:
    """Return the fingerprint of an exception or a group of them; see `fingerprint_of`."""
    leaves = leaves_of(exc)
    if len(leaves) == 1:
        return fingerprint_from(leaves[0], frames_of(leaves[0], check))
    parts = {fingerprint_from(leaf, frames_of(leaf, check)) for leaf in leaves}
    return _digest([type_name(exc), *sorted(parts)])


def fingerprint_from(exc: BaseException, frames: Iterable[Frame]) -> str:
    """Return the fingerprint of one exception whose frames are known already."""
    return _digest([type_name(exc), *telling_places(frames, limit=PLACES)])


def traits_of(exc: BaseException, in_app: InApp) -> frozenset[str]:
    """Return what `similarity` compares: types and places, those of a group's exceptions together."""
    return frozenset(
        trait
        for leaf in leaves_of(exc)
        for trait in (type_name(leaf), *telling_places(frames_of(leaf, in_app), limit=PLACES))
    )


def share(a: frozenset[str], b: frozenset[str]) -> float:
    """Return how much two sets have in common, from 0 to 1: twice what both have, of what they have together.

    The Sørensen-Dice coefficient (https://doi.org/10.2307/1932409): symmetric, 1 for equal sets only.
    """
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0


def _digest(parts: Sequence[str]) -> str:
    from hashlib import sha256

    return sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:_LENGTH]
