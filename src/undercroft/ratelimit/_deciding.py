"""From the verdicts of rules to the decision that a caller sees."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from undercroft.ratelimit._plan import Plan
from undercroft.ratelimit._rules import Rule, Verdict
from undercroft.ratelimit._values import Decision, Failure


def decision_of(
    plan: Plan,
    now: int,
    verdicts: Sequence[Verdict],
    cost: int,
    token: str | None = None,
    failure: Failure | None = None,
) -> Decision:
    """Return what the verdicts come to. `now` is microseconds since the epoch."""
    if plan.single is not None:
        retry, remaining, reset = verdicts[0]
        warn_at = plan.warn_at
        return Decision(
            retry == 0 or plan.is_dry_run,
            plan.limit,
            remaining,
            reset / 1e6,
            retry / 1e6,
            plan.policy,
            plan.window_s,
            cost,
            plan.is_dry_run,
            failure,
            False,
            None if retry else token,
            warn_at is not None and plan.limit - remaining >= warn_at,
            now / 1e6,
            plan.name,
        )
    return _of_several(plan, now, verdicts, cost, token=token, failure=failure)


def _of_several(
    plan: Plan, now: int, verdicts: Sequence[Verdict], cost: int, *, token: str | None, failure: Failure | None
) -> Decision:
    decisions = tuple(
        _of_one(plan, rule, name, now, verdict, cost, failure)
        for rule, name, verdict in zip(plan.rules, plan.names, verdicts, strict=True)
    )
    tightest = max(decisions, key=_tightness)
    return replace(
        tightest,
        allowed=tightest.retry_after == 0 or plan.is_dry_run,
        token=None if tightest.retry_after else token,
        is_near_limit=any(decision.is_near_limit for decision in decisions),
        decisions=decisions,
    )


def _of_one(
    plan: Plan, rule: Rule, name: str, now: int, verdict: Verdict, cost: int, failure: Failure | None
) -> Decision:
    retry, remaining, reset = verdict
    return Decision(
        allowed=retry == 0 or plan.is_dry_run,
        limit=rule.limit,
        remaining=remaining,
        reset_after=reset / 1e6,
        retry_after=retry / 1e6,
        policy=plan.policy,
        window=rule.window_us / 1e6,
        cost=cost,
        is_dry_run=plan.is_dry_run,
        failure=failure,
        is_near_limit=rule.warn_at is not None and rule.limit - remaining >= rule.warn_at,
        decided_at_s=now / 1e6,
        limit_name=name,
    )


def _tightness(decision: Decision) -> tuple[float, int, float]:
    return decision.retry_after, -decision.remaining, decision.reset_after


def decision_without_store(plan: Plan, now_s: float, cost: int, failure: Failure, *, retry_after: float) -> Decision:
    """Return what `fail="open"` or `"closed"` comes to: nothing is known of what is left."""
    is_open = plan.fail == "open"
    return Decision(
        allowed=is_open or plan.is_dry_run,
        limit=plan.limit,
        remaining=plan.limit if is_open else 0,
        reset_after=0.0 if is_open else retry_after,
        retry_after=0.0 if is_open else retry_after,
        policy=plan.policy,
        window=plan.window_s,
        cost=cost,
        is_dry_run=plan.is_dry_run,
        failure=failure,
        is_unavailable=not is_open and not plan.is_dry_run,
        decided_at_s=now_s,
        limit_name=plan.name,
    )


def later(decision: Decision, elapsed_s: float) -> Decision:
    """Return what a refusal says `elapsed_s` after it was made, when nothing has changed since."""
    return replace(
        decision,
        retry_after=max(0.0, decision.retry_after - elapsed_s),
        reset_after=max(0.0, decision.reset_after - elapsed_s),
        decided_at_s=decision.decided_at_s + elapsed_s,
        decisions=tuple(later(one, elapsed_s) for one in decision.decisions),
    )


def warnings_of(plan: Plan, decision: Decision) -> list[Decision]:
    """Return the limits of which this call is the one that reached `warn_at`."""
    each = decision.decisions or (decision,)
    return [
        one
        for rule, one in zip(plan.rules, each, strict=True)
        if rule.warn_at is not None and one.is_near_limit and one.used - one.cost < rule.warn_at
    ]
