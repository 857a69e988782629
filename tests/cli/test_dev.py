"""The development server as a process: application, worker and reload."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.cli._process import Running, run, wait_for
from undercroft import Infra
from undercroft.queue import define_job

DEV = ("dev", "app:app", "--port", "0")


def _get(running: Running, path: str = "/") -> dict[str, Any]:
    document: dict[str, Any] = httpx2.get(running.url() + path, timeout=20).json()
    return document


def _edit(project: Path, old: str, new: str) -> None:
    path = project / "app.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _wait_until_answer(running: Running, answer: str) -> None:
    wait_for(lambda: _get(running)["answer"] == answer, f"the answer {answer!r}")


def test_request_and_job_run_in_one_process(project: Path) -> None:
    with Running(*DEV, cwd=project) as dev:
        pid = _get(dev)["pid"]
        _get(dev, "/add?text=hello")
        noted = wait_for(lambda: (project / "noted").exists() and (project / "noted").read_text(), "the job")
        assert noted == f"hello {pid}"


def test_block_tells_where_everything_is(project: Path) -> None:
    with Running(*DEV, "--concurrency", "3", cwd=project) as dev:
        url = dev.url()
        dev.wait_for_text("nothing leaves this machine")
        assert dev.out.splitlines() == [
            f"  app       {url}   reload on",
            "  worker    3 slots, queues default, store .undercroft/queue.db (sqlite)",
            "  inbox     .undercroft/inbox   every mail lands here; nothing leaves this machine",
        ]


def test_edit_is_served_after_a_restart(project: Path) -> None:
    with Running(*DEV, cwd=project) as dev:
        first = _get(dev)
        _edit(project, '"first"', '"second answer"')
        _wait_until_answer(dev, "second answer")
        assert _get(dev)["pid"] != first["pid"]
        dev.wait_for_text("reload    app.py: restarting")


def test_syntax_error_is_shown_and_the_next_change_mends_it(project: Path) -> None:
    with Running(*DEV, cwd=project) as dev:
        assert _get(dev)["answer"] == "first"
        _edit(project, 'ANSWER = "first"', 'ANSWER = "first')
        dev.wait_for_text("waiting for a change")
        assert "SyntaxError: unterminated string literal" in dev.err
        _edit(project, 'ANSWER = "first', 'ANSWER = "mended"')
        _wait_until_answer(dev, "mended")


def test_syntax_error_at_the_start_is_waited_out_too(project: Path) -> None:
    _edit(project, 'ANSWER = "first"', "ANSWER = (")
    with Running(*DEV, cwd=project) as dev:
        dev.wait_for_text("waiting for a change")
        _edit(project, "ANSWER = (", 'ANSWER = "at last"')
        _wait_until_answer(dev, "at last")


def test_application_that_does_not_start_is_waited_out(project: Path) -> None:
    text = (project / "app.py").read_text()
    failing = text.replace("web = Starlette(", "async def boom(app):\n    raise OSError('no')\n    yield\n\n")
    failing = failing.replace(
        "routes=[Route", "from contextlib import asynccontextmanager\nweb = Starlette(routes=[Route"
    )
    failing = failing.replace("add)])\n", "add)], lifespan=asynccontextmanager(boom))\n")
    (project / "app.py").write_text(failing)
    with Running(*DEV, cwd=project) as dev:
        dev.wait_for_text("the application ended with exit code 1; waiting for a change")
        assert "OSError: no" in dev.err
        assert "error: UC3109 the application did not start" in dev.err
        (project / "app.py").write_text(text)
        assert _get(dev)["answer"] == "first"


@pytest.mark.parametrize("options", [(), ("--no-reload",)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_idle_server_ends_within_2_seconds_with_0(
    number: signal.Signals, options: tuple[str, ...], project: Path
) -> None:
    with Running(*DEV, *options, cwd=project) as dev:
        with httpx2.Client() as client:  # a browser's idle connection must not hold it up
            client.get(dev.url())
            started = time.monotonic()
            dev.send(number)
            assert dev.ended() == 0
            assert time.monotonic() - started <= 2.0
        assert "worker stopped" in dev.err
        assert "Traceback" not in dev.err


def test_terminals_ctrl_c_reaches_both_processes_and_counts_once(project: Path) -> None:
    with Running(*DEV, cwd=project) as dev:
        _get(dev)
        os.killpg(dev.process.pid, signal.SIGINT)  # its group: supervisor and child, as a terminal does
        assert dev.ended() == 0
        assert "worker stopped" in dev.err


def test_second_signal_forces(project: Path) -> None:
    _edit(project, 'Path("noted").write_text', "await anyio.sleep(40); Path('noted').write_text")
    with Running(*DEV, cwd=project) as dev:
        _get(dev, "/add?text=late")
        dev.wait_for_text("job started")
        dev.send(signal.SIGINT)
        dev.wait_for_text("stopping: no more claims")
        dev.insist(signal.SIGINT)
        assert dev.ended() == 130
        assert "job given back" in dev.err


def test_orphaned_server_ends_by_itself(project: Path) -> None:
    with Running(*DEV, cwd=project) as dev:
        pid = _get(dev)["pid"]
        dev.process.kill()
        dev.process.wait()
        wait_for(lambda: not _is_alive(pid), "the child to end")
        assert "worker stopped" in dev.err


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # nobody may be there to collect it


def test_application_without_the_middleware_is_wrapped(project: Path) -> None:
    with Running("dev", "app:web", "--port", "0", "--no-reload", cwd=project) as dev:
        response = httpx2.get(dev.url() + "/add?text=x", timeout=20)
        assert response.status_code == 200
        assert response.headers["x-request-id"]
        dev.wait_for_text("app:web has no InfraMiddleware and was given one")


def test_fastapi_with_an_added_middleware_is_served_as_it_is(project: Path) -> None:
    (project / "fast.py").write_text(
        "from fastapi import FastAPI\nfrom app import infra, note\nfrom undercroft.asgi import InfraMiddleware\n"
        "def create():\n    app = FastAPI()\n    app.add_middleware(InfraMiddleware, infra=infra)\n"
        "    @app.get('/')\n    async def index():\n        await note.enqueue(text='fast')\n        return {}\n"
        "    return app\n"
    )
    with Running("dev", "fast:create", "--port", "0", "--no-reload", cwd=project) as dev:
        assert httpx2.get(dev.url(), timeout=20).status_code == 200
        wait_for((project / "noted").exists, "the job")
        assert "note " not in dev.out


def test_health_is_answered_by_the_open_infra(project: Path) -> None:
    with Running(*DEV, "--no-reload", cwd=project) as dev:
        assert _get(dev, "/readyz") == {"status": "healthy"}


def test_taken_port_names_the_next_free_one_and_the_option(project: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        done = run("dev", "app:app", "--port", str(port), cwd=project)
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: UC3101 port {port} of 127.0.0.1 is taken\n")
    assert "add --port " in done.stderr
    assert done.stdout == ""


def test_host_that_is_not_ours_is_explained(project: Path) -> None:
    done = run("dev", "app:app", "--host", "192.0.2.1", "--port", "0", cwd=project)
    assert done.returncode == 3
    assert done.stderr.startswith("error: UC3110 cannot listen on 192.0.2.1:0")


@pytest.mark.parametrize(("app", "code"), [("app:ap", "UC3104"), ("ap:app", "UC3103"), ("app:infra", "UC3105")])
def test_wrong_app_at_the_start_ends_the_command(app: str, code: str, project: Path) -> None:
    done = run("dev", app, "--port", "0", cwd=project)
    assert done.returncode == 2
    assert f"error: {code}" in done.stderr
    assert "near:" in done.stderr


def _publish(project: Path, seconds: float) -> None:
    async def enqueue() -> None:
        job = define_job(name="publish", handler=_sleep)
        async with Infra(jobs=[job], home=project / ".undercroft", log_level="error") as infra:
            await infra.queue.enqueue("publish", {"seconds": seconds})

    anyio.run(enqueue)


async def _sleep(seconds: float) -> None: ...


def test_subscriptions_are_handled_beside_the_jobs(project: Path) -> None:
    with Running("dev", "listener:app", "--port", "0", cwd=project) as dev:
        dev.wait_for_text("nothing leaves this machine")
        assert "  messages  subscriptions notes-to-file (memory)" in dev.out.splitlines()
        _publish(project, 0.5)
        wait_for((project / "received").exists, "the message")
        dev.send(signal.SIGTERM)
        assert dev.ended() == 0
        assert (project / "handled").exists()
        assert "subscriber stopped" in dev.err


def test_application_that_runs_its_own_worker_gets_no_second_one(project: Path) -> None:
    with Running("dev", "listener:app", "--port", "0", cwd=project, UNDERCROFT_PROCESS="all") as dev:
        dev.wait_for_text("nothing leaves this machine")
        assert "the application's own (UNDERCROFT_PROCESS)" in dev.out
        _publish(project, 0)
        wait_for((project / "handled").exists, "the message")
        dev.send(signal.SIGTERM)
        assert dev.ended() == 0
        assert (dev.err.count("worker started"), dev.err.count("subscriber started")) == (1, 1)


def test_second_signal_cuts_the_closing_short(project: Path) -> None:
    path = project / "slow_to_close.py"
    serving = "from starlette.applications import Starlette\nfrom undercroft.asgi import InfraMiddleware\n"
    path.write_text(path.read_text() + serving + "app = InfraMiddleware(Starlette(), infra)\n")
    with Running("dev", "slow_to_close:app", "--port", "0", cwd=project) as dev:
        dev.wait_for_text("mail leaves this machine")
        dev.send(signal.SIGTERM)
        wait_for((project / "closing").exists, "the closing")
        dev.insist(signal.SIGTERM)
        assert dev.ended() == 143
        assert "email did not close within" in dev.err
