"""Checks that several definitions share."""

from __future__ import annotations

import re

from undercroft.connections.pubsub._errors import PubSubDefinitionError

# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")


def check_name(name: object, *, what: str) -> str:
    """Return `name` if a topic or subscription may be called so.

    Raises:
        PubSubDefinitionError: It may not.
    """
    if isinstance(name, str) and _NAME.fullmatch(name) and not name.lower().startswith("goog"):
        return name
    raise PubSubDefinitionError(
        f"{what} name {name!r} is not valid",
        hint="3 to 255 letters, digits and - _ . ~ + %, beginning with a letter and not with 'goog'; no project path",
    )


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is not a whole number from `low` to `high`.

    Raises:
        PubSubDefinitionError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise PubSubDefinitionError(f"{name} {value!r} is not a whole number from {low} to {high}")
