"""SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), for one password and any user name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

import bson

from undercroft.testing._mongo.errors import Code, CommandFailed
from undercroft.testing._mongo.store import Command, Reply

_ITERATIONS = 4096  # the least that drivers accept
_NEEDS_NO_LOGIN = frozenset(
    {"hello", "isMaster", "ismaster", "ping", "buildInfo", "saslStart", "saslContinue", "endSessions"}
)


class Login:
    """What one connection has proved. Made with the connection, and gone with it."""

    def __init__(self, password: str | None) -> None:
        self._password = password
        self._is_done = password is None
        self._salt = secrets.token_bytes(16)
        self._client_first = self._server_first = ""

    def require(self, command_name: str) -> None:
        """Let a command pass.

        Raises:
            CommandFailed: It needs a login, and there was none.
        """
        if not self._is_done and command_name not in _NEEDS_NO_LOGIN:
            raise CommandFailed(Code.Unauthorized, f"Command {command_name} requires authentication")

    def start(self, command: Command) -> Reply:
        """Answer saslStart with the salt and a nonce."""
        if command.get("mechanism") != "SCRAM-SHA-256" or self._password is None:
            raise CommandFailed(Code.MechanismUnavailable, "this server has SCRAM-SHA-256, if it requires a password")
        self._client_first = bytes(command["payload"]).decode().split(",", 2)[2]
        nonce = _fields(self._client_first)["r"] + secrets.token_urlsafe(18)
        salt = base64.b64encode(self._salt).decode()
        self._server_first = f"r={nonce},s={salt},i={_ITERATIONS}"
        return _sasl_reply(self._server_first, is_done=False)

    def go_on(self, command: Command) -> Reply:
        """Answer saslContinue: check the client's proof, and give ours.

        Raises:
            CommandFailed: The password is another.
        """
        final = bytes(command["payload"]).decode()
        without_proof, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", (self._password or "").encode(), self._salt, _ITERATIONS)
        message = f"{self._client_first},{self._server_first},{without_proof}".encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), message)
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        has_nonce = _fields(without_proof).get("r") == _fields(self._server_first).get("r")
        if not has_nonce or not hmac.compare_digest(base64.b64encode(expected).decode(), proof):
            raise CommandFailed(Code.AuthenticationFailed, "Authentication failed.")
        self._is_done = True
        verifier = base64.b64encode(_hmac(_hmac(salted, b"Server Key"), message)).decode()
        return _sasl_reply(f"v={verifier}", is_done=True)


def _sasl_reply(payload: str, *, is_done: bool) -> dict[str, Any]:
    return {"conversationId": 1, "done": is_done, "payload": bson.Binary(payload.encode()), "ok": 1.0}


def _fields(text: str) -> dict[str, str]:
    return {field[0]: field[2:] for field in text.split(",") if field[1:2] == "="}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
