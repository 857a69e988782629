"""A small project in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

APP = '''\
"""A small application: a page, and jobs that say in files what they do."""
import os
import time
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from undercroft import Infra
from undercroft.asgi import InfraMiddleware
from undercroft.queue import job

ANSWER = "first"


@job("note")
async def note(text: str) -> None:
    Path("noted").write_text(f"{text} {os.getpid()}")


@job("slow")
async def slow(seconds: float) -> None:
    Path("started").touch()
    await anyio.sleep(seconds)
    Path("finished").touch()


@job("block")
def block(seconds: float) -> None:
    Path("started").touch()
    time.sleep(seconds)


async def index(request):
    return JSONResponse({"answer": ANSWER, "pid": os.getpid()})


async def add(request):
    await note.enqueue(text=request.query_params["text"])
    return JSONResponse({})


infra = Infra(jobs=[note, slow, block])
web = Starlette(routes=[Route("/", index), Route("/add", add)])
app = InfraMiddleware(web, infra)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with `app.py` in it."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "app.py").write_text(APP)
    return directory
