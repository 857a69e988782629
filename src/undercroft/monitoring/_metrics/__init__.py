"""Metrics of this process, and of those that share a directory with it. The face is `undercroft.monitoring`."""
