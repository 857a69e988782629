"""What it costs to watch: counts, lines, spans, and all of them around a request."""

from bench._frame import ROOT, Group, Peer, Script, Work
from bench._goal import Goal, Limit

SPANS = [
    Work(
        name="one span, start to end",
        unit="us",
        ours=Script("observability/span_undercroft.py"),
        peers={
            "OpenTelemetry SDK": Peer(Script("observability/span_opentelemetry.py"), ["opentelemetry-sdk>=1.30"]),
        },
        goal=Goal("<=", 0.5, "OpenTelemetry SDK"),
        better="lower",
        settings={"span": "as a context manager, three attributes, one processor that does nothing"},
    )
]


def _line(*arguments: str) -> Script:
    return Script("observability/log_undercroft.py", arguments)


_LINE_PEERS = {
    "structlog": Peer(Script("observability/log_structlog.py"), ["structlog>=26.1", "orjson>=3.11"]),
    "loguru": Peer(Script("observability/log_loguru.py"), ["loguru>=0.7.3", "orjson>=3.11"]),
    "python-json-logger": Peer(
        Script("observability/log_python_json_logger.py"), ["python-json-logger>=4.2", "orjson>=3.11"]
    ),
}
_LINE = {
    "line": "timestamp, level, logger, message, five fields; 175 bytes",
    "peers": "each with orjson, as fast as its documentation says; none looks for secrets",
}

LINES = [
    Work(
        name="one JSON line, nothing redacted",
        unit="us",
        ours=_line("plain", "memory"),
        peers=_LINE_PEERS,
        goal=Goal("<=", 1, "fastest"),
        better="lower",
        settings={**_LINE, "output": "memory, in the thread that logs"},
    ),
    Work(
        name="one JSON line, redacted",
        unit="us",
        ours=_line("redacted", "memory"),
        peers={"undercroft, nothing redacted": Peer(_line("plain", "memory"), ["-e", str(ROOT)]), **_LINE_PEERS},
        goal=Goal("<=", 1.5, "undercroft, nothing redacted"),
        better="lower",
        settings={**_LINE, "output": "memory, in the thread that logs"},
    ),
    Work(
        name="one JSON line, redacted, two new texts in each",
        unit="us",
        ours=_line("redacted", "distinct"),
        peers={"undercroft, nothing redacted": Peer(_line("plain", "distinct"), ["-e", str(ROOT)])},
        goal=Goal("<=", 1.5, "undercroft, nothing redacted"),
        better="lower",
        settings={**_LINE, "output": "memory, in the thread that logs"},
    ),
    Work(
        name="what a call waits for one JSON line, redacted",
        unit="us",
        ours=_line("redacted", "caller"),
        peers=_LINE_PEERS,
        goal=Goal("<=", 1, "fastest"),
        better="lower",
        settings={
            **_LINE,
            "output": "ours: a file, by the thread that writes; the peers: memory, in the thread that logs",
        },
    ),
]


def _increment(name: str, mode: str, way: str, **settings: object) -> Work:
    return Work(
        name=name,
        unit="ns",
        ours=Script("observability/increment_undercroft.py", [mode, way]),
        peers={
            "prometheus_client": Peer(
                Script("observability/increment_prometheus_client.py", [mode, way]), ["prometheus-client>=0.26"]
            )
        },
        goal=Goal("<=", 0.5, "prometheus_client"),
        better="lower",
        settings=settings,
    )


_MEMORY = {"kept": "in the memory of the process"}
_SHARED = {
    "kept": "in a memory-mapped file; ours: attached to a directory; prometheus_client: its multiprocess mode",
}

COUNTS = [
    _increment("one increment, two labels", "memory", "name", **_MEMORY, theirs="labels by position"),
    _increment("one increment, two labels, many processes", "shared", "name", **_SHARED, theirs="labels by position"),
    _increment("one increment of a declared counter", "memory", "declared", **_MEMORY, labels="by name, both"),
    _increment("the same, many processes", "shared", "declared", **_SHARED, labels="by name, both"),
    Work(
        name="/metrics of 64 processes, 2 000 series each",
        unit="ms",
        ours=Script("observability/scrape.py", ["undercroft"]),
        peers={
            "prometheus_client": Peer(
                Script("observability/scrape.py", ["prometheus_client"]), ["prometheus-client>=0.26"]
            ),
        },
        goal=Limit("<=", 50),
        better="lower",
        settings={
            "format": "Prometheus text",
            "prometheus_client": "its multiprocess mode, a collector for each scrape",
        },
    ),
]


def _request(which: str) -> Script:
    return Script("spine/middleware.py", [which])


REQUESTS = [
    Work(
        name=name,
        unit="us",
        ours=_request(which),
        peers={
            "bare ASGI": Peer(_request("bare")),
            "BaseHTTPMiddleware": Peer(_request("starlette"), ["starlette>=1.0", "httpx2"]),
        },
        better="lower",
        settings={
            "called": "directly, no server",
            "log lines": "one JSON line a request into memory",
            "BaseHTTPMiddleware": "a request id and one line by the standard library; no metrics, no span",
        },
    )
    for name, which in (
        ("one request: lines, names, metrics", "undercroft"),
        ("one request: lines, names, metrics, a span that is kept", "traced"),
    )
]

GROUP = Group("observability", [*COUNTS, *LINES, *SPANS, *REQUESTS])
