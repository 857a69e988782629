"""Google's errors in our words. Imported by `google.py` only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from undercroft.connections.pubsub._errors import (
    PubSubAuthError,
    PubSubError,
    PubSubRefusedError,
    PubSubUnavailableError,
    SubscriptionNotFoundError,
    TopicNotFoundError,
)
from undercroft.connections.pubsub._google_channel import require

_LATER = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED", "CANCELLED", "UNKNOWN", "RESOURCE_EXHAUSTED"}
_NOT_LET_IN = {"PERMISSION_DENIED", "UNAUTHENTICATED"}
_TEXT_LIMIT = 200


@contextmanager
def translated(doing: str, *, topic: str | None = None, subscription: str | None = None) -> Iterator[None]:
    """Turn what grpc, google-api-core and google-auth raise into our errors.

    Args:
        doing: For the message: `publish to 'orders'`.
        topic: What is missing, when the server says that something is.
        subscription: The same.
    """
    core, auth, grpc = require("google.api_core.exceptions"), require("google.auth.exceptions"), require("grpc")
    try:
        yield
    except core.RetryError as exc:
        raise PubSubUnavailableError(f"pubsub did not answer in time: {doing}") from exc
    except core.GoogleAPICallError as exc:
        status = exc.grpc_status_code.name if exc.grpc_status_code else "UNKNOWN"
        raise _error(status, str(exc.message), doing, topic, subscription) from exc
    except grpc.RpcError as exc:
        raise _error(exc.code().name, exc.details() or "", doing, topic, subscription) from exc
    except auth.TransportError as exc:
        raise PubSubUnavailableError(f"google's credentials could not be refreshed: {doing}") from exc
    except auth.GoogleAuthError as exc:
        raise PubSubAuthError(
            f"no usable google credentials: {doing}",
            status="UNAUTHENTICATED",
            hint="set GOOGLE_APPLICATION_CREDENTIALS, run on Google Cloud, or name an emulator",
        ) from exc
    except asyncio.CancelledError as exc:
        # grpc also raises it when the channel was closed under a call, which nobody asked this task for.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise PubSubUnavailableError(f"the connection to pubsub was closed: {doing}") from exc


def _error(status: str, text: str, doing: str, topic: str | None, subscription: str | None) -> PubSubError:
    if status == "NOT_FOUND" and topic:
        return TopicNotFoundError(
            f"the server has no topic {topic!r}: {doing}", topic=topic, hint="await pubsub.provision()"
        )
    if status == "NOT_FOUND" and subscription:
        return SubscriptionNotFoundError(
            f"the server has no subscription {subscription!r}: {doing}",
            subscription=subscription,
            hint="await pubsub.provision()",
        )
    if status in _LATER:
        return PubSubUnavailableError(
            f"pubsub did not take it ({status}): {doing}", retry_after=1.0 if status == "RESOURCE_EXHAUSTED" else None
        )
    if status in _NOT_LET_IN:
        return PubSubAuthError(
            f"pubsub does not let us in ({status}): {doing}",
            status=status,
            hint="give the service account the roles Pub/Sub Publisher, Subscriber, and Editor for provisioning",
        )
    return PubSubRefusedError(f"pubsub refused ({status}): {doing}: {text[:_TEXT_LIMIT]}", status=status)
