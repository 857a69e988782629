"""What one request costs under a middleware, in microseconds: `middleware.py bare|undercroft|traced|starlette`.

The application answers 200 with two bytes and is called directly, without a server or a socket.

- `undercroft`: `InfraMiddleware` as in production: binding, request id, trace, `x-request-id`, metrics in the file that
  the machine's processes share, and the access line as JSON.
- `traced`: the same as in development: besides, each request is a span, and spans are kept in the recent store.
- `starlette`: what people write by hand: `BaseHTTPMiddleware` that sets a context variable and `x-request-id`, and
  writes one line through the standard library's logging.
"""

import asyncio
import io
import json
import os
import sys
import tempfile
import time
from functools import partial
from typing import Any

REQUESTS = 500 if os.environ.get("BENCH_QUICK") else 20_000
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
BODY = {"type": "http.response.body", "body": b"ok"}
SCOPE = {"type": "http", "method": "GET", "path": "/orders/7", "query_string": b"", "headers": [(b"host", b"x")]}


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None: ...


async def timed(served: Any) -> float:
    for _ in range(REQUESTS // 10):
        await served(dict(SCOPE), receive, send)
    start = time.perf_counter()
    for _ in range(REQUESTS):
        await served(dict(SCOPE), receive, send)
    return (time.perf_counter() - start) / REQUESTS * 1e6


async def undercroft(env: str) -> float:
    from undercroft import Infra
    from undercroft.asgi import InfraMiddleware
    from undercroft.logging import setup_logging

    with tempfile.TemporaryDirectory() as home, setup_logging(level="info", format="json", stream=io.StringIO()):
        infra = Infra(home=home, environ={}, env=env)
        async with infra:
            return await timed(InfraMiddleware(app, infra))


async def starlette() -> float:
    import logging
    import uuid
    from contextvars import ContextVar

    from starlette.middleware.base import BaseHTTPMiddleware

    logging.basicConfig(level="INFO", stream=io.StringIO())
    request_id: ContextVar[str] = ContextVar("request_id")

    class Middleware(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            request_id.set(str(uuid.uuid4()))
            start = time.perf_counter()
            response = await call_next(request)
            response.headers["x-request-id"] = request_id.get()
            took = (time.perf_counter() - start) * 1000
            logging.info("%s %s %s %.1f", request.method, request.url.path, response.status_code, took)
            return response

    return await timed(Middleware(app))


WAYS = {
    "bare": partial(timed, app),
    "undercroft": partial(undercroft, "production"),
    "traced": partial(undercroft, "development"),
    "starlette": starlette,
}
print(json.dumps({"value": asyncio.run(WAYS[sys.argv[1]]()), "settings": {"requests": REQUESTS}}))
