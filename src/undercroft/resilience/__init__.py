"""Calls to what may fail: retried, cut off in time, bounded, hedged, answered otherwise; and stopped while it is down.
Locks that one holder has at a time, and sagas: steps that are undone when a later one fails.

    from undercroft.resilience import CircuitBreaker, Lock, Pipeline, Retry, Saga, Timeout, retry

    @retry(attempts=4, deadline="20s")                       # full jitter, heeds Retry-After
    async def fetch(page: int) -> bytes: ...

    payments = Pipeline(Timeout("5s"), Retry(), CircuitBreaker("payments"), Timeout("1s"))
    await payments.call(client.charge, order)

    async with Lock("report", ttl="30s") as lease: ...       # renewed; lease.token fences off late writers

`Retry`, `Timeout`, `CircuitBreaker`, `Bulkhead`, `Fallback` and `Hedge` each have `call` and go on a function as a
decorator. Breakers and locks are shared by all processes where there is a store: `infra.breakers` and `infra.locks`, or
`create_breakers` and `create_locks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.faces import load_late

if TYPE_CHECKING:
    from undercroft.resilience._breaker._breaker import CircuitBreaker
    from undercroft.resilience._breaker._breakers import Breakers
    from undercroft.resilience._breaker._options import BreakerOptions, is_failure_of_service
    from undercroft.resilience._breaker._protocol import (
        BreakerInfo,
        BreakerMetrics,
        BreakerState,
        BreakerStore,
        StateChange,
        Stored,
    )
    from undercroft.resilience._breaker._schemes import create_breakers, open_breaker_store
    from undercroft.resilience._budget import RetryBudget
    from undercroft.resilience._bulkhead import Bulkhead
    from undercroft.resilience._chaos import Chaos
    from undercroft.resilience._errors import (
        BreakerNotFoundError,
        BreakersUnavailableError,
        BulkheadFullError,
        CallTimeoutError,
        CircuitOpenError,
        InjectedFaultError,
        PolicyError,
    )
    from undercroft.resilience._fallback import Fallback
    from undercroft.resilience._hedge import Hedge
    from undercroft.resilience._locks import (
        Granted,
        Held,
        Lease,
        Lock,
        LockDefinitionError,
        LockError,
        LockInfo,
        LockLostError,
        LockRecord,
        LockReentryError,
        Locks,
        LockStore,
        LockTimeoutError,
        LockUnavailableError,
        NotOwnerError,
        create_locks,
        locked,
        open_lock_store,
    )
    from undercroft.resilience._pipeline import Pipeline
    from undercroft.resilience._policy import Policy, is_transient
    from undercroft.resilience._retry import Attempt, Jitter, Retry, RetryOptions, retry, retry_with_backoff
    from undercroft.resilience._retry_after import parse_retry_after, retry_after_of
    from undercroft.resilience._saga import (
        CompensationContext,
        CompensationReport,
        MemorySagaStore,
        Saga,
        SagaConflictError,
        SagaContext,
        SagaDataError,
        SagaDeadlineError,
        SagaDefinitionError,
        SagaFailedError,
        SagaHandle,
        SagaInfo,
        SagaLostError,
        SagaNotFoundError,
        SagaNotRegisteredError,
        SagaOrchestrator,
        SagaPage,
        SagaProblem,
        SagaResult,
        SagaResultTimeoutError,
        Sagas,
        SagaState,
        SagaStateError,
        SagaStepCrashedError,
        SagaStepResultError,
        SagaStepTimeoutError,
        SagaStore,
        SagaUnavailableError,
        StepRefusedError,
        StepReport,
        StepRetry,
        StoredSaga,
    )
    from undercroft.resilience._timeout import Timeout

__all__ = [
    "Attempt",
    "BreakerInfo",
    "BreakerMetrics",
    "BreakerNotFoundError",
    "BreakerOptions",
    "BreakerState",
    "BreakerStore",
    "Breakers",
    "BreakersUnavailableError",
    "Bulkhead",
    "BulkheadFullError",
    "CallTimeoutError",
    "Chaos",
    "CircuitBreaker",
    "CircuitOpenError",
    "CompensationContext",
    "CompensationReport",
    "Fallback",
    "Granted",
    "Hedge",
    "Held",
    "InjectedFaultError",
    "Jitter",
    "Lease",
    "Lock",
    "LockDefinitionError",
    "LockError",
    "LockInfo",
    "LockLostError",
    "LockRecord",
    "LockReentryError",
    "LockStore",
    "LockTimeoutError",
    "LockUnavailableError",
    "Locks",
    "MemorySagaStore",
    "NotOwnerError",
    "Pipeline",
    "Policy",
    "PolicyError",
    "Retry",
    "RetryBudget",
    "RetryOptions",
    "Saga",
    "SagaConflictError",
    "SagaContext",
    "SagaDataError",
    "SagaDeadlineError",
    "SagaDefinitionError",
    "SagaFailedError",
    "SagaHandle",
    "SagaInfo",
    "SagaLostError",
    "SagaNotFoundError",
    "SagaNotRegisteredError",
    "SagaOrchestrator",
    "SagaPage",
    "SagaProblem",
    "SagaResult",
    "SagaResultTimeoutError",
    "SagaState",
    "SagaStateError",
    "SagaStepCrashedError",
    "SagaStepResultError",
    "SagaStepTimeoutError",
    "SagaStore",
    "SagaUnavailableError",
    "Sagas",
    "StateChange",
    "StepRefusedError",
    "StepReport",
    "StepRetry",
    "Stored",
    "StoredSaga",
    "Timeout",
    "create_breakers",
    "create_locks",
    "is_failure_of_service",
    "is_transient",
    "locked",
    "open_breaker_store",
    "open_lock_store",
    "parse_retry_after",
    "retry",
    "retry_after_of",
    "retry_with_backoff",
]

# Loaded on first use: locks need no breakers, and a retry needs no store.
__getattr__ = load_late(
    __name__,
    {
        "_breaker._breaker": ("CircuitBreaker",),
        "_breaker._breakers": ("Breakers",),
        "_breaker._options": ("BreakerOptions", "is_failure_of_service"),
        "_breaker._protocol": (
            "BreakerInfo",
            "BreakerMetrics",
            "BreakerState",
            "BreakerStore",
            "StateChange",
            "Stored",
        ),
        "_breaker._schemes": ("create_breakers", "open_breaker_store"),
        "_budget": ("RetryBudget",),
        "_bulkhead": ("Bulkhead",),
        "_chaos": ("Chaos",),
        "_errors": (
            "BreakerNotFoundError",
            "BreakersUnavailableError",
            "BulkheadFullError",
            "CallTimeoutError",
            "CircuitOpenError",
            "InjectedFaultError",
            "PolicyError",
        ),
        "_fallback": ("Fallback",),
        "_hedge": ("Hedge",),
        "_locks": (
            "Granted",
            "Held",
            "Lease",
            "Lock",
            "LockDefinitionError",
            "LockError",
            "LockInfo",
            "LockLostError",
            "LockReentryError",
            "LockRecord",
            "LockStore",
            "LockTimeoutError",
            "LockUnavailableError",
            "Locks",
            "NotOwnerError",
            "create_locks",
            "locked",
            "open_lock_store",
        ),
        "_pipeline": ("Pipeline",),
        "_policy": ("Policy", "is_transient"),
        "_retry": ("Attempt", "Jitter", "Retry", "RetryOptions", "retry", "retry_with_backoff"),
        "_retry_after": ("parse_retry_after", "retry_after_of"),
        "_saga": (
            "CompensationContext",
            "CompensationReport",
            "MemorySagaStore",
            "Saga",
            "SagaConflictError",
            "SagaContext",
            "SagaDataError",
            "SagaDeadlineError",
            "SagaDefinitionError",
            "SagaFailedError",
            "SagaHandle",
            "SagaInfo",
            "SagaLostError",
            "SagaNotFoundError",
            "SagaNotRegisteredError",
            "SagaOrchestrator",
            "SagaPage",
            "SagaProblem",
            "SagaResult",
            "SagaResultTimeoutError",
            "SagaState",
            "SagaStateError",
            "SagaStepCrashedError",
            "SagaStepResultError",
            "SagaStepTimeoutError",
            "SagaStore",
            "SagaUnavailableError",
            "Sagas",
            "StepRefusedError",
            "StepReport",
            "StepRetry",
            "StoredSaga",
        ),
        "_timeout": ("Timeout",),
    },
)


def __dir__() -> list[str]:
    return __all__
