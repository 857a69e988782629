"""What importing costs: which packages it loads, which of our own modules, and how long it takes.

Every import happens in a fresh interpreter. Modules are found in `src/undercroft`, so a new one is held to the rules
from its first day.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "undercroft"
CORE = {"anyio", "idna", "msgspec", "sniffio", "typing_extensions"}
"""What every module may load: the two dependencies of the core, and what those bring."""

MAY_ALSO_LOAD = {"cli": {"click"}, "demo": {"*"}, "contrib": {"*"}}
"""What its extra names; `*` for a module that exists to join third parties."""

MUST_NOT_LOAD = {"undercroft": {"anyio", "asyncio", "email", "json", "logging", "msgspec", "sqlite3", "ssl"}}
"""The standard library too, where a module promises to be light."""

BACKENDS = {"smtplib", "sqlite3"}
"""Clients of the standard library that only a backend's own file imports, once the backend is built."""

JOINS_OTHERS = {"app", "asgi", "cli", "contrib", "demo", "testing"}
"""Modules above the services: the only ones that may load others, besides those that tell what happens."""

TELLING = {"undercroft.logging", "undercroft.monitoring"}

BUDGET_MS = {"undercroft": 15.0}
"""What an import may cost on top of what `import asyncio` costs."""


def _public_modules() -> list[str]:
    names = [path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    return sorted(f"undercroft.{name}" for name in names if not name.startswith("_"))


MODULES = _public_modules()
EVERYTHING = ["undercroft", *MODULES]


def _fresh(code: str) -> str:
    # -I: neither the working directory nor PYTHON* settings of whoever runs the tests.
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def _loaded_by(module: str) -> set[str]:
    """Return the names that `import module` adds to `sys.modules`."""
    report = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    return set(_fresh(report).split())


def _short(module: str) -> str:
    return module.removeprefix("undercroft").removeprefix(".")


@pytest.mark.parametrize("module", EVERYTHING)
def test_import_loads_no_package_but_the_core(module: str) -> None:
    allowed = CORE | MAY_ALSO_LOAD.get(_short(module), set()) | {"undercroft"}
    if "*" not in allowed:
        top_level = {name.partition(".")[0] for name in _loaded_by(module)}
        assert top_level - allowed - sys.stdlib_module_names == set()


@pytest.mark.parametrize("module", EVERYTHING)
def test_import_does_not_load_what_only_a_backend_needs(module: str) -> None:
    if "*" not in MAY_ALSO_LOAD.get(_short(module), set()):
        assert _loaded_by(module) & (BACKENDS | MUST_NOT_LOAD.get(module, set())) == set()


@pytest.mark.parametrize("module", [name for name in MODULES if _short(name) not in JOINS_OTHERS])
def test_module_loads_none_of_the_others(module: str) -> None:
    loaded = {".".join(name.split(".")[:2]) for name in _loaded_by(module) if name.startswith("undercroft.")}
    assert loaded & set(MODULES) <= {module, *TELLING}


def test_bare_import_loads_nothing_but_the_face() -> None:
    ours = {name for name in _loaded_by("undercroft") if name.startswith("undercroft")}
    assert ours == {"undercroft"}


def _import_ms(module: str) -> float:
    return 1000 * float(
        _fresh(f"from time import perf_counter as now; start = now(); import {module}; print(now() - start)")
    )


def _excess_ms(module: str, yardstick: str, rounds: int) -> float:
    """Return how much longer `module` takes, from medians of interleaved runs: what slows one slows the other."""
    pairs = [(_import_ms(module), _import_ms(yardstick)) for _ in range(rounds)]
    return statistics.median(ours for ours, _ in pairs) - statistics.median(theirs for _, theirs in pairs)


@pytest.mark.parametrize(("module", "budget_ms"), BUDGET_MS.items())
def test_import_takes_little_longer_than_asyncio(module: str, budget_ms: float) -> None:
    _import_ms(module), _import_ms("asyncio")  # writes the bytecode, fills the disk's cache
    # A busy machine only adds time, so the best of a few attempts is the one to judge.
    excess = [_excess_ms(module, "asyncio", rounds=5)]
    while excess[-1] > budget_ms and len(excess) < 4:
        excess.append(_excess_ms(module, "asyncio", rounds=5))
    assert min(excess) <= budget_ms, f"import {module}: over import asyncio by {excess} ms"
