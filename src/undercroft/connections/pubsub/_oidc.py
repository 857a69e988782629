"""The token that Pub/Sub signs its push requests with: an OpenID Connect ID token of a service account.

https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions. RS256 only, which is what Google signs with; the
key is chosen among Google's by the token's `kid`, and never taken from the token.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec

from undercroft._core.clock import Clock
from undercroft._core.extras import require_module
from undercroft.connections.pubsub._errors import (
    PubSubDefinitionError,
    PubSubUnavailableError,
    PushUnauthorizedError,
)

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
_CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
_LEEWAY_S = 30.0
_FRESH_S = 3600.0
_AGAIN_S = 60.0
"""A token with an unknown key makes us look for new keys, but not more often than this."""
_FETCH_S = 10.0
_MAX_TOKEN = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """Who may push: a service account, for an audience, both as the subscription was set up with.

    Args:
        audience: The `aud` claim: what the subscription says, by default the endpoint's whole URL.
        service_account: The `email` claim.
        keys: Google's public keys, as a JWKS or as `{kid: PEM certificate or public key}`; `None` fetches them from
            Google through google-auth, and keeps them for an hour.

    Raises:
        PubSubDefinitionError: The audience or the account is empty: it would let in anybody with a Google account.
    """

    audience: str
    service_account: str
    keys: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.audience or not self.service_account:
            raise PubSubDefinitionError("Oidc needs an audience and a service account", hint="name both")


class OidcVerifier:
    """Verifies tokens; keeps Google's keys. Lives as long as its push endpoint."""

    def __init__(self, oidc: Oidc, clock: Clock) -> None:
        self._oidc = oidc
        self._clock = clock
        self._keys = None if oidc.keys is None else _read_keys(oidc.keys)
        self._fetched_at: float | None = None
        self._fetching = anyio.Lock()

    async def verify(self, token: str) -> None:
        """Return when `token` is good.

        Raises:
            PushUnauthorizedError: It is not; the message says why, for the log.
            PubSubUnavailableError: Google's keys could not be fetched.
        """
        header, claims, signed, signature = _split(token)
        if header.get("alg") != "RS256":
            raise PushUnauthorizedError("the token is not signed with RS256")
        _check_signature(await self._key(header.get("kid")), signed, signature)
        self._check_claims(claims)

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.time()
        if claims.get("iss") not in ISSUERS:
            raise PushUnauthorizedError("the token was not issued by Google")
        if claims.get("aud") != self._oidc.audience:
            raise PushUnauthorizedError("the token is for another audience")
        if claims.get("email") != self._oidc.service_account or claims.get("email_verified") is not True:
            raise PushUnauthorizedError("the token is another account's")
        if now >= _number(claims.get("exp"), absent=-math.inf) + _LEEWAY_S:
            raise PushUnauthorizedError("the token has expired")
        if _number(claims.get("iat"), absent=math.inf) > now + _LEEWAY_S:
            raise PushUnauthorizedError("the token is from the future")

    async def _key(self, kid: object) -> Any:
        if self._oidc.keys is None:
            await self._refresh(kid)
        key = (self._keys or {}).get(kid) if isinstance(kid, str) else None
        if key is None:
            raise PushUnauthorizedError("the token is signed with a key that Google does not have")
        return key

    async def _refresh(self, kid: object) -> None:
        async with self._fetching:
            age_s = float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at
            is_missing = self._keys is None or kid not in self._keys
            if age_s > _FRESH_S or (is_missing and age_s > _AGAIN_S):
                self._keys = _read_keys(await anyio.to_thread.run_sync(_fetch_certificates))
                self._fetched_at = self._clock.monotonic()


def _fetch_certificates() -> dict[str, Any]:
    requests = require_module("google.auth.transport.requests", extra="pubsub", needed_for="OIDC push")
    problems = require_module("google.auth.exceptions", extra="pubsub", needed_for="OIDC push")
    try:
        answer = requests.Request()(_CERTIFICATES, method="GET", timeout=_FETCH_S)
    except problems.GoogleAuthError as exc:
        raise PubSubUnavailableError("google's public keys could not be fetched") from exc
    if answer.status != 200:
        raise PubSubUnavailableError(f"google's public keys could not be fetched: status {answer.status}")
    return msgspec.json.decode(answer.data, type=dict[str, Any])


def _read_keys(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return public keys by their id.

    Raises:
        PubSubDefinitionError: One is no RSA key in a form that we know.
    """
    listed = keys.get("keys")
    try:
        if isinstance(listed, list):  # a JWKS, https://www.rfc-editor.org/rfc/rfc7517
            return {str(jwk["kid"]): _of_jwk(jwk) for jwk in listed if jwk.get("kty") == "RSA"}
        return {kid: _of_pem(str(pem)) for kid, pem in keys.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PubSubDefinitionError("Oidc keys are neither a JWKS nor {kid: PEM}") from exc


def _of_jwk(jwk: Mapping[str, str]) -> Any:
    rsa = _crypto("hazmat.primitives.asymmetric.rsa")
    numbers = [int.from_bytes(_from_base64url(jwk[name])) for name in ("e", "n")]
    return rsa.RSAPublicNumbers(*numbers).public_key()


def _of_pem(pem: str) -> Any:
    if "CERTIFICATE" in pem:
        return _crypto("x509").load_pem_x509_certificate(pem.encode()).public_key()
    return _crypto("hazmat.primitives.serialization").load_pem_public_key(pem.encode())


def _check_signature(key: Any, signed: bytes, signature: bytes) -> None:
    padding, hashes = _crypto("hazmat.primitives.asymmetric.padding"), _crypto("hazmat.primitives.hashes")
    try:
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except _crypto("exceptions").InvalidSignature:
        raise PushUnauthorizedError("the token's signature is wrong") from None


def _split(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    try:
        head, body, signature = token[:_MAX_TOKEN].split(".")
        header, claims = (msgspec.json.decode(_from_base64url(part), type=dict[str, Any]) for part in (head, body))
        return header, claims, f"{head}.{body}".encode("ascii"), _from_base64url(signature)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise PushUnauthorizedError("the token is not a JWT") from None


def _from_base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64url") from exc


def _number(value: object, *, absent: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else absent


def _crypto(module: str) -> Any:
    return require_module(f"cryptography.{module}", extra="pubsub", needed_for="OIDC push")
