"""Typed data in and out of JSON: every kind of type, every way to be wrong."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from undercroft._core.codec import Parameters, Schema, SchemaError, to_json
from undercroft._core.errors import ConfigError, InvalidDataError

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTheTypeChecker

SECRET = "hunter2"


class Colour(Enum):
    """An enum of text."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


@dataclass
class Everything:
    """One field of each standard type."""

    number: int
    ratio: float
    text: str
    is_on: bool
    data: bytes
    at: datetime
    day: date
    span: timedelta
    amount: Decimal
    id: UUID
    colour: Colour
    level: Level
    numbers: list[int]
    pair: tuple[int, str]
    unique: set[int]
    scores: dict[str, float]
    by_id: dict[int, str]
    maybe: int | None = None
    kind: Literal["a", "b"] = "a"
    tags: list[str] = field(default_factory=list)


class Point(msgspec.Struct):
    """A struct."""

    x: int
    y: int = 0


class StrictPoint(msgspec.Struct, forbid_unknown_fields=True):
    """A struct that knows its fields."""

    width: int
    height: int = 0


class Place(NamedTuple):
    """A named tuple."""

    name: str
    floor: int = 0


class Movie(TypedDict):
    """A typed mapping."""

    title: str
    year: int


class Address(pydantic.BaseModel):
    """A pydantic model."""

    street: str
    number: int
    since: datetime | None = None


class Customer(pydantic.BaseModel):
    """A pydantic model with others inside."""

    name: str
    addresses: list[Address] = []


@dataclass(frozen=True)
class Order:
    """A frozen dataclass with everything else inside."""

    customer: Customer
    at: Point
    where: Place
    movie: Movie
    colour: Colour = Colour.RED


class Strict(pydantic.BaseModel):
    """A pydantic model configured as strict."""

    model_config = pydantic.ConfigDict(strict=True)
    at: datetime
    id: UUID
    amount: Decimal
    data: bytes
    unique: set[int]
    pair: tuple[int, str]
    by_id: dict[int, str]
    colour: Colour


class Camel(pydantic.BaseModel):
    """A pydantic model with aliases."""

    model_config = pydantic.ConfigDict(alias_generator=to_camel, extra="forbid")
    user_id: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.user_id * 2


class Login(pydantic.BaseModel):
    """A pydantic model with a secret."""

    user: str
    password: pydantic.SecretStr


class Stored(pydantic.BaseModel):
    """A pydantic model that says how its secret is stored."""

    password: pydantic.SecretStr

    @pydantic.field_serializer("password")
    def reveal(self, password: pydantic.SecretStr) -> str:
        return password.get_secret_value()


class Cat(pydantic.BaseModel):
    """One kind of animal."""

    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    """Another."""

    kind: Literal["dog"]


class Owner(pydantic.BaseModel):
    """Has one of them."""

    animal: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


class Tree(msgspec.Struct):
    """A type inside itself."""

    children: list[Tree] = []


class Unknown:
    """A type that nothing can read."""


