"""Composition: `Infra` and its `Settings`. The only place that builds.

from undercroft.app import Infra, current

infra = Infra(jobs=[send_welcome])                       # from the environment; nothing connects yet
infra = Infra(queue="sqlite:///var/jobs.db", jobs="shop.jobs")

async with infra:                                        # opens in floor order, all or nothing; binds in this task
    assert current() is infra

for part in infra.describe(): ...                        # which backend, chosen by which setting
for finding in await infra.check(): ...                  # what is unsafe or does not answer
"""

from undercroft.app._environment import Setting
from undercroft.app._errors import (
    AlreadyOpenError,
    HomeNotWritableError,
    JobsNotFoundError,
    NotConfiguredError,
    SettingFileError,
    UnknownSettingError,
)
from undercroft.app._findings import Finding, Severity
from undercroft.app._infra import Infra, PartDescription, current
from undercroft.app._required import MissingVariablesError, validate_env
from undercroft.app._services import ServiceReport
from undercroft.app._settings import Settings
from undercroft.app._start import StartTimeoutError

__all__ = [
    "AlreadyOpenError",
    "Finding",
    "HomeNotWritableError",
    "Infra",
    "JobsNotFoundError",
    "MissingVariablesError",
    "NotConfiguredError",
    "PartDescription",
    "ServiceReport",
    "Setting",
    "SettingFileError",
    "Settings",
    "Severity",
    "StartTimeoutError",
    "UnknownSettingError",
    "current",
    "validate_env",
]
