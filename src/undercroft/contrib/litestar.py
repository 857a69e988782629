"""Litestar answers every exception itself and configures the root logger, so it has to be told of us.

from litestar import Litestar
from undercroft.asgi import InfraMiddleware
from undercroft.contrib.litestar import UndercroftPlugin

app = InfraMiddleware(Litestar(route_handlers=[…], plugins=[UndercroftPlugin()]), infra)
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response
from litestar.config.app import AppConfig
from litestar.exceptions import WebSocketException
from litestar.logging import LoggingConfig
from litestar.logging.config import BaseLoggingConfig
from litestar.plugins import InitPlugin

from undercroft._core.errors import UndercroftError
from undercroft.app import current
from undercroft.asgi import note_error, problem_of

__all__ = ["UndercroftPlugin"]


class UndercroftPlugin(InitPlugin):
    """Turns our errors into RFC 9457 problem documents; a handler of the application's own for them comes first.

    Tells the access line which exception a 500 of Litestar's stands for. Leaves logging to the `Infra`, unless the
    application was given a `logging_config` that says more than Litestar's default.

    Lives as long as the application, which has to be inside `InfraMiddleware`.
    """

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the exception handler and the hook."""
        handlers = dict(app_config.exception_handlers or {})
        handlers.setdefault(UndercroftError, _answer)
        app_config.exception_handlers = handlers
        app_config.after_exception.append(_note)
        _leave_logging_to_the_infra(app_config.logging_config)
        return app_config


def _answer(_: Request[Any, Any, Any], error: UndercroftError) -> Response[bytes]:
    problem = problem_of(error, show_details=not current().settings.is_production)
    headers = {key.decode(): value.decode() for key, value in problem.headers}
    media_type = headers.pop("content-type")
    return Response(problem.body, status_code=problem.status, headers=headers, media_type=media_type)


async def _note(error: Exception, scope: Any) -> None:
    if not isinstance(error, WebSocketException):  # which is how a websocket is closed, also by its client
        note_error(scope, error)


def _leave_logging_to_the_infra(config: BaseLoggingConfig | None) -> None:
    default = LoggingConfig()
    if not isinstance(config, LoggingConfig) or (config.root, config.loggers, config.handlers) != (
        default.root,
        default.loggers,
        default.handlers,
    ):
        return
    config.configure_root_logger = False
    config.loggers["litestar"] = {"level": "INFO", "handlers": [], "propagate": True}
    del config.handlers["queue_listener"]  # which has a thread, and now nobody who uses it
