"""What it costs to watch: spans."""

from bench._frame import Group, Peer, Script, Work
from bench._goal import Goal

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

GROUP = Group("observability", [*SPANS])
