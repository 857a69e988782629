"""The decision: the running server, one of our own, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests._services._own import own_server
from tests._services._server import HOST, Server, Service


class ServerMissingError(RuntimeError):
    """No such server runs here, and the machine cannot start one; the text says what it lacks."""


@contextmanager
def provide(server: Server, *, port: int | None = None) -> Iterator[Service]:
    """Give the server that runs on `port`, by default its standard one; otherwise start one for the block.

    Raises:
        ServerMissingError: Nothing runs there, and its binaries are not installed.
    """
    port = server.standard_port if port is None else port
    version = server.probe(port)
    if version is not None:
        yield Service(name=server.name, host=HOST, port=port, version=version, started_by_us=False)
        return
    lacking = server.missing()
    if lacking is not None:
        raise ServerMissingError(
            f"no {server.name} answers on {HOST}:{port}, and one cannot be started: {lacking} is not installed"
        )
    with own_server(server) as service:
        yield service


def skip_or_fail(reason: str, *, is_ci: bool) -> None:
    """Skip the test that needs the server; under CI, where a skip would go unseen, fail it."""
    if is_ci:
        pytest.fail(f"{reason} (a failure, not a skip, because CI is set)", pytrace=False)
    print(f"skipped: {reason}")
    pytest.skip(reason)


def is_ci() -> bool:
    """Tell whether the environment says that this is a CI run."""
    return os.environ.get("CI", "").lower() in {"1", "true"}
