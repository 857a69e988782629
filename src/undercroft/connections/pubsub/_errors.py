"""What can go wrong with Pub/Sub.

PubSubError                                          UC4400
├── PubSubDefinitionError      (ValueError)          UC4401  misuse       a topic, subscription or option is not valid
├── TopicNotFoundError         (LookupError)         UC4402  misuse       no such topic: not declared, or not created
├── SubscriptionNotFoundError  (LookupError)         UC4403  misuse       no such subscription: the same
├── InvalidPayloadError        (ValueError)          UC4404  refused      data does not fit the topic; nothing was sent
├── PubSubUnavailableError     (ConnectionError)     UC4405  unavailable  the server did not answer, or said "later"
├── PubSubRefusedError                               UC4406  refused      the server understood, and said no
│   └── PubSubAuthError        (PermissionError)     UC4407  misuse       … to our credentials, or there are none
├── NotInMessageError          (LookupError)         UC4408  misuse       `current_message()` outside of a handler
├── UndecodableMessageError    (ValueError)          UC4409  refused      a received message does not fit its topic
├── HandlerTimeoutError        (TimeoutError)        UC4410  unavailable  a handler ran longer than it may
├── PushClosedError                                  UC4411  misuse       push without any way to tell who sends
├── PushUnauthorizedError      (PermissionError)     UC4412  refused      a push request did not prove where it is from
└── PushEnvelopeError          (ValueError)          UC4413  refused      a push request is not what Pub/Sub sends
"""

from __future__ import annotations

from collections.abc import Sequence

from undercroft._core.errors import ConfigError, InvalidDataError, Kind, UndercroftError


class PubSubError(UndercroftError):
    """Base of every error of this module."""

    code = "UC4400"


class PubSubDefinitionError(PubSubError, ConfigError):
    """A topic, a subscription or an option is not valid; raised where it is defined."""

    code = "UC4401"


class TopicNotFoundError(PubSubError, LookupError):
    """There is no such topic: it was not declared here, or the server does not have it. `topic` is its name."""

    code = "UC4402"

    def __init__(self, message: str, *, topic: str, hint: str | None = None, near: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint, near=near)
        self.topic = topic


class SubscriptionNotFoundError(PubSubError, LookupError):
    """There is no such subscription: it was not declared here, or the server does not have it."""

    code = "UC4403"

    def __init__(self, message: str, *, subscription: str, hint: str | None = None, near: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint, near=near)
        self.subscription = subscription


class InvalidPayloadError(PubSubError, InvalidDataError):
    """What was to be published does not fit the topic; nothing was sent. `fields` names the fields that are wrong."""

    code = "UC4404"
    kind = Kind.REFUSED
    http_status = 422

    def __init__(
        self, message: str, *, fields: Sequence[str] = (), hint: str | None = None, near: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint=hint, near=near)
        self.fields = tuple(fields)


class PubSubUnavailableError(PubSubError, ConnectionError):
    """The server did not answer, or asked to come again later.

    At `publish`: the message may have been stored all the same, unless `may_have_been_sent` is False.
    """

    code = "UC4405"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        may_have_been_sent: bool = True,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.may_have_been_sent = may_have_been_sent


class PubSubRefusedError(PubSubError):
    """The server understood the request and will not do it; a retry gives the same answer. `status` is its word."""

    code = "UC4406"
    kind = Kind.REFUSED
    http_status = 502

    def __init__(self, message: str, *, status: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class PubSubAuthError(PubSubRefusedError, PermissionError):
    """The server does not accept our credentials, or none could be found."""

    code = "UC4407"
    kind = Kind.MISUSE


class NotInMessageError(PubSubError, LookupError):
    """`current_message()` was called outside of a handler."""

    code = "UC4408"


class UndecodableMessageError(PubSubError, InvalidDataError):
    """A received message does not fit its topic's schema; it is never handed to the handler, and never dropped."""

    code = "UC4409"
    kind = Kind.REFUSED
    http_status = 400


class HandlerTimeoutError(PubSubError, TimeoutError):
    """A handler ran longer than its subscription's timeout and was cancelled; counts as a failed delivery."""

    code = "UC4410"
    kind = Kind.UNAVAILABLE


class PushClosedError(PubSubError):
    """A push endpoint has neither a token nor OIDC, and so refuses every request."""

    code = "UC4411"
    http_status = 503


class PushUnauthorizedError(PubSubError, PermissionError):
    """A push request did not prove that it comes from our subscription. The answer does not say what was wrong."""

    code = "UC4412"
    kind = Kind.REFUSED
    http_status = 401


class PushEnvelopeError(PubSubError, ValueError):
    """A push request's body is not what Pub/Sub sends; `reason` is the code in the answer."""

    code = "UC4413"
    kind = Kind.REFUSED
    http_status = 400

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
