"""From APP to what it names: import the module, get the attribute, call it when it is a factory."""

from __future__ import annotations

import functools
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from undercroft._core.errors import UndercroftError, near_names
from undercroft.cli._errors import AppAttributeError, AppModuleNotFoundError, AppRaisedError, AppUnsuitableError
from undercroft.cli._reference import Reference


@dataclass(frozen=True, slots=True)
class Loaded:
    """What APP names."""

    reference: Reference
    module: ModuleType
    value: object
    """The attribute, or what it made when it is a factory; `None` when APP names no attribute."""


def load(text: str) -> Loaded:
    """Import what `text` names, with the current directory first on `sys.path`.

    Raises:
        AppError: A subclass that says what was seen; `AppRaisedError` when the application's own code raised.
    """
    reference = Reference.parse(text)
    _put_first_on_path(Path.cwd())
    module = _module_of(reference)
    if reference.attribute is None:
        return Loaded(reference, module, None)
    return Loaded(reference, module, made(_attribute_of(module, reference), str(reference)))


def made(value: object, name: str) -> object:
    """Return `value`, or what it returns when it is a function without required parameters.

    Raises:
        AppUnsuitableError: It is a coroutine function.
        AppRaisedError: It raised.
    """
    if not isinstance(value, functools.partial) and not inspect.isroutine(value):
        return value
    if _required_count(value) != 0:
        return value
    if inspect.iscoroutinefunction(value):
        raise AppUnsuitableError(
            f"{name} is an async function, and a factory must be a plain one",
            hint="make it a plain function; what has to be awaited belongs into the application's lifespan",
        )
    with _users_code(name):
        return value()


def _module_of(reference: Reference) -> ModuleType:
    name = _name_of_file(reference.path) if reference.path is not None else reference.target
    try:
        with _users_code(reference.target, missing=name):
            module = import_module(name)
    except ModuleNotFoundError as exc:
        raise _not_found(name) from exc
    if reference.path is not None and Path(module.__file__ or "").resolve() != reference.path.resolve():
        taken_by = module.__file__ or "a built-in module"
        raise AppModuleNotFoundError(
            f"{reference.path} cannot be imported as {name!r}: that is already {taken_by}",
            hint="give the file another name",
        )
    return module


def _name_of_file(path: Path) -> str:
    """Return the dotted name of a file's module, and make it importable: packages have an `__init__.py`."""
    if not path.is_file():
        nearby = path.parent.glob("*.py") if path.parent.is_dir() else ()
        near = near_names(path.name, [file.name for file in nearby])
        raise AppModuleNotFoundError(
            f"there is no file {path}",
            near=[str(path.parent / name) for name in near],
            hint=f"paths are relative to the current directory, {Path.cwd()}",
        )
    resolved = path.resolve()
    names = [] if resolved.name == "__init__.py" else [resolved.stem]
    directory = resolved.parent
    while (directory / "__init__.py").is_file():
        names.insert(0, directory.name)
        directory = directory.parent
    _put_first_on_path(directory)
    return ".".join(names)


def _not_found(name: str) -> AppModuleNotFoundError:
    parent, _, last = name.rpartition(".")
    places = list(getattr(sys.modules.get(parent), "__path__", [])) if parent else [str(Path.cwd())]
    siblings = [module.name for module in pkgutil.iter_modules(places)]
    near = near_names(last, siblings)
    where = (
        f"the package {parent}" if places and parent else f"the current directory, {Path.cwd()}, or an installed one"
    )
    return AppModuleNotFoundError(
        f"there is no module {name!r}",
        near=[f"{parent}.{sibling}" if parent else sibling for sibling in near],
        hint=f"it is looked for in {where}; run the command in your project's root, or give path/to/file.py",
    )


def _attribute_of(module: ModuleType, reference: Reference) -> object:
    value: object = module
    for part in (reference.attribute or "").split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            names = [name for name in dir(value) if not name.startswith("_")]
            raise AppAttributeError(
                f"{reference.target} has no attribute {reference.attribute!r}",
                near=near_names(part, names),
                hint=f"it has: {', '.join(_own_names(module)) or 'none'}",
            ) from None
    return value


def _own_names(module: ModuleType, *, limit: int = 10) -> list[str]:
    """Return the names of what a module made itself, without its classes and private names."""
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType | type) and name != "annotations"
        if not inspect.isroutine(value) or value.__module__ == module.__name__
    ]
    return names if len(names) <= limit else [*names[:limit], "…"]


@contextmanager
def _users_code(name: str, *, missing: str | None = None) -> Iterator[None]:
    """Tell what the user's code raises in the block from what is ours.

    Args:
        name: What runs.
        missing: A module; that it, or a package it is in, does not exist is not the user's code's doing.
    """
    try:
        yield
    except UndercroftError:
        raise  # it says for itself what is wrong, and where
    except (Exception, SystemExit) as exc:
        if missing and isinstance(exc, ModuleNotFoundError) and f"{missing}.".startswith(f"{exc.name}."):
            raise
        raise AppRaisedError(
            f"{name} raised {type(exc).__name__}", hint="the traceback above shows where; it is the application's"
        ) from exc


def _required_count(function: Callable[..., object]) -> int | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(item.default is item.empty and item.kind not in variable for item in parameters)


def _put_first_on_path(directory: Path) -> None:
    text = os.fspath(directory)
    if text in sys.path:
        sys.path.remove(text)
    sys.path.insert(0, text)
