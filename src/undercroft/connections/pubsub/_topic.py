"""Topics: values that say what a topic is called and what its messages hold. They register nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from undercroft.connections.pubsub._checks import check_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True, init=False)
class Topic(Generic[T]):
    """A topic's definition. Immutable; two with the same fields are equal.

    Args:
        name: As Pub/Sub calls it, without the project: 3 to 255 letters, digits and `-_.~+%`, a letter first.
        schema: A dataclass, `msgspec.Struct`, `TypedDict` or pydantic model for JSON payloads; `bytes` for payloads
            that are taken as they are; `None` for any JSON.
        ordering: Whether messages may be published with an `ordering_key`; its subscriptions then keep their order.

    Raises:
        PubSubDefinitionError: The name is not valid.
    """

    name: str
    schema: type[T] | None = None
    ordering: bool = False

    @overload
    def __init__(self: Topic[Any], name: str, *, schema: None = None, ordering: bool = False) -> None: ...

    @overload
    def __init__(self, name: str, *, schema: type[T], ordering: bool = False) -> None: ...

    def __init__(self, name: str, *, schema: type[T] | None = None, ordering: bool = False) -> None:
        object.__setattr__(self, "name", check_name(name, what="topic"))
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "ordering", ordering)
