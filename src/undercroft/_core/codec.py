"""Typed data in and out of JSON.

A `Schema` checks and converts one type. It takes what users already have: dataclasses, `msgspec.Struct`, `TypedDict`,
`NamedTuple`, the standard types (`datetime`, `UUID`, `Decimal`, enums, …), and, by duck typing, pydantic models
(`model_validate_json` and `model_dump`), also when they are nested inside one of the others. A pydantic model converts
by its own rules, lax unless it is configured as strict. No pickle, ever.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec

from undercroft._core.errors import ConfigError, InvalidDataError, near_names
from undercroft._core.models import dump_model, is_model, load_model, model_problems

T = TypeVar("T")
# What msgspec, pydantic and the hooks raise for a value that does not fit, or is nested too deeply.
_MISFITS = (msgspec.MsgspecError, TypeError, ValueError, NotImplementedError, RecursionError)


class SchemaError(ConfigError):
    """A type or a function's parameters cannot be used as a schema."""

    code = "UC0103"


def to_json(value: object) -> bytes:
    """Return any value that has a JSON form as UTF-8 JSON.

    Raises:
        TypeError: It has none.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_to_builtins)
    except (NotImplementedError, ValueError, RecursionError) as exc:
        raise TypeError(str(exc)) from exc


class Schema(Generic[T]):
    """One type, and how to check, store and read its values. Immutable; make once, use from any thread.

    `parse` is what a value becomes; `encode(parse(x))` is what is stored; `decode` of that gives the value back.

    Raises:
        SchemaError: The type, or one inside it, has no JSON form that can be read back.
    """

    def __init__(self, type_: type[T], *, what: str | None = None) -> None:
        self.type = type_
        self.what = what or getattr(type_, "__name__", str(type_))
        try:
            self._decoder = msgspec.json.Decoder(type_, dec_hook=load_model)
            info = msgspec.inspect.type_info(type_)
            self._has_dataclass = any(isinstance(part, msgspec.inspect.DataclassType) for part in _parts(info, set()))
            strangers = [t for t in _custom_types(info) if not is_model(t)]
        except (TypeError, NameError) as exc:
            raise SchemaError(f"{self.what} cannot be a schema: {exc}") from exc
        if strangers:
            raise SchemaError(
                f"{self.what} cannot be a schema: values of type {strangers[0].__name__} cannot be read from JSON",
                hint="use a dataclass, msgspec.Struct, TypedDict, NamedTuple or pydantic model, or a standard type",
            )

    def parse(self, value: object) -> T:
        """Check `value` and return it as the schema's type.

        A mapping, or an instance of the type; an instance is checked too, field by field. Lenient only where JSON
        cannot say it better (text for a datetime or UUID, an int for a float); `"5"` for an int is refused. Goes
        through JSON, so that what is checked is what will be stored: NaN is null, a tuple without a type a list.

        Raises:
            InvalidDataError: With the place (`$.user_id`), what was expected and what came.
        """
        try:
            parsed = self._decoder.decode(msgspec.json.encode(value, enc_hook=_to_stored))
            return _with_defaults(parsed) if self._has_dataclass else parsed
        except _MISFITS as exc:
            raise self._error(exc, value) from _cause(exc)

    def encode(self, value: T) -> bytes:
        """Return `value` as UTF-8 JSON.

        Raises:
            InvalidDataError: It holds something that has no JSON form, or a pydantic secret, which would be masked.
        """
        try:
            return msgspec.json.encode(value, enc_hook=_to_stored)
        except _MISFITS as exc:
            raise self._error(exc, value) from _cause(exc)

    def decode(self, data: bytes | str) -> T:
        """Read and check JSON that `encode` wrote, perhaps in an earlier version of the type.

        Raises:
            InvalidDataError: Not JSON, or not of this type.
        """
        try:
            return self._decoder.decode(data)
        except _MISFITS as exc:
            raise self._error(exc, None) from _cause(exc)

    def _error(self, exc: Exception, value: object) -> InvalidDataError:
        problem = _problem(exc)
        known = [field.encode_name for field in self._fields()]
        unknown = [str(key) for key in value if key not in known] if isinstance(value, Mapping) and known else []
        if "unknown field" in problem and unknown:
            return InvalidDataError(
                f"{self.what}: unknown {unknown[0]!r}",
                near=near_names(unknown[0], known),
                hint=f"known: {', '.join(known)}",
            )
        return InvalidDataError(f"{self.what}: {problem}")

    def _fields(self) -> tuple[msgspec.structs.FieldInfo, ...]:
        type_: Any = self.type
        is_struct = isinstance(type_, type) and issubclass(type_, msgspec.Struct)
        return msgspec.structs.fields(type_) if is_struct else ()


class Parameters:
    """The parameters of a function as a schema: one JSON object with a key for each. Immutable.

    Annotations are the types; a parameter without one takes anything JSON has. Unknown keys are refused.

    Raises:
        SchemaError: A parameter is positional-only or variadic, its type cannot be a schema, or its default is not of
            its type.
    """

    def __init__(self, function: Callable[..., object], *, what: str) -> None:
        self.what = what
        self._signature = _signature_of(function, what)
        fields = [_field_of(parameter, hint, what) for parameter, hint in _annotated(function, self._signature, what)]
        struct = msgspec.defstruct("Parameters", fields, forbid_unknown_fields=True, kw_only=True)
        self._schema = Schema(struct, what=what)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(self._signature.parameters)

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return call arguments as one mapping of parameter name to value, without the defaults.

        Raises:
            InvalidDataError: Too many, unknown or missing arguments.
        """
        for key in kwargs:
            if key not in self._signature.parameters:
                raise InvalidDataError(
                    f"{self.what}: unknown argument {key!r}",
                    near=near_names(key, self.names),
                    hint=f"its parameters are: {', '.join(self.names) or 'none'}",
                )
        try:
            return dict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError as exc:
            raise InvalidDataError(f"{self.what}: {exc}", hint=f"its parameters are: {', '.join(self.names)}") from None

    def parse(self, data: object) -> dict[str, object]:
        """Check `data` and return the keyword arguments to call the function with, defaults filled in.

        Raises:
            InvalidDataError: It does not fit.
        """
        return self._as_arguments(self._schema.parse(data))

    def encode(self, arguments: Mapping[str, object]) -> bytes:
        """Return keyword arguments, as `parse` gave them, as UTF-8 JSON."""
        return self._schema.encode(arguments)  # type: ignore[arg-type]  # a mapping encodes as the struct does

    def decode(self, data: bytes | str) -> dict[str, object]:
        """Read and check stored data; return the keyword arguments.

        Raises:
            InvalidDataError: It does not fit (any more).
        """
        return self._as_arguments(self._schema.decode(data))

    def _as_arguments(self, value: object) -> dict[str, object]:
        return {name: getattr(value, name) for name in self.names}


