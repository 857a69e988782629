from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

import msgspec

from undercroft import Infra
from undercroft.resilience import (
    CompensationContext,
    CompensationReport,
    MemorySagaStore,
    Saga,
    SagaContext,
    SagaFailedError,
    SagaHandle,
    SagaInfo,
    SagaOrchestrator,
    SagaProblem,
    SagaResult,
    Sagas,
    SagaState,
    SagaStore,
    StepRetry,
)


class Order(msgspec.Struct):
    sku: str


# actions: what they are given is what the saga's schema says
async def reserve(ctx: SagaContext[Order]) -> int:
    assert_type(ctx.data, Order)
    assert_type(ctx.results, Mapping[str, Any])
    assert_type(ctx.attempt, int)
    assert_type(ctx.idempotency_key, str)
    ctx.result  # E: attr-defined
    ctx.attempt = 2  # E: misc
    return 1


async def unreserve(ctx: CompensationContext[Order]) -> None:
    assert_type(ctx.data, Order)
    assert_type(ctx.result, Any)
    assert_type(ctx.is_uncertain, bool)


async def of_text(ctx: SagaContext[str]) -> None: ...


async def without_context() -> None: ...


def not_async(ctx: SagaContext[Order]) -> int:
    return 1


typed = Saga("order", schema=Order)
assert_type(typed, Saga[Order])
assert_type(typed.step("reserve", reserve, compensate=unreserve), Saga[Order])
assert_type(typed.step("reserve", reserve, compensate=reserve), Saga[Order])
assert_type(Saga("order"), Saga[Any])
assert_type(Saga("order").step("reserve", reserve, compensate=unreserve), Saga[Any])
retried = typed.step("reserve", reserve, retry=3, compensate_retry=StepRetry(5, base="1s", on=OSError), timeout="5s")

typed.step("text", of_text)  # E: arg-type
typed.step("reserve", unreserve)  # E: arg-type
typed.step("nothing", without_context)  # E: arg-type
typed.step("plain", not_async)  # E: arg-type
typed.step("reserve", reserve, retry="3")  # E: arg-type
typed.step("reserve", reserve, compnsate=unreserve)  # E: call-arg
typed.step(reserve)  # E: call-arg, arg-type
typed.name = "other"  # E: misc
Saga()  # E: call-overload
Saga("order", schema=5)  # E: call-overload
StepRetry(3, on=KeyboardInterrupt)  # E: arg-type
StepRetry("3")  # E: arg-type


async def running() -> None:
    result = await typed.run({"sku": "A-1"}, id="order-7")
    assert_type(result, SagaResult)
    assert_type(result.state, SagaState)
    assert_type(result.error, SagaProblem | None)
    assert_type(result.compensations, tuple[CompensationReport, ...])
    assert_type(result.require_completed(), SagaResult)
    await typed.run({}, chek=False)  # E: call-arg
    try:
        await typed.run({})
    except SagaFailedError as error:
        assert_type(error.state, SagaState)
        assert_type(error.result, SagaResult)


async def stored(infra: Infra) -> None:
    assert_type(infra.sagas, Sagas)
    handle = await infra.sagas.start(typed, {"sku": "A-1"}, id="order-7")
    assert_type(handle, SagaHandle)
    assert_type(await typed.start({"sku": "A-1"}), SagaHandle)
    assert_type(await infra.sagas.start("order", {}), SagaHandle)
    assert_type(await handle.result("30s"), SagaResult)
    assert_type(await handle.state(), SagaState | None)
    assert_type(await infra.sagas.get("order-7"), SagaInfo | None)
    assert_type(await infra.sagas.require("order-7"), SagaInfo)
    assert_type(await infra.sagas.list(state="running", limit=5), tuple[SagaInfo, ...])
    assert_type(await infra.sagas.resume("order-7"), SagaHandle)
    assert_type(await infra.sagas.delete("order-7"), bool)
    await infra.sagas.start(reserve)  # E: arg-type
    await infra.sagas.list("running")  # E: call-arg


# mappings
assert_type(SagaOrchestrator("order", steps=[{"execute": reserve}]).add_step({"execute": reserve}), SagaOrchestrator)
assert_type(SagaOrchestrator().saga, Saga[Any])
SagaOrchestrator().add_step(reserve)  # E: arg-type

store: SagaStore = MemorySagaStore()
Sagas(store, [typed, SagaOrchestrator()], keep="7d")
Sagas([typed])  # E: arg-type
