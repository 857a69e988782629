"""Every error there is, and the functions that make it, found in this installation's own source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import undercroft
from undercroft._core.errors import UndercroftError, near_names
from undercroft.cli._errors import UnknownCodeError

_ROOT = Path(undercroft.__file__).parent


def find_error(code: str) -> type[UndercroftError]:
    """Return the class that declares `code`.

    Raises:
        UnknownCodeError: None does.
    """
    for module, text in _sources():
        if 'code = "UC' in text:  # importing the others, the demo shop for one, would tell nothing and cost time
            with suppress(Exception):  # what it needs is not installed, so nothing here raises its errors
                import_module(module)
    by_code = {error.code: error for error in _all_errors(UndercroftError)}
    if code not in by_code:
        raise UnknownCodeError(
            f"no error has the code {code!r}",
            near=near_names(code, sorted(by_code)),
            hint="codes are UC and four digits, as in UC1203",
        )
    return by_code[code]


def places_of(error: type[UndercroftError]) -> list[str]:
    """Return the functions that make this error, as `module.function`, in order."""
    found: dict[str, None] = {}
    for module, text in _sources():
        if f"{error.__name__}(" in text:
            tree = ast.parse(text)
            if _means(tree, module, error):
                found.update((f"{module}.{name}" if name else module, None) for name in _makers(tree, error))
    return list(found)


def _sources() -> Iterator[tuple[str, str]]:
    """Yield name and text of every module."""
    for path in sorted(_ROOT.rglob("*.py")):
        name = ".".join(["undercroft", *path.relative_to(_ROOT).with_suffix("").parts]).removesuffix(".__init__")
        yield name, path.read_text(encoding="utf-8")


def _means(tree: ast.Module, module: str, error: type[UndercroftError]) -> bool:
    """Tell whether the class's name stands for it in this module; another module may have one of the same name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == error.__name__:
            return module == error.__module__
        if isinstance(node, ast.ImportFrom) and error.__name__ in [alias.name for alias in node.names]:
            with suppress(Exception):
                return getattr(import_module(node.module or ""), error.__name__, None) is error
    return False


def _makers(tree: ast.AST, error: type[UndercroftError], within: str = "") -> Iterator[str]:
    """Yield the dotted names of the functions whose bodies call the class."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}" if within else node.name
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == error.__name__:
            yield name
        yield from _makers(node, error, name)


def _all_errors(error: type[UndercroftError]) -> Iterator[type[UndercroftError]]:
    # Only classes that declare a code: one without has its parent's.
    for subclass in error.__subclasses__():
        yield from _all_errors(subclass)
    if "code" in vars(error):
        yield error
