"""A value that does not show itself."""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar

from undercroft._core.url import HIDDEN
from undercroft.logging._redact._errors import SecretError

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A secret, usually a text: shown as `Secret(***)` everywhere, and given only by `reveal()`.

    `Secret("…")` may be kept in settings, dataclasses, models and log fields: `repr`, `str`, `format`, f-strings,
    tracebacks and log lines do not have it. JSON encoders refuse it, and pickle does. It is a value: immutable,
    hashable, true if what it holds is true, and equal to another `Secret` that holds the same; texts and bytes are
    compared in constant time. It is never equal to the bare value. It does not clear memory, and a debugger sees it.
    """

    __slots__ = ("_hidden",)
    __undercroft_secret__: ClassVar[bool] = True  # what log lines look for

    _hidden: T_co

    def __init__(self, value: T_co) -> None:
        if isinstance(value, Secret):
            raise SecretError("a Secret was given to Secret", hint="pass it on as it is, or reveal() it first")
        object.__setattr__(self, "_hidden", value)

    def reveal(self) -> T_co:
        """Return the secret itself. Every call is a place where it can leak, and can be searched for."""
        return self._hidden

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        ours, theirs = _as_bytes(self._hidden), _as_bytes(other._hidden)
        if ours is None or theirs is None or type(self._hidden) is not type(other._hidden):
            return bool(self._hidden == other._hidden)
        return hmac.compare_digest(ours, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._hidden))

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Secret is immutable; {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Secret is immutable; {name!r} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretError(
            "a Secret cannot be pickled: it would be readable", hint="pickle what reveal() gives, if you must"
        )


def decode_secret(kind: Any, value: object) -> object:
    """Make a `Secret` of decoded data; for `msgspec`'s `dec_hook`, which calls it for fields of type `Secret[str]`.

    Raises:
        SecretError: The field is not a `Secret`, or the data is not a text. (msgspec adds the place.)
    """
    if getattr(kind, "__origin__", kind) is not Secret:
        raise SecretError(f"{kind!r} is not a Secret", hint="handle your own types before you call decode_secret")
    wanted = getattr(kind, "__args__", (str,))[0]
    if not isinstance(wanted, type) or not isinstance(value, wanted):
        raise SecretError(f"a {type(value).__name__} was found where a {getattr(wanted, '__name__', wanted)} is needed")
    return Secret(value)


def _as_bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bytes(value) if isinstance(value, bytes | bytearray) else None
