"""Clients are built in one place, and nothing of Redis is loaded before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import undercroft

SOURCE = Path(undercroft.__file__).parent
OURS = SOURCE / "connections" / "redis"
BUILDS = re.compile(
    r"^\s*(?:from|import)\s+redis\b(?!\.exceptions|\._parsers)|\bredis\.asyncio\b|\b(?:Strict)?Redis\(|\bRedisCluster\(|Redis(?:Cluster)?\.from_url",
    re.MULTILINE,
)
FIRST = "import sys; from undercroft.connections import redis; "


def test_nobody_else_builds_a_client() -> None:
    others = [path for path in SOURCE.rglob("*.py") if not path.is_relative_to(OURS)]
    # A line of types alone builds nothing.
    found = [path for path in others if BUILDS.search(_without_types(path.read_text(encoding="utf-8")))]

    assert len(others) > 50
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    for line in ("from redis import Redis", "import redis.asyncio as r", "x = Redis(host='h')", "Redis.from_url(u)"):
        assert BUILDS.search(line)
    assert not BUILDS.search("from undercroft.connections.redis import RedisConnection")
    assert not BUILDS.search("x = RedisConnection(url)")
    assert not BUILDS.search("from redis.exceptions import TimeoutError")  # an error connects to nothing


def test_importing_the_face_loads_no_client() -> None:
    report = f"{FIRST}print('redis' in sys.modules, 'hiredis' in sys.modules, 'ssl' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", report], capture_output=True, text=True, timeout=50, check=True)

    assert done.stdout.split()[:2] == ["False", "False"]


def test_missing_package_is_told_by_its_pip_line() -> None:
    code = (
        f"{FIRST}sys.modules['redis'] = None\n"
        "try:\n    redis.RedisConnection('redis://h')\n"
        "except redis.RedisError: raise\nexcept ImportError as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=50, check=True)

    assert "pip install 'undercroft[redis]'" in done.stdout


def _without_types(text: str) -> str:
    return re.sub(r"^if TYPE_CHECKING:\n(?:(?: {4}.*)?\n)+", "", text, flags=re.MULTILINE)