def _signature_of(function: Callable[..., object], what: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as exc:
        raise SchemaError(
            f"{what}: its parameters cannot be read: {exc}", hint="use a function written in Python"
        ) from exc


def _annotated(
    function: Callable[..., object], signature: inspect.Signature, what: str
) -> list[tuple[inspect.Parameter, object]]:
    annotated: Any = function
    while isinstance(annotated, functools.partial):
        annotated = annotated.func
    if not inspect.isroutine(annotated):  # an object that can be called
        annotated = type(annotated).__call__
    try:
        hints = get_type_hints(annotated, include_extras=True)
    except NameError as exc:
        raise SchemaError(
            f"{what}: an annotation cannot be resolved: {exc}",
            hint="define the type at module level, where the function is, and not only under TYPE_CHECKING",
        ) from exc
    return [(p, hints.get(p.name, Any)) for p in signature.parameters.values()]


def _field_of(parameter: inspect.Parameter, hint: object, what: str) -> tuple[Any, ...]:
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        raise SchemaError(
            f"{what}: parameter {parameter} cannot be a key of a JSON object",
            hint="use plain named parameters, or schema=Model for one argument of your own type",
        )
    if parameter.default is inspect.Parameter.empty:
        return (parameter.name, hint)
    default = parameter.default
    try:
        Schema(hint, what=what).parse(default)  # type: ignore[arg-type]  # a hint need not be a class
    except InvalidDataError as exc:  # it would be stored with the others and refused when it is read
        raise SchemaError(
            f"{what}: the default of {parameter.name!r}, {default!r}, is not of its type: {exc.message}",
            hint="widen the annotation (int | None), or change the default",
        ) from exc
    # A default is evaluated once, as Python does; msgspec would refuse a mutable one.
    return (parameter.name, hint, msgspec.field(default_factory=lambda: default))


def _custom_types(info: object) -> Iterator[type[Any]]:
    """Yield the classes inside a type that msgspec does not know by itself."""
    return (part.cls for part in _parts(info, set()) if isinstance(part, msgspec.inspect.CustomType))


def _parts(info: object, seen: set[int]) -> Iterator[object]:
    """Yield a type and all types inside it."""
    if isinstance(info, tuple):
        for part in info:
            yield from _parts(part, seen)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field) and id(info) not in seen:
        seen.add(id(info))
        yield info
        for name in info.__struct_fields__:
            yield from _parts(getattr(info, name), seen)


def _with_defaults(value: T) -> T:
    """Make the defaults of dataclasses part of their instances, in place, at any depth.

    msgspec leaves a default on the class and writes only what is on the instance; what is stored must not change
    its meaning when the class's default does.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            inner = _with_defaults(getattr(value, field.name))
            if field.name not in getattr(value, "__dict__", {field.name: None}):
                object.__setattr__(value, field.name, inner)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _with_defaults(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            _with_defaults(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            _with_defaults(inner)
    return value


def _to_builtins(value: Any) -> object:
    return _plain(value, for_storage=False)


def _to_stored(value: Any) -> object:
    return _plain(value, for_storage=True)


def _plain(value: Any, *, for_storage: bool) -> object:
    if is_model(type(value)):
        return dump_model(value, for_storage=for_storage)
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"a value of type {type(value).__name__} cannot be written as JSON")


def _problem(exc: Exception) -> str:
    return model_problems(exc) or str(exc)


def _cause(exc: Exception) -> Exception | None:
    # A traceback shows the cause's text, and pydantic's quotes the input.
    return None if model_problems(exc) else exc
