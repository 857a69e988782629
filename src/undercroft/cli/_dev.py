"""`undercroft dev`."""

from __future__ import annotations

from socket import socket
from typing import TYPE_CHECKING

import click

from undercroft.cli._options import app_argument, concurrency_option, debug_option
from undercroft.cli._report import RunOptions

if TYPE_CHECKING:
    from undercroft.cli._dev_options import DevOptions


@click.command(short_help="Serve APP and run its jobs, and restart on a change.")
@app_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@concurrency_option
@click.option("--no-reload", is_flag=True, help="Do not restart when a file changes.")
@debug_option
@click.pass_obj
def dev(run: RunOptions, /, *, app: str, host: str, port: int, concurrency: int, no_reload: bool) -> int:
    """Serve APP and run its jobs in one process, and restart it when a source file changes.

    Needs the extra `server`. Watched are *.py, *.md, *.html, *.toml and *.env below the current directory. SIGINT
    (Ctrl-C) or SIGTERM stops: running requests and jobs may finish for 2 seconds. A second one forces.
    """
    from undercroft._core.extras import require_module
    from undercroft.cli._address import listen
    from undercroft.cli._dev_options import DevOptions

    require_module("uvicorn", extra="server", needed_for="undercroft dev")
    with listen(host, port) as listener:
        options = DevOptions(
            app=app,
            host=host,
            port=listener.getsockname()[1],
            concurrency=concurrency,
            has_reload=not no_reload,
            debug=run.debug,
        )
        if no_reload:
            return _serve(options, listener)
        from undercroft.cli._supervisor import supervise

        return supervise(options, listener)


def _serve(options: DevOptions, listener: socket) -> int:
    from undercroft.cli._signals import StopRequests, end_on_signals

    end_on_signals()  # before the application is imported, which may take long
    from undercroft.cli._serve import serve

    return serve(options, listener, StopRequests())
