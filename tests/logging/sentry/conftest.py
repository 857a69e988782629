"""What the tests of the Sentry bridge share: a bridge onto a local receiver, and the SDK as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import sentry_sdk

from tests.email._http import Answer
from tests.logging.sentry._receiver import Sentry, receiving
from undercroft.logging.sentry import SentryBridge

Reporting = Callable[..., AbstractAsyncContextManager[tuple[SentryBridge, Sentry]]]


@pytest.fixture(autouse=True)
def no_client_is_left() -> Iterator[None]:
    """Fail a test that leaves a client of the SDK behind, and forget what it left in the scopes."""
    yield
    left = sentry_sdk.get_client().is_active()
    sentry_sdk.get_global_scope().set_client(None)
    for scope in (sentry_sdk.get_global_scope(), sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()):
        scope.clear()
    assert not left


@pytest.fixture
def reporting() -> Reporting:
    """Return an open bridge and the Sentry it reports to; what was reported is there when the block has ended."""

    @asynccontextmanager
    async def report(respond: Answer | None = None, **options: Any) -> AsyncIterator[tuple[SentryBridge, Sentry]]:
        options = {"environment": "test", **options}
        async with receiving(respond) as sentry, SentryBridge(sentry.dsn, **options) as bridge:
            yield bridge, sentry

    return report
