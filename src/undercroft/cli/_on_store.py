"""How the commands on the cache, the locks, the limits, the breakers and the sagas open that part and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from undercroft.cli._output import kept_for_json

T = TypeVar("T")


def on_store(
    app: str,
    name: Literal["breakers", "cache", "limits", "locks", "sagas"],
    action: Callable[[Any], Awaitable[T]],
    *,
    as_json: bool = False,
) -> T:
    """Open that part of the Infra of `app` for one action, and return what that returns."""
    import asyncio

    from undercroft.cli._finding import load_infra

    async def run() -> T:
        async with infra.only(name) as part:
            return await action(part)

    with kept_for_json(as_json):
        infra = load_infra(app)
        return asyncio.run(run())
