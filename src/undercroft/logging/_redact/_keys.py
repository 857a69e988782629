"""Which keys have secret values: by their words, in any case, with any separators, in any of Unicode's dresses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from functools import lru_cache

# Anywhere in the squeezed key: lower case, without separators.
_PARTS = re.compile(
    "password|passwd|passphrase|passcode|secret|token|authorization|cookie|session|credential|signature"
    "|apikey|accesskey|privatekey|signingkey|encryptionkey|accountkey|masterkey|sharedkey|subscriptionkey"
    "|functionskey|authkey|sshkey|hmackey|connectionstring|codeverifier|samlresponse|seedphrase|mnemonic"
    "|recoverycode|backupcode|securitycode|verificationcode|creditcard|cardnumber|socialsecurity"
    "|passwort|kennwort|motdepasse|contrasena|wachtwoord"
)
_HARMLESS_PARTS = re.compile("tokeni[sz]|secretar[iy]|obsession|possession|passwordless")
# The whole squeezed key.
_NO_PASS = re.compile("(?:com|by|over|under|sur|tres)pass$")
_WHOLE = frozenset({"auth", "cvv2", "dsn", "iban", "pan", "sid", "connectsid"})
# The whole key or its last word: pass is one, and db_pass, but not pass_rate.
_LAST_WORDS = frozenset(
    {"csrf", "cvc", "cvv", "hmac", "jwt", "otp", "pass", "pin", "pwd", "sig", "ssn", "totp", "xsrf"}
)
_LAST_PAIRS = frozenset({"basicauth", "httpauth", "proxyauth", "sentrydsn", "databasedsn"})
# What is said about a secret, and is none: token_type, session_duration, password_policy.
_ABOUT = re.compile(
    "age|alg|algorithm|duration|enabled|endpoint|expires|expiry|kind|length|limit|name|policy"
    "|required|size|status|ttl|type|uri|url|version"
)
_COUNT = re.compile(r"(tokens|sessions|cookies|count)$")

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_SHOWN_ALWAYS = 0
_SHOWN_NUMBERS = 1
_HIDDEN_ALWAYS = 2

_MAX_KEY = 128
_MAX_KNOWN = 2_048


class KeyRules:
    """The rules for keys. Immutable but for a bounded memory of the last 2,048 keys it was asked about.

    Args:
        keys: More keys that are secret; `*` stands for anything.
        allow: Keys that are shown whatever they sound like, before any other rule; `*` stands for anything.
    """

    def __init__(self, keys: Collection[str] = (), allow: Collection[str] = ()) -> None:
        self._also, self._allowed = _any_of(keys), _any_of(allow)
        # Repeated keys cost one look in a table.
        self._verdict: Callable[[str], int] = lru_cache(maxsize=_MAX_KNOWN)(self._judge)

    def is_secret(self, key: str, value: object) -> bool:
        """Tell whether `value` must be hidden because of its `key`.

        `None` and booleans are shown, since they hide nothing, and so are numbers under a key that names a count
        (`max_tokens`, `session_count`).
        """
        verdict = self._verdict(key if len(key) <= _MAX_KEY else key[-_MAX_KEY:])
        if verdict == _SHOWN_ALWAYS or value is None or value is True or value is False:
            return False
        return verdict == _HIDDEN_ALWAYS or not isinstance(value, int | float)

    def sounds_secret(self, key: str) -> bool:
        """Tell whether a text under `key` must be hidden."""
        return bool(self._verdict(key if len(key) <= _MAX_KEY else key[-_MAX_KEY:]))

    def _judge(self, key: str) -> int:
        plain = _in_latin_letters(key)
        squeezed = squeeze(plain)
        if self._allowed is not None and self._allowed.fullmatch(squeezed):
            return _SHOWN_ALWAYS
        if self._also is not None and self._also.fullmatch(squeezed):
            return _HIDDEN_ALWAYS
        if not _names_a_secret(plain, squeezed):
            return _SHOWN_ALWAYS
        return _SHOWN_NUMBERS if _COUNT.search(squeezed) else _HIDDEN_ALWAYS


def squeeze(key: str) -> str:
    """Return `key` in lower case, without what separates its words."""
    return _SEPARATORS.sub("", key.casefold())


def _names_a_secret(key: str, squeezed: str) -> bool:
    if squeezed.endswith(("pass", "pwd")) and not _NO_PASS.search(squeezed):
        return True
    words = [word.casefold() for word in _WORDS.findall(key)]
    last = words[-1] if words else ""
    if squeezed in _WHOLE or squeezed in _LAST_WORDS or last in _LAST_WORDS or "".join(words[-2:]) in _LAST_PAIRS:
        return True
    if len(words) > 1 and _ABOUT.fullmatch(last):
        return False
    return _PARTS.search(_HARMLESS_PARTS.sub("", squeezed)) is not None


def _in_latin_letters(key: str) -> str:
    # Full-width letters, and letters with accents: contraseña.
    if key.isascii():
        return key
    parts = unicodedata.normalize("NFKD", key)
    return "".join(character for character in parts if not unicodedata.combining(character))


def _any_of(names: Collection[str]) -> re.Pattern[str] | None:
    globs = [".*".join(re.escape(squeeze(_in_latin_letters(part))) for part in name.split("*")) for name in names]
    return re.compile("|".join(globs)) if globs else None
