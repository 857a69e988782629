"""The process that `undercroft dev` starts, and starts anew for each change: `python -m undercroft.cli._dev_child`.

Its arguments are for the supervisor only: the options as JSON, the listening socket's descriptor, the parent's pid.
"""

from __future__ import annotations

import signal
import socket
import sys

from undercroft.cli._dev_options import DevOptions
from undercroft.cli._report import RunOptions, reported
from undercroft.cli._signals import StopRequests, end_on_signals


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM."""
    # A terminal's Ctrl-C goes to the supervisor and to us; it tells us, once, by SIGTERM. Two would mean: force.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_on_signals((signal.SIGTERM,))
    options = DevOptions.from_json(arguments[0])

    def action() -> int:
        from undercroft.cli._serve import serve

        listener = socket.socket(fileno=int(arguments[1]))
        return serve(options, listener, StopRequests((signal.SIGTERM,)), parent_pid=int(arguments[2]))

    return reported(action, RunOptions(debug=options.debug))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
