"""Several policies around one call."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, cast

from undercroft.resilience._errors import PolicyError
from undercroft.resilience._policy import Decorating, P, Policy, T


class Pipeline(Decorating):
    """Several policies as one, the outermost first. Immutable; lives and is shared as its policies are.

        payments = Pipeline(
            Timeout("5s"),                       # of everything, retries and waits included
            Retry(attempts=3),                   # each attempt goes through all that follows
            CircuitBreaker("payments"),
            Bulkhead(20),
            Timeout("1s"),                       # of each attempt
        )
        await payments.call(client.charge, order)

    Anything with `async def call(fn, *args, **kwargs)` is a policy, a pipeline too. A `Fallback`'s answer is taken to
    be of the type that the function returns.

    Raises:
        PolicyError: One of them is no policy.
    """

    def __init__(self, *policies: Policy) -> None:
        for policy in policies:
            if isinstance(policy, type) or not callable(getattr(policy, "call", None)):
                raise PolicyError(
                    f"{policy!r} is not a policy: it has no `call`",
                    hint="give instances, such as Retry(), or an object with `async def call(fn, *args, **kwargs)`",
                )
        self.policies = policies

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(map(repr, self.policies))})"

    async def call(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` under all policies."""
        call: Callable[..., Awaitable[Any]] = fn
        for policy in reversed(self.policies):
            call = functools.partial(policy.call, call)
        return cast("T", await call(*args, **kwargs))
