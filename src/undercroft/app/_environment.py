"""One reading of the environment, from a mapping that is passed in. Collects problems instead of raising the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from undercroft._core.errors import ConfigError, near_names
from undercroft.app._errors import SettingFileError, UnknownSettingError

T = TypeVar("T")
PREFIX = "UNDERCROFT_"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and where it came from: a variable's name, `argument queue`, or `default`."""

    value: T
    origin: str
    unused: tuple[str, ...] = ()
    """Other variables that are set for it, and that the origin comes before."""


class Environment:
    """Reads settings and remembers what is wrong. Lives for one reading."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._known: set[str] = set()
        self.problems: list[ConfigError] = []

    def read(
        self, names: tuple[str, ...], parse: Callable[[Any, str], T], *, argument: tuple[str, object], default: T
    ) -> Setting[T]:
        """Return the first of: the argument, the variables `names` in order (each also as `<NAME>_FILE`), the default.

        `parse` gets the value and what it is called; a `ConfigError` from it is kept as a problem. An argument that is
        `None` and a blank variable count as absent; a blank argument or file is a problem.
        """
        self._known.update(names)
        is_set = tuple(name for name in names if self._is_set(name))
        argument_name, given = argument
        if given is not None:
            label = f"argument {argument_name}"
            return Setting(self._parsed(parse, given, label, default), label, unused=is_set)
        if not is_set:
            return Setting(default, "default")
        text, origin = self._text_of(is_set[0])
        value = default if text is None else self._parsed(parse, text, origin, default)
        return Setting(value, origin, unused=is_set[1:])

    def companions(self, names: tuple[str, ...]) -> Callable[[], Mapping[str, str]]:
        """Return a reader of variables that complete another one, each also as `<NAME>_FILE`.

        It is for that one's `parse`: what is wrong with them is no problem while nobody needs them. A variable is given
        as it is, since spaces may belong to a password.
        """
        self._known.update(names)
        given = [name for name in names if self._is_set(name)]
        return lambda: {name: self._companion(name) for name in given}

    def require_all_known(self) -> None:
        """Add a problem for every `UNDERCROFT_*` variable that was never read."""
        allowed = self._known | {f"{name}_FILE" for name in self._known}
        ours = sorted(name for name in self._known if name.startswith(PREFIX))
        for name in sorted(self._variables):
            if name.startswith(PREFIX) and name not in allowed:
                self._add(
                    UnknownSettingError(
                        f"{name} is set, and nothing reads it",
                        near=near_names(name, ours),
                        hint=f"remove it, or correct its name; there are: {', '.join(ours)}",
                    )
                )

    def _companion(self, name: str) -> str:
        text, origin = self._text_of(name)
        return self._variables[name] if origin == name else text or ""

    def _add(self, problem: ConfigError) -> None:
        # Two settings may read one variable, such as REDIS_URL, and what is wrong with it is one problem.
        if all((type(known), known.message) != (type(problem), problem.message) for known in self.problems):
            self.problems.append(problem)

    def _is_set(self, name: str) -> bool:
        return any(self._variables.get(spelling, "").strip() for spelling in (name, f"{name}_FILE"))

    def _text_of(self, name: str) -> tuple[str | None, str]:
        """Return the text of a variable that is set, `None` when its file cannot be read, and where it is from."""
        text = self._variables.get(name, "").strip()
        file_name = self._variables.get(f"{name}_FILE", "").strip()
        if text and file_name:
            self._add(SettingFileError(f"both {name} and {name}_FILE are set", hint="keep one of the two"))
        if text:
            return text, name
        return self._content(f"{name}_FILE", file_name), f"{name}_FILE"

    def _content(self, variable: str, file_name: str) -> str | None:
        # The path is not quoted: whoever mixes the two names up has put the secret itself there.
        try:
            text = Path(file_name).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:  # a ValueError is a NUL in the path, or bytes that are not UTF-8
            reason = exc.strerror if isinstance(exc, OSError) else "it is not a text file"
            problem = f"the file that {variable} names cannot be read: {reason}"
            self._add(SettingFileError(problem, hint="correct the path, or the file's rights"))
            return None
        if not text:
            problem = f"the file that {variable} names is empty"
            self._add(SettingFileError(problem, hint=f"write the value into it, or unset {variable}"))
        return text or None

    def _parsed(self, parse: Callable[[Any, str], T], given: object, origin: str, default: T) -> T:
        try:
            _require_content(given, origin)
            return parse(given, origin)
        except ConfigError as exc:
            self._add(exc)
            return default


def _require_content(given: object, origin: str) -> None:
    if isinstance(given, str) and not given.strip():
        raise ConfigError(f"{origin} is blank", hint="leave it out, or give a value")