finite = st.floats(allow_nan=False, allow_infinity=False)
instants = st.datetimes(timezones=st.just(UTC)) | st.datetimes()
spans = st.timedeltas(timedelta(days=-9999), timedelta(days=9999))
points = st.builds(Point, x=st.integers(-(2**63), 2**63 - 1), y=st.integers(-9, 9))
places = st.builds(Place, name=st.text(), floor=st.integers(-9, 99))
movies = st.fixed_dictionaries({"title": st.text(), "year": st.integers(1888, 2100)})
addresses = st.builds(Address, street=st.text(), number=st.integers(-9, 9), since=st.none() | instants)
customers = st.builds(Customer, name=st.text(), addresses=st.lists(addresses, max_size=3))
everything = st.builds(
    Everything,
    number=st.integers(-(2**63), 2**64 - 1),
    ratio=finite,
    text=st.text(),
    is_on=st.booleans(),
    data=st.binary(),
    at=instants,
    day=st.dates(),
    span=spans,
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    id=st.uuids(),
    colour=st.sampled_from(Colour),
    level=st.sampled_from(Level),
    numbers=st.lists(st.integers(-9, 9)),
    pair=st.tuples(st.integers(), st.text()),
    unique=st.sets(st.integers(-9, 9)),
    scores=st.dictionaries(st.text(), finite),
    by_id=st.dictionaries(st.integers(-9, 9), st.text()),
    maybe=st.none() | st.integers(),
    kind=st.sampled_from(["a", "b"]),
    tags=st.lists(st.text()),
)
orders = st.builds(Order, customer=customers, at=points, where=places, movie=movies, colour=st.sampled_from(Colour))
stricts = st.builds(
    Strict,
    at=instants,
    id=st.uuids(),
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    data=st.text().map(str.encode),
    unique=st.sets(st.integers(-9, 9)),
    pair=st.tuples(st.integers(), st.text()),
    by_id=st.dictionaries(st.integers(-9, 9), st.text()),
    colour=st.sampled_from(Colour),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
INSTANCES = {
    Everything: everything,
    Point: points,
    Place: places,
    Movie: movies,
    Address: addresses,
    Customer: customers,
    Order: orders,
    Strict: stricts,
}


def refusal(schema: Schema[Any], value: object) -> InvalidDataError:
    with pytest.raises(InvalidDataError) as caught:
        schema.parse(value)
    return caught.value


@pytest.mark.parametrize("type_", INSTANCES, ids=lambda type_: type_.__name__)
@given(data=st.data())
def test_stored_instance_is_read_back_as_it_was(type_: type[Any], data: st.DataObject) -> None:
    schema = Schema(type_)
    parsed = schema.parse(data.draw(INSTANCES[type_]))

    assert schema.decode(schema.encode(parsed)) == parsed


@pytest.mark.parametrize("type_", INSTANCES, ids=lambda type_: type_.__name__)
@given(data=st.data())
def test_valid_instance_is_parsed_as_itself(type_: type[Any], data: st.DataObject) -> None:
    instance = data.draw(INSTANCES[type_])

    assert Schema(type_).parse(instance) == instance


@given(json_values)
def test_value_of_any_type_is_read_back_as_it_was(value: object) -> None:
    schema: Schema[Any] = Schema(Any)  # type: ignore[arg-type]
    parsed = schema.parse(value)

    assert schema.decode(schema.encode(parsed)) == parsed


@given(json_values)
def test_every_json_value_is_parsed_or_refused(value: object) -> None:
    schema = Schema(Order)
    try:
        parsed = schema.parse(value)
    except InvalidDataError:
        return
    assert schema.decode(schema.encode(parsed)) == parsed


@given(st.binary() | st.text())
def test_every_stored_text_is_read_or_refused(data: bytes | str) -> None:
    with suppress(InvalidDataError):
        assert isinstance(Schema(Point).decode(data), Point)


@pytest.mark.parametrize(
    ("type_", "plain", "expected"),
    [
        (Point, {"x": 1}, Point(x=1)),
        (Address, {"street": "a", "number": 1}, Address(street="a", number=1)),
        (Movie, {"title": "M", "year": 1931}, {"title": "M", "year": 1931}),
        (Place, ["hall", 2], Place("hall", 2)),
        (Point, MappingProxyType({"x": 1}), Point(x=1)),
        (datetime, "2025-01-02T03:04:05Z", datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        (Decimal, "1.10", Decimal("1.10")),
        (float, 5, 5.0),
        (Colour, "red", Colour.RED),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (int, 2**70, 2**70),
    ],
)
def test_plain_value_becomes_the_type(type_: type[Any], plain: object, expected: object) -> None:
    parsed = Schema(type_).parse(plain)

    assert (parsed, type(parsed)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("type_", "wrong"),
    [
        (int, "5"),
        (int, 5.0),
        (int, True),
        (bool, 1),
        (bool, "true"),
        (str, 5),
        (float, "5"),
        (float, float("nan")),
        (float, float("inf")),
        (list[int], [1, "2"]),
        (datetime, 1_750_000_000),
        (UUID, "not-a-uuid"),
        (Colour, "green"),
        (Point, {"x": "1"}),
        (Point, {}),
        (Point, [1, 2]),
        (Movie, {"title": "M"}),
        (Place, {"name": "hall"}),
    ],
)
def test_value_of_another_type_is_refused(type_: type[Any], wrong: object) -> None:
    refusal(Schema(type_), wrong)


def test_pydantic_model_converts_by_its_own_rules() -> None:
    assert Schema(Address).parse({"street": "a", "number": "5"}).number == 5


def test_pydantic_model_configured_as_strict_is_strict() -> None:
    class Count(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        number: int

    refusal(Schema(Count), {"number": "5"})


@pytest.mark.parametrize(
    "instance",
    [
        Point(x="1"),  # type: ignore[arg-type]
        Place(name=5),  # type: ignore[arg-type]
        Address.model_construct(street="a", number="many"),
        Order(customer=Customer(name="a"), at=Point(x=None), where=Place("a"), movie={"title": "M", "year": 1}),  # type: ignore[arg-type]
        {"title": "M", "year": "1931"},
    ],
    ids=lambda instance: type(instance).__name__,
)
def test_instance_with_a_wrong_field_is_refused(instance: object) -> None:
    type_: Any = Movie if isinstance(instance, dict) else type(instance)

    refusal(Schema(type_), instance)


def test_error_says_the_place_what_was_expected_and_what_came() -> None:
    error = refusal(Schema(list[Point], what="route"), [{"x": 1}, {"x": "1"}])  # type: ignore[type-abstract]

    assert error.message == "route: Expected `int`, got `str` - at `$[1].x`"


def test_error_in_a_nested_pydantic_model_says_the_whole_place() -> None:
    data = {
        "customer": {"name": "a", "addresses": [{"street": "s", "number": 1}, {"street": "s", "number": "many"}]},
        "at": {"x": 1},
        "where": ["a", 1],
        "movie": {"title": "M", "year": 1},
    }

    assert "at `$.customer.addresses[1].number`" in refusal(Schema(Order), data).message


def test_error_of_a_pydantic_model_names_every_wrong_field_in_one_line() -> None:
    message = refusal(Schema(Address), {"number": "many"}).message

    assert message.count("`$.") == 2
    assert "\n" not in message


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        (Address, {"street": "a", "number": SECRET}),
        (Address, {"street": {"a": SECRET}, "number": 1}),
        (Address, {"street": "a", "number": 1, "since": SECRET}),
        (Address, SECRET),
        (Customer, {"name": "a", "addresses": [SECRET]}),
        (Strict, dict.fromkeys(Strict.model_fields, SECRET)),
        (Owner, {"animal": {"kind": SECRET}}),
        (Everything, dict.fromkeys(["number"], SECRET)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
@pytest.mark.parametrize("reads", ["parse", "decode"])
def test_error_and_its_traceback_do_not_quote_the_input(type_: type[Any], data: object, reads: str) -> None:
    schema = Schema(type_)
    with pytest.raises(InvalidDataError) as caught:
        _ = schema.parse(data) if reads == "parse" else schema.decode(to_json(data))

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_unknown_field_offers_near_names_and_lists_the_known() -> None:
    error = refusal(Schema(StrictPoint), {"widht": 1})

    assert (error.message, error.near, error.hint) == (
        "StrictPoint: unknown 'widht'",
        ("width",),
        "known: width, height",
    )


def test_unknown_field_of_a_strict_pydantic_model_is_refused() -> None:
    assert "`$.extra`" in refusal(Schema(Camel), {"userId": 1, "extra": 2}).message


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nonsense", b"\xff", b'{"x": 1} 2', b'{"x": "1"}', b"null", b"[" * 10_000]
)
def test_stored_text_that_does_not_fit_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidDataError):
        Schema(Point).decode(data)


def test_stored_text_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidDataError):
        Schema(Any).decode(b"[" * 100_000 + b"]" * 100_000)  # type: ignore[arg-type]


def test_value_nested_without_end_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)

    refusal(Schema(Any), endless)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [object(), {"x": object()}, {"x": "\ud800"}, {("a", "b"): 1}, 1j])
