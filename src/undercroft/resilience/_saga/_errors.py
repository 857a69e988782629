"""Errors of sagas.

UndercroftError
├── SagaDefinitionError   (ConfigError)       misuse       a saga's name, step or option is not valid
├── SagaDataError         (InvalidDataError)  refused      the data does not fit the saga's schema, or has no JSON form
├── SagaNotRegisteredError (LookupError)      misuse       no saga of this name is known here
├── SagaNotFoundError     (LookupError)       refused      nothing is stored under this id (any more)
├── SagaConflictError                         refused      the id belongs to a saga that was started with something else
├── SagaStateError                            refused      the saga's state does not allow it
├── SagaFailedError                           refused      the saga did not complete; `result` tells all of it
├── SagaResultTimeoutError (TimeoutError)     unavailable  `result()` waited long enough
├── SagaUnavailableError                      unavailable  the store did not answer, or did not take it
├── SagaLostError                             refused      somebody else goes on with this saga; stop
├── what a step failed of, where its action did not say so itself
│   ├── SagaStepTimeoutError (TimeoutError)   unavailable  it took longer than its timeout
│   ├── SagaDeadlineError (TimeoutError)      unavailable  the whole saga took longer than its deadline
│   ├── SagaStepCrashedError                  unavailable  its end was not recorded, several times over
│   └── SagaStepResultError (TypeError)       misuse       it returned what has no JSON form
└── raised by actions, for the saga
    └── StepRefusedError                      refused      nothing was done; do not try again, do not compensate it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError

if TYPE_CHECKING:
    from undercroft.resilience._saga._results import SagaResult


class SagaDefinitionError(ConfigError):
    """A saga's name, a step or an option is not valid; raised where it is defined."""

    code = "UC5251"


class SagaFailedError(UndercroftError):
    """The saga did not complete. `state` says how it ended, `result` holds all of it."""

    code = "UC5252"
    kind = Kind.REFUSED

    def __init__(self, message: str, *, result: SagaResult, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.result = result
        self.state = result.state


class SagaLostError(UndercroftError):
    """Somebody else goes on with this saga: what this run found out is not recorded. Stop, and touch nothing more.

    `saga_id` names it.
    """

    code = "UC5253"
    kind = Kind.REFUSED
    http_status = 409

    def __init__(self, message: str, *, saga_id: str) -> None:
        super().__init__(message)
        self.saga_id = saga_id


class SagaUnavailableError(UndercroftError):
    """The store of sagas did not answer, or did not take it. What was being written may be stored or not."""

    code = "UC5254"
    kind = Kind.UNAVAILABLE
    http_status = 503


class SagaConflictError(UndercroftError):
    """The id belongs to another saga, or to one that was started with other data. Nothing was started."""

    code = "UC5255"
    kind = Kind.REFUSED
    http_status = 409


class SagaNotRegisteredError(UndercroftError, LookupError):
    """No saga of this name, or of this version, is known here. `saga` is the name."""

    code = "UC5256"

    def __init__(self, message: str, *, saga: str, hint: str | None = None, near: list[str] | None = None) -> None:
        super().__init__(message, hint=hint, near=near or ())
        self.saga = saga


class SagaNotFoundError(UndercroftError, LookupError):
    """No saga is stored under this id (any more). `saga_id` is the id."""

    code = "UC5257"
    kind = Kind.REFUSED
    http_status = 404

    def __init__(self, message: str, *, saga_id: str) -> None:
        super().__init__(message)
        self.saga_id = saga_id


class SagaStateError(UndercroftError):
    """The saga is in a state that does not allow this."""

    code = "UC5258"
    kind = Kind.REFUSED
    http_status = 409


class SagaStepTimeoutError(UndercroftError, TimeoutError):
    """A step, or a compensation, took longer than its timeout and was cancelled. It may have had its effect."""

    code = "UC5259"
    kind = Kind.UNAVAILABLE


class SagaDeadlineError(UndercroftError, TimeoutError):
    """The saga took longer than its deadline."""

    code = "UC5260"
    kind = Kind.UNAVAILABLE


class StepRefusedError(UndercroftError):
    """Raise it in an action: this step will not be done, and nothing was done. It is not tried again, and needs no
    compensation of its own; the steps before it are compensated."""

    code = "UC5261"
    kind = Kind.REFUSED
    http_status = 409


class SagaResultTimeoutError(UndercroftError, TimeoutError):
    """The saga had not ended when `result(timeout)` had waited long enough; the saga goes on."""

    code = "UC5262"
    kind = Kind.UNAVAILABLE
    http_status = 504


class SagaDataError(InvalidDataError):
    """What the saga is started with does not fit its schema, or has no JSON form; nothing was started."""

    code = "UC5263"


class SagaStepCrashedError(UndercroftError):
    """A step began several times, and its end was never recorded: its process died, or the store was away."""

    code = "UC5264"
    kind = Kind.UNAVAILABLE


class SagaStepResultError(UndercroftError, TypeError):
    """A step returned something that has no JSON form, so that it cannot be recorded. It has had its effect."""

    code = "UC5265"
