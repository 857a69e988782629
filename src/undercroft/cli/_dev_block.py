"""What `undercroft dev` prints when it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft.cli._address import shown
from undercroft.cli._dev_options import DevOptions
from undercroft.cli._finding import Application

if TYPE_CHECKING:
    from undercroft.app import Infra, PartDescription


def block_of(application: Application, options: DevOptions, *, seconds: float) -> str:
    """Return the lines: where the application answers, what runs jobs and handles messages, where mail goes."""
    address = f"http://{shown(options.host, options.port)}"
    if options.is_restart:
        return _line("ready", f"{address}   after {seconds:.1f}s")
    infra = application.infra
    parts = {part.part: part for part in infra.describe()}
    queues = ", ".join(sorted({"default", *(job.options.queue for job in infra.queue.jobs.values())}))
    lines = [
        _line("app", f"{address}   reload {'on' if options.has_reload else 'off'}"),
        _line("worker", f"{_slots(infra, options)}, queues {queues}, store {_place(parts['queue'])}"),
        *_subscriptions_line(infra),
        _email_line(parts["email"]),
    ]
    if application.is_wrapped_here:
        lines.append(
            _line("note", f"{options.app} has no InfraMiddleware and was given one; a server will not do that")
        )
    return "\n".join(lines)


def _slots(infra: Infra, options: DevOptions) -> str:
    if infra.settings.runs_background:
        return f"the application's own ({infra.settings.process.origin})"
    return f"{options.concurrency} slot{'' if options.concurrency == 1 else 's'}"


def _subscriptions_line(infra: Infra) -> list[str]:
    names = ", ".join(infra.pubsub.subscriptions)
    return [_line("messages", f"subscriptions {names} ({infra.pubsub.backend})")] if names else []


def _email_line(email: PartDescription) -> str:
    if email.backend == "inbox":
        return _line("inbox", f"{_place(email)}   every mail lands here; nothing leaves this machine")
    return _line("email", f"{_place(email)}   mail leaves this machine")


def _place(part: PartDescription) -> str:
    """Return a file's path, another backend's URL with its secrets hidden, or the backend's name."""
    scheme, _, rest = part.url.partition(":///")
    path = rest.partition("?")[0]
    if scheme in ("inbox", "sqlite") and path:
        return path if scheme == "inbox" else f"{path} ({part.backend})"
    return part.url or part.backend


def _line(what: str, text: str) -> str:
    return f"  {what:9} {text}"