def test_value_without_a_json_form_is_refused(value: object) -> None:
    refusal(Schema(Any), value)  # type: ignore[arg-type]


def test_value_without_a_json_form_is_not_encoded() -> None:
    with pytest.raises(InvalidDataError, match="a value of type object cannot be written as JSON"):
        Schema(Any).encode([object()])  # type: ignore[arg-type]


def test_encoded_value_is_utf_8_json() -> None:
    assert Schema(Movie).encode({"title": "Ödipussi", "year": 1988}) == '{"title":"Ödipussi","year":1988}'.encode()


def test_defaults_of_a_dataclass_are_stored_too() -> None:
    @dataclass
    class Task:
        name: str
        retries: int = 3

    schema = Schema(Task)

    assert schema.encode(schema.parse({"name": "a"})) == b'{"name":"a","retries":3}'


def test_data_of_an_earlier_version_takes_the_new_defaults() -> None:
    assert Schema(Point).decode(b'{"x":1}') == Point(x=1, y=0)


def test_data_of_an_earlier_version_may_have_fields_that_are_gone() -> None:
    assert Schema(Point).decode(b'{"x":1,"z":5}') == Point(x=1)


def test_pydantic_aliases_are_used_on_the_way_in_and_out() -> None:
    schema = Schema(Camel)

    assert schema.encode(schema.parse({"userId": 1})) == b'{"userId":1}'


