"""A module that holds one saga."""

from __future__ import annotations

from undercroft.resilience import CompensationContext, Saga, SagaContext


async def reserve(ctx: SagaContext) -> str:
    return "reserved"


async def unreserve(ctx: CompensationContext) -> None:
    assert ctx.result == "reserved"


async def charge(ctx: SagaContext) -> None:
    if ctx.data["fail"]:
        raise ValueError("no money")


ORDER = Saga("tests.order").step("reserve", reserve, compensate=unreserve).step("charge", charge)
