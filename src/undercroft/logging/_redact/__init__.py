"""What never reaches a log line: values under secret-sounding keys, and secrets and personal data in any text.

`is_secret` and `redact_text` follow the standard rules; a `Redactor` follows an application's.
"""

from __future__ import annotations

from undercroft.logging._redact._errors import RedactionError, SecretError
from undercroft.logging._redact._redactor import KINDS, Redaction, Redactor
from undercroft.logging._redact._values import STANDARD, ValueRedactor, redact, redact_pii

__all__ = [
    "KINDS",
    "Redaction",
    "RedactionError",
    "Redactor",
    "SecretError",
    "ValueRedactor",
    "is_secret",
    "redact",
    "redact_pii",
    "redact_text",
]

is_secret = STANDARD.is_secret
redact_text = STANDARD.text
