"""Errors by what they are, alerts on metrics, incidents, and how long operations take."""
