"""The connection to Google Pub/Sub, and its options. Imported by `google.py` only."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from undercroft._core.extras import require_module

ENDPOINT = "pubsub.googleapis.com:443"


class Options(msgspec.Struct, frozen=True):
    """The options of `pubsub://project`."""

    emulator: str | None = None
    """`host:port` of an emulator: no TLS, no credentials."""
    call_timeout_s: float = 10.0
    """Deadline of each call."""
    keepalive_s: float = 30.0
    """A connection is asked for a sign of life this often. Google's servers refuse to be asked much more often."""
    keepalive_timeout_s: float = 10.0
    """One that gives none for so long is given up: a half-open connection looks silent, not broken."""


async def open_channel(options: Options) -> Any:
    """Return a `grpc.aio` channel, which connects on first use."""
    grpc_aio: Any = require("grpc.aio")
    if options.emulator:
        return grpc_aio.insecure_channel(options.emulator, options=_grpc_options(options))
    transports: Any = require("google.pubsub_v1.services.publisher.transports")
    auth: Any = require("google.auth")
    transport: Any = transports.PublisherGrpcAsyncIOTransport
    # Looks into files, and asks the metadata server on Google Cloud: not on the event loop.
    credentials, _ = await anyio.to_thread.run_sync(lambda: auth.default(scopes=transport.AUTH_SCOPES))
    return transport.create_channel(ENDPOINT, credentials=credentials, options=_grpc_options(options))


def require(module: str) -> Any:
    """Import a module of the `pubsub` extra."""
    return require_module(module, extra="pubsub", needed_for="pubsub://")


def _grpc_options(options: Options) -> list[tuple[str, int]]:
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_metadata_size", 4 * 1024 * 1024),
        ("grpc.keepalive_time_ms", int(options.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout_s * 1000)),
        # What really ends a connection whose pings get no answer; a minute by default, whatever the line above says.
        ("grpc.http2.ping_timeout_ms", int(options.keepalive_timeout_s * 1000)),
        # Without this grpc stops asking after two pings, as long as we have nothing to say: just when it matters.
        ("grpc.http2.max_pings_without_data", 0),
        # grpc waits up to two minutes before it connects again, which is how long a restarted server would be missed.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 2000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.enable_retries", 0),
    ]
