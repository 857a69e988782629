"""The scripts, made of the `.lua` files beside this one."""

from __future__ import annotations

from functools import cache
from importlib import resources

from undercroft.connections.redis import Script

_FILE_OF = {"bucket": "bucket", "window": "window", "calendar": "window", "counter": "counter", "log": "log"}
_TAKES = {"bucket": 3, "window": 2, "calendar": 5, "counter": 3, "log": 2, "slots": 2}
"""How many numbers each kind of rule has."""


@cache
def deciding(kinds: tuple[str, ...]) -> Script:
    """Return the script that decides over rules of these kinds, in this order: it has their functions and no others."""
    files = dict.fromkeys(_FILE_OF.get(kind, kind) for kind in kinds)
    tables = (
        f"local rules = {{{', '.join(kinds)}}}\nlocal takes = {{{', '.join(str(_TAKES[kind]) for kind in kinds)}}}\n"
    )
    return Script("".join([_text("prelude"), *map(_text, files), tables, _text("decide")]))


@cache
def script(name: str) -> Script:
    """Return the script of one file."""
    return Script(_text("prelude") + _text(name))


@cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
