"""Secrets that are known by their own shape: private keys, JSON Web Tokens, bearer and basic credentials, API keys.

Shapes are those that the issuers publish, for secret scanners mostly (GitHub's and GitLab's lists of supported secrets,
Stripe's, Slack's, Google's, AWS's and SendGrid's pages on their keys), and RFC 7468, 7515, 7516, 6750 and 7617.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from undercroft._core.url import HIDDEN

# Private keys

_PEM_EDGE = re.compile(r"-----(BEGIN|END) (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?(?:-----)?")
_PEM_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s:,;.()\-]|\\+[rn])*+")
_BASE64_BACKWARDS = re.compile(r"(?:[A-Za-z0-9+/=\s]|[rn]\\++)*+")


def hide_private_keys(text: str) -> str:
    """Return `text` with every PEM private key as `[PEM]`, also those whose beginning or end was cut off."""
    parts: list[str] = []
    done = 0
    for start, end in _private_keys(text):
        parts += [text[done:start], "[PEM]"]
        done = end
    return "".join([*parts, text[done:]]) if parts else text


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    done, begun = 0, -1
    for edge in _PEM_EDGE.finditer(text):
        if edge[1] == "END":
            start = begun if begun >= 0 else _body_start(text, done, edge.start())
            yield start, edge.end()
            done, begun = edge.end(), -1
            continue
        if begun >= 0:
            yield begun, _body_end(text, begun, edge.start())
        done = begun = edge.start()
    if begun >= 0:
        yield begun, _body_end(text, begun, len(text))


def _body_start(text: str, done: int, end: int) -> int:
    body = _BASE64_BACKWARDS.match(text[done:end][::-1])
    return end - (body.end() if body is not None else 0)


def _body_end(text: str, begun: int, end: int) -> int:
    body = _PEM_BODY.match(text, begun, end)
    return body.end() if body is not None else end


# Tokens with a scheme before them

_BEARER = re.compile(r"(Bearer|BEARER)((?:[ \t]{1,4}|%20|\+))([^\s\"',;<>()\[\]{}]{6,}+)")
_BASIC = re.compile(r"(Basic|BASIC)((?:[ \t]{1,4}|%20|\+))([A-Za-z0-9+/_\-]{4,}+={0,2})")
_AFTER_BEARER = re.compile(
    "authentication|authorization|challenge|credential|credentials|error|expired|format|header"
    "|headers|invalid|malformed|missing|rejected|required|scheme|security|string|token|tokens|without"
)


def hide_bearers(text: str) -> str:
    """Return `text` with what follows `Bearer` hidden, unless it is a word of a sentence."""
    return _BEARER.sub(_bearer, text)


def hide_basics(text: str) -> str:
    """Return `text` with what follows `Basic` hidden, if it is a user and password in Base64."""
    return _BASIC.sub(_basic, text)


def _bearer(match: re.Match[str]) -> str:
    word = match[3].lower().rstrip(".:!?")
    return match[0] if _AFTER_BEARER.fullmatch(word) or word.startswith("realm") else f"{match[1]}{match[2]}{HIDDEN}"


def _basic(match: re.Match[str]) -> str:
    encoded = match[3].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:
        return match[0]
    is_credentials = b":" in decoded and (decoded.isascii() or len(encoded) > 24)
    return f"{match[1]}{match[2]}{HIDDEN}" if is_credentials else match[0]


# JSON Web Tokens: signed (three parts, the last empty without a signature) and encrypted (five)

_JWT = re.compile(r"eyJ(?:(?<![\w\-]eyJ)|(?<=%[0-9A-F]{2}eyJ))[\w\-]{6,}+(?:\.[\w\-]*+){1,4}")


def hide_jwts(text: str) -> str:
    """Return `text` with every JSON Web Token as `[JWT]`; at least its second part must have begun."""
    return _JWT.sub(lambda jwt: "[JWT]" if jwt[0].find(".") < len(jwt[0]) - 4 else jwt[0], text)


# API keys: what they begin with, and what must follow

_HEX32 = r"[0-9a-fA-F]{32}(?![0-9a-zA-Z])"
_BODIES = {
    r"[A-Za-z0-9]{8,}": "sk_live_ sk_test_ rk_live_ rk_test_",
    r"[A-Za-z0-9+/=_\-]{16,}": "whsec_ whsk_",
    r"[A-Za-z0-9]{30,}": "ghp_ gho_ ghu_ ghs_ ghr_ npm_ hf_ lin_api_ lin_oauth_ gsk_ glsa_ glc_",
    r"[A-Za-z0-9_]{22,}": "github_pat_ ntn_",
    r"[A-Za-z0-9_\-.]{16,}": (
        "glpat- gldt- glrt- glcbt- glptt- glft- glimt- glagent- gloas- glsoat- dckr_pat_ dckr_oat_"
        " pscale_tkn_ pscale_pw_ sntrys_ sntryu_ sbp_ rubygems_ figd_ pat_live_ sq0atp- sq0csp- shpat_"
        " shpca_ shppa_ shpss_ xapp- PMAK- NRAK- HRKU-"
    ),
    r"[A-Za-z0-9\-]{10,}": "xoxb- xoxp- xoxa- xoxo- xoxe- xoxr- xoxs- xoxd- xoxc-",
    r"A[A-Z0-9]{16}(?![A-Za-z0-9])": "AKI ASI ABI",
    r"a[A-Za-z0-9_\-]{30,}": "AIz",
    r"[A-Za-z0-9_\-]{20,}": "ya29. GOCSPX- hvs. hvr. dp.pt. sk-proj- sk-ant- sk-svcacct- sk-or-v1- xai- pplx-",
    r"[A-Za-z0-9]{20,}": "sk-",
    r"[A-Za-z0-9_\-]{12,}\.[A-Za-z0-9_\-]{12,}": "SG.",
    r"[A-Za-z0-9]{6,}_[A-Za-z0-9]{12,}": "re_",
    r"[0-9a-f]{40,}": "dop_v1_ doo_v1_ dor_v1_",
    r"[A-Za-z0-9_\-]{40,}": "pypi-AgEI",
    r"1[A-Z0-9]{40,}": "AGE-SECRET-KEY-",
    _HEX32: "SK key-",
}
_BODY_AFTER = {prefix: re.compile(body) for body, prefixes in _BODIES.items() for prefix in prefixes.split()}
_SIZES = sorted({len(prefix) for prefix in _BODY_AFTER}, reverse=True)


def _anchors() -> str:
    # The last character of a prefix first, since it is rare, then the one or two before it. Each branch begins with
    # that character itself: so the search leaps to the next one of them, and knows which branch to take.
    by_last: dict[str, set[str]] = {}
    for prefix in _BODY_AFTER:
        by_last.setdefault(prefix[-1], set()).add(prefix[-3:])
    branches = []
    for last, tails in sorted(by_last.items()):
        before = "".join(sorted({re.escape(tail[-2]) for tail in tails}))
        exact = "|".join(f"(?<={re.escape(tail)})" for tail in sorted(tails))
        branches.append(f"{re.escape(last)}(?<=[{before}].)(?:{exact})")
    return "|".join(branches)


KEY_ANCHORS = _anchors()
"""A pattern for the end of what API keys begin with."""
_ANCHOR = re.compile(KEY_ANCHORS)
_SLACK_OR_DISCORD_HOOK = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/)([\w/\-]{8,})"
)


def hide_api_keys(text: str) -> str:
    """Return `text` with every API key of a known shape as `[KEY]`."""
    if _ANCHOR.search(text) is None:  # to ask once is cheaper than to begin to ask for all
        return text
    parts: list[str] = []
    done = 0
    for anchor in _ANCHOR.finditer(text):
        if anchor.start() < done:
            continue
        span = _key_around(text, done, anchor.end())
        if span is not None:
            parts += [text[done : span[0]], "[KEY]"]
            done = span[1]
    return "".join([*parts, text[done:]]) if parts else text


def hide_webhook_urls(text: str) -> str:
    """Return `text` with the secret paths of Slack's and Discord's webhook URLs as `[KEY]`."""
    return _SLACK_OR_DISCORD_HOOK.sub(lambda hook: hook[0][: hook.start(1) - hook.start()] + "[KEY]", text)


def _key_around(text: str, done: int, end: int) -> tuple[int, int] | None:
    for size in _SIZES:
        start = end - size
        if start < done:
            continue
        body = _BODY_AFTER.get(text[start:end])
        if body is None or (start > 0 and text[start - 1].isalnum() and not _is_encoded(text, start)):
            continue
        found = body.match(text, end)
        if found is not None:
            return start, found.end()
    return None


def _is_encoded(text: str, start: int) -> bool:
    # "%3Dsk_live_…": the "D" before it is part of an escape.
    return start >= 3 and text[start - 3] == "%"
