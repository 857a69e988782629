"""The ways to call send, and the fields they take; everything becomes one checked mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

from undercroft._core.errors import near_names
from undercroft.email._addresses import AddressLike
from undercroft.email._errors import InvalidMessageError
from undercroft.email._protocol import Attachment

Recipients = AddressLike | Sequence[AddressLike]


class EmailFields(TypedDict, total=False):
    """What a message can have, as keyword arguments."""

    to: Required[Recipients]
    """One address or several: `a@b.c`, `Name <a@b.c>`. Everyone in `to` and `cc` sees the others."""
    data: Mapping[str, object]
    """Values for the template's variables."""
    subject: str
    body: str
    """Markdown; becomes the HTML and the text part."""
    html: str
    """HTML that is sent as it is. Values in it are not escaped for you."""
    text: str
    from_: AddressLike
    cc: Recipients
    bcc: Recipients
    reply_to: Recipients
    headers: Mapping[str, str]
    attachments: Sequence[Attachment]
    locale: str | None
    """The language of the template; see `load_template`."""
    idempotency_key: str | None
    """1 to 256 visible ASCII characters. The same key again sends nothing new, where the transport can tell."""


_From = TypedDict("_From", {"from": AddressLike}, total=False)


class EmailOptions(EmailFields, _From, total=False):
    """The same as one mapping, where the sender may also be called `from`."""


FIELDS = tuple(EmailFields.__annotations__)
_CONTENT = ("subject", "body", "html", "text")
_FORMS = 'send_email("welcome", to=…, data={…}) or send_email(to=…, subject=…, body=…)'


def read_call(args: tuple[object, ...], fields: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the template's name and the fields of a call, whichever form it has. Fields that are `None` are left out.

    Raises:
        InvalidMessageError: Another form, unknown fields, no `to`, or a template and a content at once.
    """
    template, options = _read_args(args)
    if options is not None and fields:
        raise InvalidMessageError("fields are given both in a mapping and by name", hint="use one of the two")
    renamed = _rename(fields if options is None else options)
    given = {key: value for key, value in renamed.items() if value is not None}
    for key in given:
        if key not in FIELDS:
            raise InvalidMessageError(
                f"unknown field {key!r}", near=near_names(str(key), FIELDS), hint=f"known fields: {', '.join(FIELDS)}"
            )
    _check_combination(template, given)
    return template, given


def _read_args(args: tuple[object, ...]) -> tuple[str | None, Mapping[str, Any] | None]:
    match args:
        case ():
            return None, None
        case (str(template),):
            return template, None
        case (Mapping() as options,):
            return None, options
        case (str(template), Mapping() as options):
            return template, options
        case (_, _, _, *_):
            raise InvalidMessageError(
                f"send takes at most a template and a mapping by position, and got {len(args)} values",
                hint="name them: send_email(to=…, subject=…, body=…)",
            )
        case _:
            types = ", ".join(type(arg).__name__ for arg in args)
            raise InvalidMessageError(f"send cannot be called with ({types}) by position", hint=f"write {_FORMS}")


def _rename(options: Mapping[str, Any]) -> dict[str, Any]:
    if "from" not in options:
        return dict(options)
    if "from_" in options:
        raise InvalidMessageError("the sender is given twice, as from and from_", hint="keep one of the two")
    return {"from_" if key == "from" else key: value for key, value in options.items()}


def _check_combination(template: str | None, given: Mapping[str, Any]) -> None:
    if "to" not in given:
        raise InvalidMessageError("the message has no to", hint=f"write {_FORMS}")
    content = [field for field in _CONTENT if field in given]
    if template is not None and content:
        raise InvalidMessageError(
            f"the template {template!r} already gives the content, and so does {' and '.join(content)}",
            hint=f"leave out {', '.join(content)}, or the template",
        )
    if template is None and "data" in given:
        raise InvalidMessageError("data has no template to go into", hint=f"write {_FORMS}")
    if template is None and ("subject" not in given or len(content) < 2):
        absent = "a subject" if "subject" not in given else "a content"
        raise InvalidMessageError(
            f"the message has no template and lacks {absent}",
            hint="give subject= and one of body= (Markdown), html=, text=",
        )
    if "body" in given and ("html" in given or "text" in given):
        raise InvalidMessageError("body makes the HTML and the text", hint="leave out html and text, or body")
