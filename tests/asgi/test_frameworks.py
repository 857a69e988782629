"""The same promises under every framework, over a real socket."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import websockets.exceptions
import websockets.sync.client

from tests.asgi._apps import FRAMEWORKS, LARGE, Gate, note
from tests.asgi._calls import LogLines, captured_lines
from tests.asgi._server import Server, client_of, served
from undercroft import Infra
from undercroft._core.ids import is_id
from undercroft.queue import JobRecord

TRACE = "12345678901234567890123456789012"


@dataclass(slots=True)
class Shop:
    """A running application, and what it stands on."""

    framework: str
    infra: Infra
    server: Server
    client: httpx2.Client
    lines: LogLines

    def job(self, job_id: str) -> JobRecord:
        record = self.server.run(self.infra.queue.get_job(job_id))
        assert record is not None
        return record

    def websocket(self, query: str = "") -> websockets.sync.client.ClientConnection:
        headers = {"x-request-id": f"socket-{query or 'plain'}"}
        return websockets.sync.client.connect(
            f"ws://{self.server.address}/ws?{query}", additional_headers=headers, proxy=None
        )


@pytest.fixture(scope="module", params=FRAMEWORKS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    infra = Infra(environ={}, home=tmp_path_factory.mktemp("home"), env="production", jobs=[note])
    with captured_lines() as lines, served(FRAMEWORKS[request.param](infra)) as server, client_of(server) as client:
        yield Shop(request.param, infra, server, client, lines)
    assert not infra.is_open


def is_litestar(shop: Shop) -> bool:
    return shop.framework.startswith("litestar")


def test_startup_opens_it(shop: Shop) -> None:
    assert shop.infra.is_open
    assert shop.client.get("/readyz").json() == {"status": "healthy"}


@pytest.mark.parametrize("path", ["/act", "/thread"])
def test_handlers_act_on_it(shop: Shop, path: str) -> None:
    request_id = f"handler-{path[1:]}"
    answer = shop.client.get(
        path, headers={"x-request-id": request_id, "traceparent": f"00-{TRACE}-1234567890123456-01"}
    )
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, request_id)
    job = shop.job(answer.json()["job"])
    assert (job.request_id, str(job.carrier)[3:35]) == (request_id, TRACE)
    inbox = Path(shop.infra.settings.home.value, "inbox")
    (mail,) = inbox.rglob(f"*{answer.json()['email']}*.json")
    assert json.loads(mail.read_text())["request_id"] == request_id


def test_background_tasks_act_on_it(shop: Shop) -> None:
    answer = shop.client.get("/background", headers={"x-request-id": "in-background"})
    assert answer.status_code == 200
    (access,) = shop.lines.wait_for(lambda: shop.lines.of("in-background"))
    assert access["level"] == "info"
    enqueued = [
        line for line in shop.lines.all if line["message"] == "job enqueued" and line["request_id"] == "in-background"
    ]
    assert len(enqueued) == 1


def test_a_request_gets_an_id_and_one_access_line(shop: Shop) -> None:
    answer = shop.client.get("/act?secret=in-the-query")
    request_id = answer.headers["x-request-id"]
    assert is_id(request_id)
    (line,) = shop.lines.wait_for(lambda: shop.lines.of(request_id))
    assert (line["level"], line["method"], line["path"], line["status"]) == ("info", "GET", "/act", 200)
    assert "in-the-query" not in str(line)


def test_a_hostile_id_is_replaced(shop: Shop) -> None:
    answer = shop.client.get("/act", headers={"x-request-id": "x" * 129})
    assert is_id(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("how", "status", "level", "retry_after", "detail"),
    [
        ("invalid", 422, "info", None, "order: Expected `int`, got `str` - at `$[...]`"),
        ("unavailable", 503, "error", "7", None),
        ("misuse", 500, "error", None, None),
    ],
)
def test_errors_of_ours_become_problems(
    shop: Shop, how: str, status: int, level: str, retry_after: str | None, detail: str | None
) -> None:
    answer = shop.client.get(f"/fail/{how}", headers={"x-request-id": f"failing-{how}"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers.get("retry-after") == retry_after
    assert (answer.json()["status"], answer.json()["request_id"]) == (status, f"failing-{how}")
    assert answer.json().get("detail") == detail
    assert "db.internal.example" not in answer.text
    (line,) = shop.lines.wait_for(lambda: shop.lines.of(f"failing-{how}"))
    assert (line["level"], line["status"]) == (level, status)


def test_errors_of_ours_on_our_side_are_logged_with_their_stack(shop: Shop) -> None:
    shop.client.get("/fail/misuse", headers={"x-request-id": "stack"})
    shop.lines.wait_for(lambda: shop.lines.of("stack"))
    told = [line for line in shop.lines.all if line.get("request_id") == "stack" and "error" in line]
    assert [line["error"]["type"] for line in told] == ["ConfigError"]
    assert "in misuse" in told[0]["error"]["stack"]


def test_foreign_errors_get_the_frameworks_500(shop: Shop) -> None:
    answer = shop.client.get("/fail/foreign", headers={"x-request-id": "foreign"})
    assert answer.status_code == 500
    assert "Internal Server Error" in answer.text
    assert "db.internal.example" not in answer.text
    (line,) = shop.lines.wait_for(lambda: shop.lines.of("foreign"))
    assert (line["level"], line["status"], line["error_type"]) == ("error", 500, "RuntimeError")
    told_by = "undercroft.access" if is_litestar(shop) else "uvicorn.error"  # Litestar lets no error through to servers
    told = [line for line in shop.lines.all if line["logger"] == told_by and "error" in line]
    assert any("in foreign" in line["error"]["stack"] for line in told)


def test_a_500_on_purpose_is_delivered(shop: Shop) -> None:
    answer = shop.client.get("/on-purpose")
    assert (answer.status_code, answer.json(), answer.headers["x-mine"]) == (500, {"mine": True}, "1")
    assert is_id(answer.headers["x-request-id"])


def test_a_large_500_on_purpose_is_delivered(shop: Shop) -> None:
    answer = shop.client.get("/large")
    assert (answer.status_code, answer.text) == (500, LARGE)


@pytest.mark.parametrize("status", [200, 500])
def test_a_streamed_answer_arrives_as_it_is_written(shop: Shop, status: int) -> None:
    Gate.opened.clear()
    with shop.client.stream("GET", f"/stream/{status}") as answer:
        pieces = answer.iter_raw()
        assert (answer.status_code, next(pieces)) == (status, b"first")
        Gate.opened.set()
        assert b"".join(pieces) == b"second"


def test_a_client_that_goes_away_is_one_line_and_no_error(shop: Shop) -> None:
    host, _, port = shop.server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nhost: shop\r\nx-request-id: gone\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    (line,) = shop.lines.wait_for(lambda: shop.lines.of("gone"))
    assert (line["status"], line["level"]) == (200, "info")
    assert shop.client.get("/act").status_code == 200


def test_head_is_answered_without_a_body(shop: Shop) -> None:
    answer = shop.client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert shop.client.get("/livez").status_code == 200  # over the same connection


def test_health_tells_strangers_no_messages(shop: Shop) -> None:
    shop.infra.health.register("search", unreachable, critical=False)
    try:
        answer = shop.client.get("/health")
    finally:
        shop.infra.health.remove("search")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["search"]["status"] == "unhealthy"
    assert "db.internal.example" not in answer.text


def unreachable() -> None:
    raise OSError("db.internal.example refused")


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("POST", "/health")])
def test_what_the_application_does_not_know_is_its_own_404(shop: Shop, method: str, path: str) -> None:
    answer = shop.client.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] != "application/problem+json"


# Websockets


def test_a_websocket_acts_on_it(shop: Shop) -> None:
    with shop.websocket() as connection:
        said = json.loads(connection.recv(timeout=5))
        assert connection.response is not None
        assert connection.response.headers["x-request-id"] == said["request_id"] == "socket-plain"
    assert shop.job(said["job"]).request_id == "socket-plain"
    (line,) = shop.lines.wait_for(lambda: shop.lines.of("socket-plain"))
    assert (line["method"], line["path"], line["status"], line["level"]) == ("WEBSOCKET", "/ws", 101, "info")


def test_a_websocket_that_is_refused_is_one_line(shop: Shop) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        shop.websocket("how=refuse")
    assert caught.value.response.status_code == 403
    (line,) = shop.lines.wait_for(lambda: shop.lines.of("socket-how=refuse"))
    assert (line["status"], line["level"]) == (403, "info")


def test_a_websocket_that_breaks_is_one_line(shop: Shop) -> None:
    with shop.websocket("how=fail") as connection, pytest.raises(websockets.exceptions.ConnectionClosedError):
        connection.recv(timeout=5)
    (line,) = shop.lines.wait_for(lambda: shop.lines.of("socket-how=fail"))
    assert (line["status"], line["level"], line["error_type"]) == (101, "error", "RuntimeError")
