"""Keys: who a limit counts. Any text; what may be a secret, and what is very long, is stored as a hash."""

from __future__ import annotations

import hashlib

from undercroft.ratelimit._errors import RateLimitDefinitionError

LONGEST = 200
"""Characters; longer keys are hashed before they are stored."""
_HASHED = "hash:"


def fingerprint(text: str) -> str:
    """Return 128 bits of BLAKE2b of `text` in hex: the same text gives the same, and the text cannot be read from it.

    Without a key: whoever can guess the text can check the guess. Good for tokens, which are long and random; an email
    address or a telephone number can be found again by trying.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def secret_key(secret: str) -> str:
    """Return the key of a limit for something that must not be seen: an API key, a session's id.

    Only its fingerprint is stored, logged and listed. Give the result to `check`, `reset` and the others alike.
    """
    return _HASHED + fingerprint(secret)


def stored_key(key: str) -> str:
    """Return the key as it is stored: itself, or a hash when it is very long.

    Raises:
        RateLimitDefinitionError: It is empty, or no text.
    """
    given: object = key
    if not isinstance(given, str) or not given:
        raise RateLimitDefinitionError(
            f"the key of a limit is text, 1 character at least, and this is {given!r:.40}",
            hint="give what identifies the caller: a user's id, an address, secret_key(api_key)",
        )
    try:
        key.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no store takes
        return _HASHED + fingerprint(key)
    return key if len(key) <= LONGEST else _HASHED + fingerprint(key)