def test_pydantic_instance_with_aliases_and_computed_fields_is_read_back() -> None:
    schema = Schema(Camel)
    instance = Camel(userId=1)

    assert schema.decode(schema.encode(instance)) == instance


def test_pydantic_secret_is_refused_rather_than_stored_as_stars() -> None:
    with pytest.raises(InvalidDataError, match="Login has a secret"):
        Schema(Login).encode(Login(user="a", password=pydantic.SecretStr(SECRET)))


def test_pydantic_secret_that_says_how_it_is_stored_is_read_back() -> None:
    schema = Schema(Stored)
    instance = Stored(password=pydantic.SecretStr(SECRET))

    assert schema.decode(schema.encode(instance)) == instance


def test_text_that_looks_like_a_masked_secret_is_stored() -> None:
    schema = Schema(Address)
    instance = Address(street="**********", number=1)

    assert schema.decode(schema.encode(instance)) == instance


def test_recursive_type_is_a_schema() -> None:
    schema = Schema(Tree)
    tree = Tree([Tree(), Tree([Tree()])])

    assert schema.decode(schema.encode(tree)) == tree


def test_schema_is_called_by_its_type_unless_it_is_named() -> None:
    assert (Schema(Point).what, Schema(Point, what="point of sale").what) == ("Point", "point of sale")


class Unresolved(msgspec.Struct):
    """Has an annotation that exists for the type checker only."""

    amount: OnlyForTheTypeChecker


@pytest.mark.parametrize(
    "type_",
    [Unknown, list[Unknown], dict[str, list[Unknown | None]], complex, list[int] | set[int], Unresolved],
    ids=str,
)
def test_type_that_cannot_be_read_back_is_refused_when_the_schema_is_made(type_: type[Any]) -> None:
    with pytest.raises(SchemaError, match="cannot be a schema"):
        Schema(type_)


