"""`undercroft limits`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from undercroft.cli._on_queue import shown_age, shown_instant
from undercroft.cli._on_store import on_store
from undercroft.cli._options import app_argument, debug_option, dry_run_option, json_option, limit_option
from undercroft.cli._output import print_json, print_table

if TYPE_CHECKING:
    from undercroft.ratelimit import Decision, LimitedKey, RateLimits

T = TypeVar("T")
_policy = click.argument("policy", metavar="POLICY")
_key = click.argument("key", metavar="KEY")
_tier = click.option("--tier", metavar="TIER", help="The limits of this tier.")


@click.group()
def limits() -> None:
    """Look at the rate limits, and forget what one has counted."""


@limits.command("list", short_help="List who is refused now.")
@app_argument
@click.argument("policy", metavar="[POLICY]", required=False)
@limit_option
@json_option
@debug_option
def list_(*, app: str, policy: str | None, limit: int, as_json: bool) -> None:
    """List the keys that are refused now, those that must wait longest first; of POLICY, or of all."""
    keys = _on_limits(app, lambda opened: opened.limited(policy, limit=limit), as_json=as_json)
    if as_json:
        print_json(keys)
    else:
        print_table(("policy", "key", "refused", "since", "until"), [_row(key) for key in keys])


def _row(key: LimitedKey) -> tuple[str, ...]:
    return (key.policy, key.key, str(key.refusals), shown_instant(key.since), shown_instant(key.until))


@limits.command(short_help="Print what KEY has left.")
@app_argument
@_policy
@_key
@_tier
@json_option
@debug_option
def show(*, app: str, policy: str, key: str, tier: str | None, as_json: bool) -> None:
    """Print what each limit of POLICY has left for KEY, and whether a call would go through now. Counts nothing."""
    decision = _on_limits(app, lambda opened: _peeked(opened, policy, key, tier), as_json=as_json)
    if as_json:
        print_json({**_document(decision), "limits": [_document(each) for each in decision.decisions or (decision,)]})
        return
    headers = ("limit", "allows", "left", "now", "all of it in", "next in")
    print_table(headers, [_decision_row(each) for each in decision.decisions or (decision,)])


async def _peeked(opened: RateLimits, policy: str, key: str, tier: str | None) -> Decision:
    await opened.ping()  # or a store that is away would look like an answer
    return await opened.peek(policy, key, tier=tier)


def _document(decision: Decision) -> dict[str, Any]:
    return {
        "policy": decision.policy,
        "limit_name": decision.limit_name,
        "allowed": decision.retry_after == 0,
        "limit": decision.limit,
        "remaining": decision.remaining,
        "window_s": decision.window,
        "reset_after_s": decision.reset_after,
        "retry_after_s": decision.retry_after,
        "is_dry_run": decision.is_dry_run,
    }


def _decision_row(decision: Decision) -> tuple[str, ...]:
    now = "refused" if decision.retry_after else "allowed"
    if decision.retry_after and decision.is_dry_run:
        now = "refused, dry run"
    return (
        decision.limit_name or decision.policy,
        str(decision.limit),
        str(decision.remaining),
        now,
        shown_age(decision.reset_after),
        shown_age(decision.retry_after) if decision.retry_after else "-",
    )


@limits.command(short_help="Forget what POLICY has counted for KEY.")
@app_argument
@_policy
@_key
@dry_run_option
@debug_option
def reset(*, app: str, policy: str, key: str, dry_run: bool) -> None:
    """Forget all that POLICY has counted for KEY, in every tier. Processes that refuse KEY by themselves follow within
    a second."""

    async def act(opened: RateLimits) -> None:
        if not dry_run:
            await opened.reset(policy, key)
            return
        await opened.limited(policy, limit=1)  # raises as the reset would

    _on_limits(app, act)
    click.echo(f"{'would reset' if dry_run else 'reset'} {policy} for {key}")


def _on_limits(app: str, action: Callable[[RateLimits], Awaitable[T]], *, as_json: bool = False) -> T:
    return on_store(app, "limits", action, as_json=as_json)
