"""Spans: what a piece of work did, when, below which other piece of work. The face is `undercroft.monitoring`."""