def test_schema_error_is_an_error_of_configuration() -> None:
    assert issubclass(SchemaError, ConfigError)


def test_json_of_a_pydantic_model_has_its_computed_fields() -> None:
    assert to_json({"a": Camel(userId=2)}) == b'{"a":{"userId":2,"double":4}}'


def test_json_of_a_secret_is_masked() -> None:
    assert SECRET.encode() not in to_json(Login(user="a", password=pydantic.SecretStr(SECRET)))


@pytest.mark.parametrize("value", [object(), [object()], "\ud800", {("a",): 1}])
def test_value_without_json_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        to_json(value)


def test_endless_value_is_a_type_error() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(TypeError):
        to_json(endless)


# Parameters


def send(user_id: int, name: str = "you", *, at: datetime | None = None, tags: list[str] = []) -> None:  # noqa: B006
    """A function as an application has it."""


async def anything(value, other=None):  # type: ignore[no-untyped-def]
    """A function without annotations."""


@pytest.fixture
def parameters() -> Parameters:
    return Parameters(send, what="job 'send'")


def test_parameters_keep_their_order(parameters: Parameters) -> None:
    assert parameters.names == ("user_id", "name", "at", "tags")


def test_call_arguments_are_bound_by_name_without_the_defaults(parameters: Parameters) -> None:
    assert parameters.bind((1,), {"tags": ["a"]}) == {"user_id": 1, "tags": ["a"]}


def test_parsed_arguments_have_their_types_and_the_defaults(parameters: Parameters) -> None:
    parsed = parameters.parse({"user_id": 1, "at": "2025-01-02T03:04:05Z"})

    assert parsed == {"user_id": 1, "name": "you", "at": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), "tags": []}


@given(
    st.fixed_dictionaries(
        {"user_id": st.integers()},
        optional={"name": st.text(), "at": st.none() | instants, "tags": st.lists(st.text())},
    )
)
def test_stored_arguments_are_read_back_as_they_were(arguments: dict[str, object]) -> None:
    parameters = Parameters(send, what="job 'send'")
    parsed = parameters.parse(arguments)

    assert parameters.decode(parameters.encode(parsed)) == parsed


@given(json_values, json_values)
def test_stored_arguments_without_annotations_are_read_back_as_they_were(value: object, other: object) -> None:
    parameters = Parameters(anything, what="job")
    parsed = parameters.parse({"value": value, "other": other})

    assert parameters.decode(parameters.encode(parsed)) == parsed


@pytest.mark.parametrize("value", [(1, 2), {3: "a"}, {1, 2}, datetime(2025, 1, 1, tzinfo=UTC), uuid4(), Colour.RED])
def test_argument_without_an_annotation_is_what_json_makes_of_it(value: object) -> None:
    parameters = Parameters(anything, what="job")
    parsed = parameters.parse({"value": value})

    assert parameters.decode(parameters.encode(parsed)) == parsed


def test_mutable_default_is_the_functions_own() -> None:
    first, second = (Parameters(send, what="job").parse({"user_id": 1})["tags"] for _ in range(2))

    assert first is second is send.__kwdefaults__["tags"]


def test_parsing_does_not_change_a_mutable_default() -> None:
    Parameters(send, what="job").parse({"user_id": 1, "tags": ["a"]})

    assert send.__kwdefaults__["tags"] == []


@pytest.mark.parametrize("data", [{}, {"user_id": "1"}, {"user_id": 1, "tags": "a"}, [1], None, 5])
def test_data_that_does_not_fit_the_parameters_is_refused(parameters: Parameters, data: object) -> None:
    with pytest.raises(InvalidDataError, match=r"^UC0102 job 'send'"):
        parameters.parse(data)


def test_data_with_an_unknown_key_offers_near_names(parameters: Parameters) -> None:
    with pytest.raises(InvalidDataError) as caught:
        parameters.parse({"usr_id": 1})

    assert (caught.value.message, caught.value.near) == ("job 'send': unknown 'usr_id'", ("user_id",))


