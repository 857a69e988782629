"""The result, for people."""

from __future__ import annotations

from undercroft.demo._drive import Result


def as_table(result: Result) -> str:
    """Return the result as lines of at most 80 columns."""
    jobs, followed = result.jobs, result.followed
    rows = [
        ("sign-ups over HTTP", f"{result.signups} accepted, {result.rejected} refused (malformed address, 422)"),
        ("jobs", f"{jobs.completed} completed, {jobs.failed} failed, {jobs.lost} lost"),
        ("a handler that failed", f"{jobs.retried} job retried until it succeeded"),
        ("a worker killed (SIGKILL)", f"{jobs.recovered_after_kill} job taken over by another worker"),
        ("emails in the inbox", str(result.emails)),
        ("one request followed", f"{followed.log_lines} log lines of request {followed.request_id}"),
        ("", f"its job   {followed.job_id}"),
        ("", f"its email {followed.email_id}"),
        ("its story", f"{followed.spans} spans; `undercroft trace` shows them"),
        ("health", result.health),
        ("backends", ", ".join(f"{part}: {backend}" for part, backend in result.backends.items())),
        ("time", f"{result.seconds} s"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
