"""Measure undercroft against named peers, in one run, as ratios.

    python -m bench --list
    python -m bench spine --json

A *group* is one file in `bench/groups/` with a `GROUP`; it has *works*. A work is something to do, with one script that
does it with undercroft and one for each peer. Every script runs in a virtual environment of its own, in turns with the
others, several rounds; medians are compared, and a *goal* says what was promised. Nothing is left out: a peer that
cannot run is `null`, with the reason.

To add a work: write its scripts in `bench/scripts/<group>/`, and a `Work` in `bench/groups/<group>.py`. A script is a
plain program that prints one line of JSON as its last: `{"value": 12.5, "settings": {"jobs": 10000}}`. It runs in an
empty directory; `BENCH_QUICK=1` asks for the least work that still exercises it.
"""
