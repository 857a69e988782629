"""What never reaches a log line: values under secret-sounding keys, and the userinfo of URLs.

The whole of redaction as far as it goes today. Personal data in free text (mail addresses, card numbers, bearer tokens)
is not looked for here.
"""

from __future__ import annotations

import re

from undercroft._core.url import HIDDEN

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_SECRET_PART = re.compile(
    "password|passwd|passphrase|secret|token|authorization|cookie|session|credential|signature"
    "|apikey|accesskey|privatekey|signingkey|encryptionkey|connectionstring"
)
_SECRET_NAME = frozenset({"auth", "csrf", "cvc", "cvv", "jwt", "otp", "pass", "pin", "pwd", "sid", "ssn"})
_COUNT = re.compile(r"(tokens|sessions|cookies|count)$")

# Up to the last "@" of the word, if there is a colon that no port follows: passwords have "/", "?", "#" and "@" in
# them, legal or not, and hiding a host too is the better mistake. Without a colon, up to the last "@" before the path.
# Bounded, so that a hostile text cannot make the search slow.
_USERINFO = re.compile(r"://(?:[^\s/@:?#]{0,256}:(?!\d{1,5}[/?#])\S{0,1024}@|[^\s/?#]{1,2048}@)")


def is_secret(key: str, value: object) -> bool:
    """Tell whether `value` must be hidden because of its `key`, in any case and with any separators.

    `None` and booleans are shown, since they hide nothing, and so are numbers under a key that names a count
    (`max_tokens`, `session_count`).
    """
    squeezed = _SEPARATORS.sub("", key.casefold())
    if squeezed not in _SECRET_NAME and not _SECRET_PART.search(squeezed):
        return False
    if value is None or isinstance(value, bool):
        return False
    return not (isinstance(value, int | float) and _COUNT.search(squeezed))


def redact_text(text: str) -> str:
    """Return `text` with the user and password of every URL in it hidden."""
    if "://" not in text or "@" not in text:
        return text
    return _USERINFO.sub(f"://{HIDDEN}@", text)
