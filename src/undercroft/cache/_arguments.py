"""Keys out of a function's arguments."""

from __future__ import annotations

import hashlib
import inspect
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from undercroft._core.errors import near_names
from undercroft._core.models import dump_model, is_model
from undercroft.cache._errors import CachedFunctionError, CacheKeyError

_LONGEST = 250
"""What is longer is hashed: keys are read by people, and kept by the store once for each value."""


class Arguments:
    """A function's parameters. Immutable; made once, where the function is decorated.

    Args:
        ignore: Names of parameters that make no difference to the result.
    """

    def __init__(self, function: Callable[..., Any], *, what: str, ignore: Iterable[str] = ()) -> None:
        self.what = what
        self._signature = inspect.signature(function)
        self._ignored = frozenset((ignore,) if isinstance(ignore, str) else ignore)
        for name in self._ignored:
            self.require_parameter(name, f"ignore={name!r}")

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by parameter, defaults included.

        Raises:
            TypeError: They do not fit the parameters, as when the function is called.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, arguments: Mapping[str, Any]) -> str:
        """Return the function's name and the arguments as JSON, without those that are ignored: the same however the
        call was written.

        Raises:
            CacheKeyError: An argument has no JSON form.
        """
        counting = {name: value for name, value in arguments.items() if name not in self._ignored}
        for name, value in counting.items():
            try:
                _to_json(value)
            except (TypeError, ValueError, NotImplementedError, RecursionError, msgspec.MsgspecError) as exc:
                raise CacheKeyError(
                    f"{self.what}: argument {name!r}, a {type(value).__name__}, cannot be part of a key: {exc}",
                    hint=f'say what the key is, key="…:{{{name}.id}}", or leave it out: ignore=({name!r},)',
                ) from None
        return short(f"{self.what}:{_to_json(list(counting.values())).decode()}")

    def require_parameter(self, name: str, where: str) -> None:
        """Raise unless the function has this parameter.

        Raises:
            CachedFunctionError: It has not.
        """
        if name not in self._signature.parameters:
            raise CachedFunctionError(
                f"{self.what}: {where} names a parameter that the function does not have",
                near=near_names(name, self._signature.parameters),
                hint=f"its parameters are: {', '.join(self._signature.parameters) or 'none'}",
            )


class Template:
    """Text with parameters in braces, as `str.format` reads it: `"user:{user_id}"`.

    With more than one of them, `:` and `%` in the arguments are written as `%3A` and `%25`, so that no two calls have
    the same key.
    """

    def __init__(self, text: str, arguments: Arguments) -> None:
        self._text = text
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        except ValueError as exc:
            raise CachedFunctionError(
                f"{arguments.what}: {text!r} cannot be read: {exc}", hint='write "user:{user_id}"'
            ) from None
        for name in fields:
            arguments.require_parameter(name.partition(".")[0].partition("[")[0], f"{text!r}")
        self._formatter = _Quoting() if len(fields) > 1 else string.Formatter()

    def __call__(self, arguments: Mapping[str, Any]) -> str:
        return self._formatter.vformat(self._text, (), arguments)


class _Quoting(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text: str = super().format_field(value, format_spec)
        return text.replace("%", "%25").replace(":", "%3A")


def short(key: str) -> str:
    """Return `key`, or its beginning and a hash of it when it is long."""
    if len(key) <= _LONGEST:
        return key
    return f"{key[: _LONGEST - 66]}…{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _to_json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain, order="deterministic")


def _plain(value: Any) -> object:
    if is_model(type(value)):
        return dump_model(value, for_storage=True)
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError("it has no JSON form")
