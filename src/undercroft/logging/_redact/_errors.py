"""What redaction raises.

UndercroftError
├── ConfigError (ValueError)
│   └── RedactionError        a setting of redaction is wrong
└── SecretError (TypeError)   a Secret was about to be written where it could be read
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, UndercroftError


class RedactionError(ConfigError):
    """A setting of redaction is wrong: an unknown kind, a pattern that does not compile or matches nothing at all."""

    code = "UC1150"


class SecretError(UndercroftError, TypeError):
    """A `Secret` was about to be pickled, was put into another one, or was to be decoded from what is none."""

    code = "UC1151"
