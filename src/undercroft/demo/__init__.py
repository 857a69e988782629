"""The demonstration: a small shop with a web server, workers, jobs and mail, driven over real HTTP.

`undercroft demo` starts it in a temporary home, signs up 25 visitors, lets a handler fail twice, kills a worker that
holds a job, sends a malformed address, and prints what happened; then it goes on serving. The shop itself is in
`undercroft.demo.shop`: read it as an example.
"""

from __future__ import annotations

__all__ = ["main"]


def main(*, port: int | None = None, once: bool = False, json_output: bool = False) -> int:
    """Run the demonstration; see `undercroft.demo._main.main`."""
    from undercroft.demo._main import main as run

    return run(port=port, once=once, json_output=json_output)
