"""A Google Pub/Sub server in this process, for tests: gRPC on the loopback, on Google's own generated types.

    with PubSubServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)     # for Google's clients, and for ours
        ...
        server.fail_next(3)                                         # three publishes are refused as unavailable
        server.stop(); server.start()                               # a restart: same port, nothing forgotten

It keeps Pub/Sub's rules where they hurt: ack deadlines, retry backoff, dead letters counted, ordering keys, limits that
the real server has. Times are real ones, unless `speed` makes them shorter. It is no server for production: what it
holds is in memory, and it lets everybody in. Needs the extra `pubsub`.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from undercroft._core.errors import NotOpenError
from undercroft._core.extras import require_module
from undercroft.testing._scaled_clock import ScaledClock

__all__ = ["PubSubServer", "ScaledClock"]

_THREADS = 128
"""Each open stream keeps one."""
_PUBLISHER = {
    "CreateTopic": ("Topic", "Topic", "create_topic"),
    "GetTopic": ("GetTopicRequest", "Topic", "get_topic"),
    "ListTopics": ("ListTopicsRequest", "ListTopicsResponse", "list_topics"),
    "DeleteTopic": ("DeleteTopicRequest", None, "delete_topic"),
    "Publish": ("PublishRequest", "PublishResponse", "publish"),
}
_SUBSCRIBER = {
    "CreateSubscription": ("Subscription", "Subscription", "create_subscription"),
    "GetSubscription": ("GetSubscriptionRequest", "Subscription", "get_subscription"),
    "UpdateSubscription": ("UpdateSubscriptionRequest", "Subscription", "update_subscription"),
    "DeleteSubscription": ("DeleteSubscriptionRequest", None, "delete_subscription"),
    "Pull": ("PullRequest", "PullResponse", "pull"),
    "Acknowledge": ("AcknowledgeRequest", None, "acknowledge"),
    "ModifyAckDeadline": ("ModifyAckDeadlineRequest", None, "modify_ack_deadline"),
}


class PubSubServer:
    """A Pub/Sub server. Started by `start()` or `with`, stopped by `stop()`; what it holds lives as long as the object.

    Args:
        speed: How many of the server's seconds pass in one of ours: at 10, an ack deadline of 10 seconds ends after
            one. A client that extends leases needs a `ScaledClock` of the same speed.
    """

    def __init__(self, *, speed: float = 1.0) -> None:
        self._grpc: Any = require_module("grpc", extra="pubsub", needed_for="PubSubServer")
        require_module("google.pubsub_v1.types", extra="pubsub", needed_for="PubSubServer")
        service: Any = require_module("undercroft.testing._pubsub_service", extra="pubsub", needed_for="PubSubServer")
        self._service = service.Service(ScaledClock(speed))
        self._server: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Its port; the same after a restart.

        Raises:
            NotOpenError: It was never started.
        """
        if not self._port:
            raise NotOpenError("this PubSubServer was never started", hint="with PubSubServer() as server: …")
        return self._port

    @property
    def host(self) -> str:
        """`127.0.0.1:port`, for `PUBSUB_EMULATOR_HOST`."""
        return f"127.0.0.1:{self.port}"

    def url(self, project: str = "test") -> str:
        """Return the URL that `open_engine` takes."""
        return f"pubsub://{project}?emulator={self.host}"

    def start(self) -> Self:
        """Listen, on the same port as before if there was one. Does nothing when it is started."""
        if self._server is None:
            self._service.is_stopping = False
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="pubsub-server")
            self._server = self._bound(self._pool)
            self._server.start()
        return self

    def stop(self) -> None:
        """Cut every connection and stop listening. Messages, topics and leases stay. Stopping twice is no error."""
        if self._server is not None and self._pool is not None:
            self._service.is_stopping = True
            self._service.notify()
            self._server.stop(None).wait()
            self._server = None
            self._service.notify()
            self._pool.shutdown(wait=True)

    def fail_next(
        self, count: int = 1, *, status: str = "UNAVAILABLE", method: str = "Publish", after: bool = False
    ) -> None:
        """Answer the next `count` calls of a method with a status.

        Args:
            status: gRPC's name of it: `UNAVAILABLE`, `PERMISSION_DENIED`, ….
            after: Do what was asked first, as if only the answer were lost.
        """
        self._service.add_faults(method, count, status, after=after)

    def end_streams(self) -> None:
        """End every open stream as unavailable, as the real server does from time to time."""
        self._service.end_streams()

    def calls(self, method: str) -> int:
        """Return how often a method was called."""
        return int(self._service.calls[method])

    def topics(self) -> list[str]:
        """Return the topics' paths, sorted."""
        with self._service.changed:
            return sorted(self._service.broker.topics)

    def waiting(self, subscription: str, *, project: str = "test") -> int:
        """Return how many messages a subscription holds that are not out with anybody."""
        return self._counted(subscription, project)[0]

    def leased(self, subscription: str, *, project: str = "test") -> int:
        """Return how many of its messages are out: delivered, and not settled."""
        return self._counted(subscription, project)[1]

    def _counted(self, subscription: str, project: str) -> tuple[int, int]:
        with self._service.changed:
            self._service.broker.expire()
            backlog = self._service.broker.backlogs[f"projects/{project}/subscriptions/{subscription}"]
            return backlog.waiting, backlog.leased

    def _bound(self, pool: ThreadPoolExecutor) -> Any:
        # Without so_reuseport another server could share the port; pings are allowed as often as a test likes.
        options = [("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", 10),
                   ("grpc.http2.max_ping_strikes", 0), ("grpc.max_receive_message_length", -1)]  # fmt: skip
        deadline = time.monotonic() + 5.0
        while True:
            server = self._grpc.server(pool, options=options)
            server.add_generic_rpc_handlers(self._handlers())
            try:
                self._port = server.add_insecure_port(f"127.0.0.1:{self._port}")
            except RuntimeError:
                server.stop(None)
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # a restart: the system may not have let go of the port yet
            else:
                return server

    def _handlers(self) -> tuple[Any, Any]:
        subscriber = {name: self._unary(name, *what) for name, what in _SUBSCRIBER.items()}
        types = require_module("google.pubsub_v1.types", extra="pubsub", needed_for="PubSubServer")
        subscriber["StreamingPull"] = self._grpc.stream_stream_rpc_method_handler(
            self._service.streaming_pull,
            request_deserializer=types.StreamingPullRequest.pb().FromString,
            response_serializer=types.StreamingPullResponse.pb().SerializeToString,
        )
        publisher = {name: self._unary(name, *what) for name, what in _PUBLISHER.items()}
        make = self._grpc.method_handlers_generic_handler
        return make("google.pubsub.v1.Publisher", publisher), make("google.pubsub.v1.Subscriber", subscriber)

    def _unary(self, method: str, request: str, response: str | None, attribute: str) -> Any:
        types = require_module("google.pubsub_v1.types", extra="pubsub", needed_for="PubSubServer")
        empty = require_module("google.protobuf.empty_pb2", extra="pubsub", needed_for="PubSubServer").Empty
        answer = getattr(types, response).pb() if response else empty
        return self._grpc.unary_unary_rpc_method_handler(
            self._service.guarded(method, getattr(self._service, attribute)),
            request_deserializer=getattr(types, request).pb().FromString,
            response_serializer=answer.SerializeToString,
        )
