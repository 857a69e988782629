"""The demonstration does what it prints, and prints what happened."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import httpx2
import pytest

from tests._services._server import Service

COMMAND = [sys.executable, "-m", "undercroft", "demo"]
SHAPE = {
    "signups": int,
    "rejected": int,
    "emails": int,
    "jobs": {"completed": int, "failed": int, "retried": int, "recovered_after_kill": int, "lost": int},
    "followed": {"request_id": str, "log_lines": int, "job_id": str, "email_id": str, "spans": int},
    "health": str,
    "backends": {"queue": str, "email": str},
    "seconds": float,
}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=60)


def shape_of(value: object) -> object:
    return {key: shape_of(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value)


def test_once_as_json_prints_one_object_and_everything_held() -> None:
    done = run("--once", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert shape_of(result) == SHAPE
    assert (result["signups"], result["rejected"], result["emails"]) == (25, 1, 25)
    assert result["jobs"] == {"completed": 25, "failed": 0, "retried": 1, "recovered_after_kill": 1, "lost": 0}
    assert result["followed"]["log_lines"] >= 4
    assert result["followed"]["spans"] >= 4
    assert result["backends"] == {"queue": "sqlite", "email": "inbox"}


@pytest.mark.redis
def test_the_same_holds_on_redis(redis: Service) -> None:
    done = run(
        "--once", "--json", UNDERCROFT_QUEUE=f"redis://{redis.host}:{redis.port}/0?prefix=demo-{uuid.uuid4().hex}"
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["jobs"] == {"completed": 25, "failed": 0, "retried": 1, "recovered_after_kill": 1, "lost": 0}
    assert result["backends"] == {"queue": "redis", "email": "inbox"}


def test_real_mail_is_never_sent() -> None:
    done = run(
        "--once", "--json", RESEND_API_KEY="re_nobody", SMTP_URL="smtp://127.0.0.1:1", EMAIL_FROM="x@example.com"
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backends"]["email"] == "inbox"


def test_queue_that_is_not_there_is_an_error_and_nothing_is_faked() -> None:
    done = run("--once", "--json", UNDERCROFT_QUEUE="nosuch://127.0.0.1")

    assert done.returncode == 3
    assert done.stdout == ""
    assert "UNDERCROFT_QUEUE" in done.stderr
    assert "nosuch://" in done.stderr


def test_port_that_is_taken_is_an_error_that_names_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--once", "--port", str(taken.getsockname()[1]))

    assert done.returncode == 4
    assert "UC3201" in done.stderr
    assert re.search(r"--port \d+", done.stderr)


@pytest.fixture
def shop() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    address = None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            address = found[0]
            break
    assert address is not None
    yield address, process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    process.stdout.close()


def test_shop_goes_on_serving_and_ends_clean(shop: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = shop
    with httpx2.Client(base_url=address) as client:
        form = {"name": "<script>alert(1)</script>", "email": "eve@example.com"}
        assert client.post("/signups", data=form).status_code == 303
        page = until_contains(client, "eve@example.com")
        assert "<script>" not in page
        mail_url = re.search(r'href="(/mail/[^"]+)">[^<]*</a></td><td>eve@example.com', page)
        assert mail_url is not None
        mail = client.get(mail_url[1])
        assert "<script>" not in mail.text
        assert mail.headers["content-security-policy"].startswith("sandbox")
        assert client.post("/signups", content=b"{").status_code == 422
        assert client.get("/mail/nothing").status_code == 404

    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)


def until_contains(client: httpx2.Client, text: str) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        page = client.get("/").text
        if text in page:
            return page
        time.sleep(0.05)
    raise AssertionError(f"{text!r} did not appear")
