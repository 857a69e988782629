"""Which paths a rule is for.

A pattern stands for itself and for everything below it, by whole segments: `/api` is `/api` and `/api/orders`, never
`/apiary`. `*` as a segment is any one segment; a `$` at the end leaves out what is below.
"""

from __future__ import annotations

from collections.abc import Iterable

from undercroft.asgi._guard._errors import GuardConfigError


class Paths:
    """Patterns of paths. Immutable.

    Args:
        patterns: One or several.
        is_lenient: Whether `//api/` is `/api`: routers differ in that, so whoever limits takes both, and whoever lets
            through takes the exact one only.

    Raises:
        GuardConfigError: A pattern that does not begin with a slash, or has a star beside other letters.
    """

    __slots__ = ("_everything", "_is_lenient", "_patterns", "texts")

    def __init__(self, patterns: str | Iterable[str], *, is_lenient: bool) -> None:
        self.texts = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        self._is_lenient = is_lenient
        self._patterns = tuple(_read(text) for text in self.texts)
        self._everything = any(not segments and not is_exact for segments, is_exact in self._patterns)

    def match(self, path: str) -> bool:
        """Tell whether one of the patterns is for `path`, which is decoded and below the mount."""
        if self._everything:
            return True
        if not self._patterns:
            return False
        segments = path.split("/")[1:]
        if self._is_lenient:
            segments = [segment for segment in segments if segment]
        elif segments == [""]:
            segments = []
        return any(_fits(wanted, is_exact, segments) for wanted, is_exact in self._patterns)


def _read(text: str) -> tuple[tuple[str, ...], bool]:
    is_exact = text.endswith("$")
    plain = text.removesuffix("$")
    segments = tuple(segment for segment in plain.split("/") if segment)
    if not plain.startswith("/") or any("*" in segment and segment != "*" for segment in segments):
        raise GuardConfigError(
            f"path {text!r} is not a pattern",
            hint="/api for it and all below it, /api$ for it alone, /users/*/avatar for any one segment",
        )
    return segments, is_exact


def _fits(wanted: tuple[str, ...], is_exact: bool, segments: list[str]) -> bool:  # of this file only
    if len(segments) < len(wanted) or (is_exact and len(segments) != len(wanted)):
        return False
    return all(want in ("*", have) for want, have in zip(wanted, segments, strict=False))