def test_stored_data_with_an_unknown_key_is_refused(parameters: Parameters) -> None:
    with pytest.raises(InvalidDataError, match="unknown field `gone`"):
        parameters.decode(b'{"user_id":1,"gone":2}')


def test_call_with_an_unknown_argument_offers_near_names(parameters: Parameters) -> None:
    with pytest.raises(InvalidDataError) as caught:
        parameters.bind((1,), {"tag": []})

    assert (caught.value.message, caught.value.near, caught.value.hint) == (
        "job 'send': unknown argument 'tag'",
        ("tags",),
        "its parameters are: user_id, name, at, tags",
    )


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, "a", None), {}), ((1,), {"user_id": 2})])
def test_call_with_too_many_or_missing_arguments_is_refused(
    parameters: Parameters, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> None:
    with pytest.raises(InvalidDataError, match="its parameters are: user_id, name, at, tags"):
        parameters.bind(args, kwargs)


def test_function_without_parameters_takes_an_empty_object() -> None:
    parameters = Parameters(lambda: None, what="job")

    assert parameters.encode(parameters.parse(parameters.bind((), {}))) == b"{}"


def star_args(*args: int) -> None: ...


def star_kwargs(**kwargs: int) -> None: ...


def positional_only(a: int, /) -> None: ...


@pytest.mark.parametrize("function", [star_args, star_kwargs, positional_only])
def test_parameter_that_is_no_key_is_refused(function: Any) -> None:
    with pytest.raises(SchemaError, match="cannot be a key of a JSON object"):
        Parameters(function, what="job")


def unresolved(amount: OnlyForTheTypeChecker) -> None: ...


def test_annotation_for_the_type_checker_only_is_refused_with_the_way_out() -> None:
    with pytest.raises(SchemaError, match="not only under TYPE_CHECKING"):
        Parameters(unresolved, what="job")


def unknown(value: Unknown) -> None: ...


def test_parameter_of_a_type_that_cannot_be_read_back_is_refused() -> None:
    with pytest.raises(SchemaError, match="Unknown cannot be read from JSON"):
        Parameters(unknown, what="job")


def implicit_none(limit: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013


def sentinel(limit: Any = object()) -> None: ...  # noqa: B008


@pytest.mark.parametrize("function", [implicit_none, sentinel])
def test_default_that_would_not_be_read_back_is_refused(function: Any) -> None:
    with pytest.raises(SchemaError, match="the default of 'limit'"):
        Parameters(function, what="job")


def test_function_without_a_readable_signature_is_refused() -> None:
    with pytest.raises(SchemaError, match="cannot be read"):
        Parameters(type, what="job")


class Callable_:
    """An object that can be called."""

    def __call__(self, user_id: int) -> None: ...

    def method(self, user_id: int) -> None: ...


@functools.lru_cache
def cached(user_id: int) -> None: ...


@pytest.mark.parametrize(
    "function",
    [Callable_(), Callable_().method, functools.partial(send, name="a"), cached],
    ids=lambda f: type(f).__name__,
)
def test_everything_that_can_be_called_has_typed_parameters(function: Any) -> None:
    parameters = Parameters(function, what="job")

    assert parameters.parse({"user_id": 1})["user_id"] == 1
    with pytest.raises(InvalidDataError):
        parameters.parse({"user_id": "1"})


def with_models(address: Address, point: Point, order: Order | None = None) -> None: ...


@given(addresses, points, st.none() | orders)
def test_models_as_parameters_are_read_back_as_they_were(address: Address, point: Point, order: Order | None) -> None:
    parameters = Parameters(with_models, what="job")
    parsed = parameters.parse({"address": address, "point": point, "order": order})

    assert parsed == {"address": address, "point": point, "order": order}
    assert parameters.decode(parameters.encode(parsed)) == parsed
