"""An application that was made at import, served by its framework's test client again and again."""

from collections.abc import Callable
from typing import Any

import pytest
from litestar.testing import TestClient as LitestarClient
from starlette.testclient import TestClient as StarletteClient

from tests.asgi._apps import FRAMEWORKS, note
from undercroft import Infra
from undercroft.asgi import ASGIApp

CLIENTS: dict[str, Callable[[Any], Any]] = {
    "starlette, wrapped": StarletteClient,
    "fastapi, added": StarletteClient,
    "litestar, wrapped": LitestarClient,
}


@pytest.mark.parametrize("framework", CLIENTS)
def test_each_test_opens_and_closes_it(framework: str, closed: Infra) -> None:
    infra = closed.override(jobs=[note])
    app: ASGIApp = FRAMEWORKS[framework](infra)
    for _ in range(3):  # each in an event loop of its own
        with CLIENTS[framework](app) as client:
            assert infra.is_open
            answer = client.get("/act", headers={"x-request-id": "mine"})
            assert (answer.status_code, answer.json()["request_id"]) == (200, "mine")
        assert not infra.is_open
