"""Sagas: steps that are done in order and undone in reverse, remembered across crashes.

_saga.py          the definition; _orchestrator.py: its mapping form; _retry.py: policies of steps; _context.py
_sagas.py         the sagas of a store; _registry.py: their definitions; _handle.py: one of them; _forgetting.py
_direct.py        a saga in memory, run here and now
_run.py           from where a record says a saga is, to its end; _attempts.py, _contexts.py: one run of a step
_records.py       a saga as it is stored; _journal.py: how it is written; _fit.py: whether a definition fits it
_results.py       a saga as users see it
_ports.py         what is needed of a store; memory.py: a store of one process
"""

from undercroft.resilience._saga._context import CompensationContext, SagaContext
from undercroft.resilience._saga._errors import (
    SagaConflictError,
    SagaDataError,
    SagaDeadlineError,
    SagaDefinitionError,
    SagaFailedError,
    SagaLostError,
    SagaNotFoundError,
    SagaNotRegisteredError,
    SagaResultTimeoutError,
    SagaStateError,
    SagaStepCrashedError,
    SagaStepResultError,
    SagaStepTimeoutError,
    SagaUnavailableError,
    StepRefusedError,
)
from undercroft.resilience._saga._handle import SagaHandle
from undercroft.resilience._saga._orchestrator import SagaOrchestrator
from undercroft.resilience._saga._ports import SagaPage, SagaStore, StoredSaga
from undercroft.resilience._saga._results import (
    CompensationReport,
    SagaInfo,
    SagaProblem,
    SagaResult,
    SagaState,
    StepReport,
)
from undercroft.resilience._saga._retry import StepRetry
from undercroft.resilience._saga._saga import Saga
from undercroft.resilience._saga._sagas import Sagas
from undercroft.resilience._saga.memory import MemorySagaStore

__all__ = [
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
]
