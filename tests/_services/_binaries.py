"""Where the machine keeps its servers' binaries."""

from __future__ import annotations

import os
import shutil

# Servers live in sbin, which is not on every user's PATH.
_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(*names: str, places: tuple[str, ...] = ()) -> str | None:
    """Return the path of the first of `names` that is installed, looked for on PATH, in sbin and in `places`."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES, *places])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def require(*names: str, places: tuple[str, ...] = ()) -> str:
    """Return what `find` finds; only called after `missing` said that it is there."""
    found = find(*names, places=places)
    if found is None:
        raise FileNotFoundError(names[0])
    return found


def is_root() -> bool:
    """Tell whether the tests run as root, whom some servers refuse."""
    return os.geteuid() == 0
