"""`undercroft demo`."""

from __future__ import annotations

from importlib import import_module

import click

from undercroft.cli._options import debug_option


@click.command(short_help="Run the demo shop.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where the shop listens. Default: a free port.")
@click.option("--once", is_flag=True, help="Run every step once, print what happened, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print what happened as one JSON value.")
@debug_option
def demo(*, port: int | None, once: bool, as_json: bool) -> int:
    """Run the demo shop: requests, jobs, mail, and a worker that is killed at work.

    Needs the extra `demo`. Everything is in a temporary directory, and no mail leaves the machine.
    """
    code: int = import_module("undercroft.demo").main(port=port, once=once, json_output=as_json)
    return code
