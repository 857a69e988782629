"""The rules together: a cheap look that lets ordinary texts pass, and the searches for those that it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from undercroft._core.errors import near_names
from undercroft.logging._redact import _contacts, _numbers, _pairs, _tokens, _urls
from undercroft.logging._redact._errors import RedactionError
from undercroft.logging._redact._keys import KeyRules

KINDS = ("pair", "url", "pem", "bearer", "jwt", "key", "email", "iban", "card", "ssn", "phone", "ip")
"""What is looked for in texts, in no order that matters to a caller. `ip` is off unless it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What an application adds to redaction, or takes away. A value: make one, pass it on, share it.

    Raises:
        RedactionError: A kind is not one of ours, a name is empty, or a pattern does not compile or matches an
            empty text.
    """

    keys: Collection[str] = ()
    """More keys whose values are hidden, in any case and with any separators; `*` stands for anything (`*_pw`)."""
    allow: Collection[str] = ()
    """Keys whose values are not hidden for their key; the values are still looked through. Wins over everything."""
    patterns: Mapping[str, str | re.Pattern[str]] = field(default_factory=dict)
    """More to look for in texts: what matches `patterns["order"]` becomes `[ORDER]`. Their speed is yours to keep."""
    show: Collection[str] = ()
    """Kinds that are not looked for in texts: of pair, url, pem, bearer, jwt, key, email, iban, card, ssn and phone."""
    hide_ips: bool = False
    """Hide IP addresses too, which logs usually need."""

    def __post_init__(self) -> None:
        for option in ("keys", "allow", "show"):
            _check_names(option, getattr(self, option))
        unknown = [kind for kind in self.show if kind not in KINDS]
        if unknown:
            raise RedactionError(
                f"show has {unknown[0]!r}, which is not a kind of secret",
                near=near_names(unknown[0], KINDS),
                hint=f"kinds: {', '.join(KINDS)}",
            )
        object.__setattr__(self, "patterns", {name: _compiled(name, text) for name, text in self.patterns.items()})


# One character stands for many, so that a few looks for short texts find where a search could pay: "0" digits, "!" what
# is rare and begins or joins secrets, "a" and "g" letters (of hexadecimal digits or not) and quotes.
_CLASSES = {
    "0123456789": "0",
    "@%+<_xyzBIJK": "!",
    "abcdefACDEF": "a",
    "ghijklmnopqrstuvwGHLMNOPQRSTUVWXYZ\"'": "g",
    "-.()": "-",
    " \t": " ",
    ":": ":",
    "=": "=",
}
_SHAPE = bytes(
    next((ord(shape) for members, shape in _CLASSES.items() if chr(code) in members), ord("g" if code > 127 else "~"))
    for code in range(256)
)
_TRIGGER = re.compile(
    rf"{_tokens.KEY_ANCHORS}|@(?<=\S@)|-(?=-[\w\-])|,(?<=[\"'],)|%(?=40|3[Dd]|2[Bb])|\+(?=[0-9( .\-])|<(?=/)"
    r"|J(?<=eyJ)|B(?=earer[ \t%+]|EARER[ \t%+]|asic[ \t%+]|ASIC[ \t%+])"
)
_LEAST_LENGTH = 5  # pwd=x
_MAX_ORDINARY = 1_024
_MAX_ORDINARY_LENGTH = 128
_NINE_DIGITS = "0" * 9

Step = tuple[str, Callable[[str], str]]


class Redactor:
    """The compiled form of a `Redaction`, for any number of threads; make one and keep it.

    It remembers up to 1,024 short texts in which it found nothing, and up to 2,048 keys, to be quick with them.
    """

    def __init__(self, redaction: Redaction | None = None) -> None:
        redaction = redaction or Redaction()
        off = set(redaction.show) | (set() if redaction.hide_ips else {"ip"})
        keys = KeyRules(redaction.keys, redaction.allow)
        # Texts in which nothing was found come again and again: messages, paths, words. What was hidden is not kept.
        self._ordinary: set[str] = set()
        self._own_steps = [
            partial(re.compile(shape).sub, f"[{name.upper()}]") for name, shape in redaction.patterns.items()
        ]
        pairs = partial(_pairs.hide_pairs, keys.sounds_secret, set[str]())
        self._steps = _kept(_steps(keys.sounds_secret, pairs), off)
        self._number_steps = _kept(_NUMBER_STEPS, off)
        self._hide_pairs = None if "pair" in off else pairs
        self._least_length = 1 if redaction.patterns or redaction.hide_ips else _LEAST_LENGTH
        self._hide_ips = None if "ip" in off else _contacts.hide_ips
        self.is_secret = keys.is_secret

    def text(self, text: str) -> str:
        """Return `text` with its secrets and personal data replaced; itself when there are none.

        Takes time in proportion to the length, whatever the text. Doing it twice changes nothing more.
        """
        if text in self._ordinary or len(text) < self._least_length:
            return text
        redacted = self._searched(text)
        if redacted == text and len(text) <= _MAX_ORDINARY_LENGTH:
            if len(self._ordinary) >= _MAX_ORDINARY:
                self._ordinary.clear()
            self._ordinary.add(text)
        return redacted

    def _searched(self, text: str) -> str:
        for step in self._own_steps:
            text = step(text)
        shape = text.encode("utf-8", "replace").translate(_SHAPE).decode()
        if (("!" in shape or "g-" in shape or "--" in shape) and _TRIGGER.search(text) is not None) or (
            ":" in shape and "hooks" in text
        ):
            text = self._scrub(text)
        elif "=" in shape or (":" in shape and _may_have_pairs(shape)):
            text = self._hide_pairs(text) if self._hide_pairs is not None else text
        if "00000000" in shape or "00-0000" in shape or "00 0000" in shape:
            text = self._hide_numbers(text, shape)
        return text if self._hide_ips is None else self._hide_ips(text)

    def _scrub(self, text: str) -> str:
        for gate, step in self._steps:
            if gate in text:
                text = step(text)
        return text

    def _hide_numbers(self, text: str, shape: str) -> str:
        shape = f"{shape}|{shape.replace('-', '').replace(' ', '')}"
        if _NINE_DIGITS in shape:
            for gate, step in self._number_steps:
                if gate in shape:
                    text = step(text)
        return text


def _may_have_pairs(shape: str) -> bool:
    # A colon after a name, and not one within a time of day.
    return "g:" in shape or "a:" in shape or "!:" in shape or " :" in shape or "0: " in shape


def _steps(
    is_secret: Callable[[str], bool], pairs: Callable[[str], str]
) -> list[tuple[str, str, Callable[[str], str]]]:
    # In an order: what holds others first (a URL's password may look like a mail address), what is most sure of itself
    # before what guesses.
    return [
        ("pem", "PRIVATE KEY", _tokens.hide_private_keys),
        ("url", "://", _urls.hide_userinfo),
        ("url", "@", _urls.hide_go_addresses),
        ("pair", "</", partial(_pairs.hide_tags, is_secret=is_secret)),
        ("pair", "(", partial(_pairs.hide_tuples, is_secret=is_secret)),
        ("pair", "--", partial(_pairs.hide_flags, is_secret=is_secret)),
        ("pair", "", pairs),
        ("bearer", "earer", _tokens.hide_bearers),
        ("bearer", "asic", _tokens.hide_basics),
        ("jwt", "eyJ", _tokens.hide_jwts),
        ("key", "", _tokens.hide_api_keys),
        ("key", "hooks", _tokens.hide_webhook_urls),
        ("email", "@", _contacts.hide_emails),
        ("email", "%40", _contacts.hide_emails),
        ("phone", "+", _numbers.hide_phones),
        ("phone", "%2B", _numbers.hide_phones),
        ("phone", "%2b", _numbers.hide_phones),
    ]


# By what the text's shape has, or the shape without what separates digits.
_NUMBER_STEPS: list[tuple[str, str, Callable[[str], str]]] = [
    ("key", "0:a", _numbers.hide_telegram_tokens),
    ("iban", "", _numbers.hide_ibans),
    ("card", "0" * 14, _numbers.hide_cards),
    ("ssn", "000-00-0000", _numbers.hide_ssns),
    ("phone", "000-0000", _numbers.hide_us_phones),
    ("phone", "000 0000", _numbers.hide_us_phones),
]


def _kept(steps: list[tuple[str, str, Callable[[str], str]]], off: Collection[str]) -> list[Step]:
    return [(gate, step) for kind, gate, step in steps if kind not in off]


def _check_names(option: str, names: Collection[str]) -> None:
    if isinstance(names, str):
        raise RedactionError(f"{option} is a text; a collection of names is needed", hint=f"{option}=[{names!r}]")
    for name in names:
        if not any(character.isalnum() for character in name):
            raise RedactionError(f"{option} has {name!r}, which is not a name")


def _compiled(name: str, pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    if not name.replace("_", "").replace("-", "").isalnum():
        raise RedactionError(f"the pattern's name {name!r} is not a name", hint="use letters, digits, - and _")
    try:
        compiled = re.compile(pattern)
    except re.error as exc:
        raise RedactionError(f"the pattern for {name!r} does not compile: {exc}") from exc
    if compiled.search("") is not None:
        raise RedactionError(f"the pattern for {name!r} matches an empty text", hint="ask for at least one character")
    return compiled
