"""/livez, /readyz, /startupz and /health."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.asgi._calls import Answer, LogLines, answering, call, http_scope
from undercroft import Infra
from undercroft.asgi import InfraMiddleware, Message
from undercroft.health import health_check

pytestmark = pytest.mark.anyio
TEAPOT = answering(418, b"the application")


async def ask(infra: Infra, path: str, method: str = "GET", **scope: Any) -> Answer:
    return await call(InfraMiddleware(TEAPOT, infra), http_scope(path, method, **scope))


CHECKS = [
    ("healthy", True, (200, "healthy"), (200, "healthy")),
    ("degraded", True, (200, "degraded"), (200, "degraded")),
    ("unhealthy", False, (200, "degraded"), (200, "degraded")),
    ("unhealthy", True, (503, "unhealthy"), (503, "unhealthy")),
]


@pytest.mark.parametrize(("word", "critical", "ready", "health"), CHECKS)
async def test_status_follows_the_checks(
    infra: Infra, word: str, critical: bool, ready: tuple[int, str], health: tuple[int, str]
) -> None:
    infra.health.register("search", lambda: word, critical=critical)
    answers = {path: await ask(infra, path) for path in ("/livez", "/readyz", "/health")}
    assert {path: (answer.status, answer.json["status"]) for path, answer in answers.items()} == {
        "/livez": (200, "healthy"),
        "/readyz": ready,
        "/health": health,
    }
    assert list(answers["/readyz"].json) == ["status"]
    assert list(answers["/health"].json["checks"]) == ["queue", "email", "search"]


async def test_answers_are_json_that_nobody_keeps(infra: Infra) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/health"):
        answer = await ask(infra, path)
        assert answer.header("content-type") == "application/json"
        assert answer.header("cache-control") == "no-store"
        assert int(answer.header("content-length")) == len(answer.body)


async def test_head_gets_the_same_without_a_body(infra: Infra) -> None:
    answer = await ask(infra, "/readyz", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.header("content-length")) > 0


async def test_not_open_lives_and_is_not_ready(closed: Infra) -> None:
    assert (await ask(closed, "/livez")).status == 200
    assert (await ask(closed, "/readyz")).status == 503
    assert (await ask(closed, "/startupz")).status == 503
    assert (await ask(closed, "/health")).json["status"] == "unhealthy"


async def test_it_is_not_ready_while_it_is_opening_and_closing(home: Path) -> None:
    from tests.app._transports import NotingTransport

    seen: list[int] = []

    async def look() -> None:
        seen.append((await ask(infra, "/readyz")).status)

    infra = Infra(environ={}, home=home / "state", email=NotingTransport(opening=look, closing=look))
    async with infra:
        seen.append((await ask(infra, "/readyz")).status)
    assert seen == [503, 200, 503]


@health_check("database")
def refused() -> None:
    raise OSError("db.internal.example refused")


@pytest.mark.parametrize(("env", "is_told"), [("development", True), ("test", True), ("production", False)])
async def test_messages_are_not_told_in_production(home: Path, env: str, is_told: bool) -> None:
    async with Infra(environ={}, home=home / "state", env=env, health_checks=[refused]) as infra:
        answer = await ask(infra, "/health")
    assert answer.status == 503
    assert ("db.internal.example" in json.dumps(answer.json)) is is_told
    assert answer.json["checks"]["database"]["status"] == "unhealthy"


async def test_readiness_tells_its_checks_to_who_asks(infra: Infra) -> None:
    infra.health.register("search", lambda: False, critical=False)
    assert list((await ask(infra, "/readyz")).json) == ["status"]
    answer = await ask(infra, "/readyz", query_string=b"verbose")
    assert answer.json["checks"]["search"]["status"] == "unhealthy"


async def test_startup_is_503_until_every_check_for_it_has_passed_once(infra: Infra) -> None:
    is_warm = False

    def warm() -> bool:
        return is_warm

    infra.health.register("warm", warm, groups="startup")
    assert (await ask(infra, "/startupz")).status == 503
    assert (await ask(infra, "/readyz")).status == 503
    is_warm = True
    await infra.health.run("startup")
    is_warm = False
    assert (await ask(infra, "/startupz")).status == 200
    assert (await ask(infra, "/readyz")).status == 200


async def test_the_whole_is_given_in_the_drafts_format_to_who_accepts_it(infra: Infra) -> None:
    infra.health.register("search", lambda: False, critical=False)
    accept = [("accept", "text/html;q=0.1"), ("accept", "application/health+json")]
    answer = await ask(infra, "/health", headers=accept)
    assert (answer.status, answer.json["status"]) == (200, "warn")
    assert answer.header("content-type") == "application/health+json"
    assert answer.json["checks"]["search:responseTime"][0]["status"] == "fail"
    plain = await ask(infra, "/health")
    assert plain.header("content-type") == "application/json"
    assert plain.header("vary") == answer.header("vary") == "accept"


async def test_a_burst_of_probes_runs_each_check_once(infra: Infra) -> None:
    calls = []

    async def slow() -> None:
        calls.append(1)
        await anyio.sleep(0.01)

    infra.health.register("slow", slow)
    async with anyio.create_task_group() as tasks:
        for path in ("/readyz", "/health") * 25:
            tasks.start_soon(ask, infra, path)
    assert len(calls) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_reach_the_application(infra: Infra, method: str) -> None:
    assert (await ask(infra, "/health", method)).status == 418


@pytest.mark.parametrize("path", ["/", "/healthz", "/health/", "/health/x", "/api/health", "//health", "/HEALTH"])
async def test_other_paths_reach_the_application(infra: Infra, path: str) -> None:
    answer = await ask(infra, path)
    assert (answer.status, answer.body) == (418, b"the application")


@pytest.mark.parametrize(
    ("root_path", "path", "status"),
    [
        ("/api", "/api/livez", 200),  # a server that puts the mount before the path, as ASGI 3 says
        ("/api", "/livez", 200),  # one that leaves it out
        ("/api/", "/api/livez", 200),
        ("/live", "/livez", 200),  # not a mount of this path
        ("/livez", "/livez", 200),
        ("/livez", "/livez/livez", 200),
        ("/api", "/apilivez", 418),
        ("/api", "/other/livez", 418),
    ],
)
async def test_paths_are_found_below_a_mount(infra: Infra, root_path: str, path: str, status: int) -> None:
    assert (await ask(infra, path, root_path=root_path)).status == status


async def test_they_can_be_turned_off(infra: Infra) -> None:
    answer = await call(InfraMiddleware(TEAPOT, infra, health=False), http_scope("/health"))
    assert answer.status == 418


async def test_their_access_lines_are_quiet_whatever_they_say(infra: Infra, lines: LogLines) -> None:
    infra.health.register("search", lambda: False)
    await ask(infra, "/livez")
    await ask(infra, "/readyz")
    assert [(line["level"], line["path"], line["status"]) for line in lines.access] == [
        ("debug", "/livez", 200),
        ("debug", "/readyz", 503),
    ]


async def test_their_access_lines_are_not_quiet_about_errors(infra: Infra, lines: LogLines) -> None:
    async def send(_: Message) -> None:
        raise OSError("the client is gone")

    with pytest.raises(OSError, match="gone"):
        await InfraMiddleware(TEAPOT, infra)(http_scope("/livez"), nothing, send)
    assert [line["level"] for line in lines.access] == ["error"]


async def nothing() -> Message:
    return {}
