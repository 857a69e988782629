"""Secrets of every kind are planted in every way into the library, and none comes out: not in a log line of any format,
a trace, a metric, a report, an error, a `repr`, a command's output or an event for Sentry, in whatever spelling.

What must hold the data is exempt, since hiding it there would lose it: the queue's store and `handle.info()` (the
arguments that the worker needs), the local inbox and the wire to the mail server (the mail itself), the databases, and
a URL's `reveal()`, which the clients connect with.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from tests.canary._secrets import CANARIES
from tests.canary._world import World, hunt
from tests.canary.surfaces import NAMES, SLOW, drive_of
from undercroft.logging import setup_logging

FORMATS = ("json", "text", "ecs", "otel")
RUNS = [(name, form) for name in NAMES for form in (FORMATS[:1] if name in SLOW else FORMATS)]


@pytest.mark.anyio
@pytest.mark.parametrize(("surface", "form"), RUNS)
async def test_nothing_that_is_planted_comes_out(surface: str, form: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    with setup_logging(level="debug", format=form, stream=world.lines):
        await drive_of(surface)(world)
    assert world.planted
    assert world.missing() == []
    hits = hunt(world.outputs)
    assert not hits, "\n".join(map(str, hits))


def test_fifty_secrets_are_planted() -> None:
    sources = "\n".join(path.read_text() for path in (Path(__file__).parent / "surfaces").glob("*.py"))
    unused = [
        name for name in CANARIES if not name.startswith("shape.") and not re.search(rf"[\"']{name}[\"']", sources)
    ]
    assert unused == []
    assert len(CANARIES) >= 50


@pytest.mark.parametrize("name", CANARIES)
def test_secret_that_comes_out_would_be_found(name: str) -> None:
    needle = max(CANARIES[name].needles or (CANARIES[name].text,), key=len)
    for shown in (
        f"before {needle} after",
        f'{{"key": "{needle}"}}',
        needle.upper(),
        base64.b64encode(f"x{needle}yz".encode()).decode(),
        base64.urlsafe_b64encode(f"xyz{needle}".encode()).decode(),
        needle.encode().hex(),
    ):
        assert name in {hit.name for hit in hunt({"somewhere": shown})}, shown


def test_no_secret_is_part_of_another() -> None:
    for name, canary in CANARIES.items():
        others = {other: CANARIES[other].text for other in CANARIES if other != name}
        assert name not in {hit.name for hit in hunt(others)}, canary
