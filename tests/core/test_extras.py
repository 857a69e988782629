"""Late imports: a package that is missing, and one that is broken, are told apart."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from undercroft._core.errors import ConfigError, MissingExtraError
from undercroft._core.extras import Schemes, require_module
from undercroft._core.url import Url

Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Make an importable package of the given files; return its name."""
    name = f"package_{uuid.uuid4().hex}"
    monkeypatch.syspath_prepend(tmp_path)

    def make(init: str = "", **modules: str) -> str:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "__init__.py").write_text(init.replace("PACKAGE", name))
        for module, text in modules.items():
            (directory / f"{module}.py").write_text(text.replace("PACKAGE", name))
        return name

    yield make
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_installed_module_is_returned(package: Package) -> None:
    name = package(part="ANSWER = 42")

    assert require_module(f"{name}.part", extra="redis", needed_for="the cache").ANSWER == 42


def test_missing_package_is_named_with_what_needs_it() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require_module("no_such_package.part", extra="redis", needed_for="redis://")

    assert caught.value.message == "redis:// needs the package 'no_such_package', which is not installed"


def test_missing_package_gives_the_pip_line() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require_module("no_such_package", extra="redis", needed_for="redis://")

    assert caught.value.hint == "pip install 'undercroft[redis]'"


def test_missing_package_is_also_an_import_error() -> None:
    with pytest.raises(ImportError):
        require_module("no_such_package", extra="redis", needed_for="redis://")


def test_package_too_old_to_have_the_module_is_not_called_missing(package: Package) -> None:
    name = package()

    with pytest.raises(MissingExtraError) as caught:
        require_module(f"{name}.part", extra="redis", needed_for="redis://")

    assert caught.value.message == (
        f"redis:// needs '{name}.part', which the installed version of '{name}' does not have"
    )
    assert caught.value.hint == "pip install --upgrade 'undercroft[redis]'"


@pytest.mark.parametrize(
    ("init", "error"),
    [
        ("import no_such_dependency", ModuleNotFoundError),
        ("from PACKAGE import _compiled", ImportError),
        ("import PACKAGE._compiled", ModuleNotFoundError),
        ("raise ImportError('libssl.so.3: cannot open shared object file')", ImportError),
        ("1 / 0", ZeroDivisionError),
        ("def", SyntaxError),
    ],
)
def test_broken_package_shows_its_own_error(package: Package, init: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        require_module(package(init), extra="redis", needed_for="redis://")

    assert type(caught.value) is error


def test_scheme_loads_the_class_behind_it(package: Package) -> None:
    schemes = Schemes("cache", {"redis": f"{package(backend='class Cache: ...')}.backend:Cache"})

    assert schemes.load(Url.parse("redis://h"), what="REDIS_URL").__name__ == "Cache"


def test_backends_file_is_not_imported_before_its_first_use(package: Package) -> None:
    name = package(backend="1 / 0")
    schemes = Schemes("cache", {"redis": f"{name}.backend:Cache", "memory": "builtins:dict"})
    schemes.load(Url.parse("memory://"), what="REDIS_URL")

    assert f"{name}.backend" not in sys.modules


def test_variant_is_a_scheme_of_its_own() -> None:
    schemes = Schemes("cache", {"redis": "builtins:dict", "redis+sentinel": "builtins:list"})

    assert schemes.load(Url.parse("redis+sentinel://h"), what="REDIS_URL") is list


def test_unknown_scheme_names_the_setting_and_the_part() -> None:
    with pytest.raises(ConfigError, match=r"^UC0201 UNDERCROFT_CACHE: the cache has no backend for rediss://"):
        Schemes("cache", {"redis": "builtins:dict"}).load(Url.parse("rediss://h"), what="UNDERCROFT_CACHE")


def test_unknown_scheme_offers_near_ones_and_lists_all() -> None:
    schemes = Schemes("cache", {"redis": "builtins:dict", "memory": "builtins:dict"})

    with pytest.raises(ConfigError) as caught:
        schemes.load(Url.parse("reddis://h"), what="REDIS_URL")

    assert (caught.value.near, caught.value.hint) == (("redis",), "backends of this version: memory://, redis://")


def test_unknown_scheme_does_not_show_the_url() -> None:
    with pytest.raises(ConfigError) as caught:
        Schemes("cache", {"redis": "builtins:dict"}).load(Url.parse("other://me:hunter2@h"), what="REDIS_URL")

    assert "hunter2" not in str(caught.value)


def test_names_are_sorted() -> None:
    assert Schemes("cache", {"redis": "a:b", "memory": "a:c"}).names == ("memory", "redis")


def test_schemes_are_frozen_when_they_are_made() -> None:
    targets = {"memory": "builtins:dict"}
    schemes = Schemes("cache", targets)
    targets["redis"] = "builtins:list"

    assert schemes.names == ("memory",)
