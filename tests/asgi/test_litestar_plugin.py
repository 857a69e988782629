"""What Litestar is told of us, beside what the tests of all frameworks hold."""

import logging
from typing import Any

import litestar
import pytest
from litestar import Litestar
from litestar.logging import LoggingConfig

from tests.asgi._calls import LogLines, answering, call, http_scope
from undercroft import Infra, UndercroftError
from undercroft._core.errors import InvalidDataError
from undercroft.asgi import InfraMiddleware, Receive, Scope, Send, note_error
from undercroft.contrib.litestar import UndercroftPlugin

pytestmark = pytest.mark.anyio


@litestar.get("/")
async def refuse() -> None:
    raise InvalidDataError("no")


def own_answer(_: Any, error: Exception) -> litestar.Response[dict[str, str]]:
    return litestar.Response({"mine": type(error).__name__}, status_code=418)


@pytest.mark.parametrize("kind", [UndercroftError, InvalidDataError])
async def test_a_handler_of_the_application_comes_first(infra: Infra, kind: type[Exception]) -> None:
    app = Litestar([refuse], plugins=[UndercroftPlugin()], exception_handlers={kind: own_answer})
    answer = await call(InfraMiddleware(app, infra))
    assert (answer.status, answer.json) == (418, {"mine": "InvalidDataError"})


async def test_a_handler_for_everything_leaves_our_errors_to_us(infra: Infra) -> None:
    app = Litestar([refuse], plugins=[UndercroftPlugin()], exception_handlers={Exception: own_answer})
    assert (await call(InfraMiddleware(app, infra))).status == 422


def test_the_root_logger_is_left_to_the_infra() -> None:
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    app = Litestar([refuse], plugins=[UndercroftPlugin()])
    assert root.handlers == before
    assert logging.getLogger("litestar").propagate
    assert app.get_logger("shop") is logging.getLogger("shop")  # the application's own ways to log stay


def test_logging_that_the_application_has_configured_is_left_alone() -> None:
    config = LoggingConfig(root={"level": "ERROR", "handlers": ["console"]}, configure_root_logger=False)
    Litestar([refuse], plugins=[UndercroftPlugin()], logging_config=config)
    assert config.root == {"level": "ERROR", "handlers": ["console"]}
    assert "queue_listener" in config.handlers


# What the plugin is made of


async def test_an_error_that_was_noted_is_told_with_a_500(infra: Infra, lines: LogLines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note_error(scope, RuntimeError("theirs"))
        await answering(500)(scope, receive, send)

    await call(InfraMiddleware(app, infra))
    (line,) = lines.access
    assert (line["level"], line["error_type"], line["error"]["message"]) == ("error", "RuntimeError", "theirs")


async def test_an_error_that_was_noted_is_not_told_with_another_answer(infra: Infra, lines: LogLines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note_error(scope, RuntimeError("theirs"))
        await answering(409)(scope, receive, send)

    await call(InfraMiddleware(app, infra))
    (line,) = lines.access
    assert (line["level"], line["status"]) == ("info", 409)
    assert "error_type" not in line


def test_noting_an_error_outside_of_the_middleware_does_nothing() -> None:
    note_error(http_scope(), RuntimeError("theirs"))
