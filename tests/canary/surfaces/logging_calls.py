"""Lines: fields of every kind of object, texts, exceptions, and the lines of other libraries."""

from __future__ import annotations

import logging
import threading
from collections import namedtuple
from dataclasses import dataclass

import attrs
import msgspec
import pydantic

from tests.canary._secrets import CANARIES
from tests.canary._world import World
from undercroft.logging import Logger, Secret, create_logger, redact_text

shop = Logger(module="canary.shop")


@dataclass
class Login:
    user: str
    password: str


class Token(msgspec.Struct):
    user: str
    access_token: str


class Account(pydantic.BaseModel):
    user: str
    client_secret: str


@attrs.define
class Key:
    user: str
    private_key: str


Row = namedtuple("Row", ["user", "passphrase"])  # noqa: PYI024 - the plain kind is the one that is tested


async def drive(world: World) -> None:
    _under_names(world)
    _in_objects(world)
    _in_texts(world)
    _in_exceptions(world)
    _of_others(world)
    shapes = [name for name in CANARIES if name.startswith("shape.")]
    for name in shapes:
        _shape(world, name)


def _under_names(world: World) -> None:
    shop.info("mark-names", password=world.secret("key.password"), api_key=world.secret("key.api_key"))
    shop.info("mark-mapping", {"clientSecret": world.secret("key.client_secret"), "order_id": 7})
    nested = {"user": {"sessions": [{"SESSION-TOKEN": world.secret("key.session_token")}], "n": 1}}
    shop.info("mark-nested", nested=nested, deep=[[{"db": {"pwd": world.secret("key.nested")}}]])
    shop.info("mark-cookie", cookie=f"sid={world.secret('key.cookie')}", seen=True)
    headers = [(b"Authorization", f"Token {world.secret('key.header_pair')}".encode()), (b"accept", b"*/*")]
    shop.info("mark-headers", headers=headers, values=[{"secret": [world.secret("key.in_list")]}])
    child = create_logger({"signing_key": world.secret("key.context")}).child(step=2)
    child.warning("mark-context")
    world.take("repr", child, shop)
    world.expect("mark-names", "mark-mapping", "mark-nested", "mark-cookie", "mark-headers", "mark-context")


def _in_objects(world: World) -> None:
    objects = [
        Login("ada", world.secret("key.dataclass")),
        Token("ada", world.secret("key.msgspec")),
        Account(user="ada", client_secret=world.secret("key.pydantic")),
        Key("ada", world.secret("key.attrs")),
        Row("ada", world.secret("key.namedtuple")),
    ]
    hidden = Secret(world.secret("key.secret_object"))
    shop.info(f"mark-secret {hidden} {hidden!r}", value=hidden, within=[{"value": hidden}])
    logging.getLogger("canary.other").info("mark-secret-arg %s %r", hidden, hidden)
    world.take("repr", hidden)
    world.expect("mark-secret", "mark-secret-arg")
    for number, thing in enumerate(objects):
        shop.info(f"mark-object-{number}", thing=thing, within={"things": [thing]})
        world.expect(f"mark-object-{number}")


def _in_texts(world: World) -> None:
    texts = {
        "userinfo": f"cannot reach redis://shop:{world.secret('url.userinfo')}@cache:6379/0",
        "user": f"clone https://{world.secret('url.token_as_user')}@git.example/shop.git",
        "special": f"postgresql://shop:p%40{world.secret('url.special')}/#?@db.example/shop",
        "query": f"GET https://api.example/v1?page=2&api_key={world.secret('url.query')}&sort=asc",
        "signature": f"https://s3.example/b/k?X-Amz-Expires=60&X-Amz-Signature={world.secret('url.signature')}",
        "fragment": f"https://shop.example/cb#access_token={world.secret('url.fragment')}&state=1",
        "pair": f"connect failed: host=db password={world.secret('text.pair')} port=5432",
        "json": f'answer was {{"user": "ada", "password": "{world.secret("text.json")}"}}',
        "cookie": f"Set-Cookie: session={world.secret('text.set_cookie')}; Path=/; HttpOnly",
    }
    for name, text in texts.items():
        shop.info(f"mark-text-{name} {text}", again=text, within=[{"text": text}], **{f"k{name}": text})
        logging.getLogger("canary.other").info("mark-arg-%s %s", name, text)
        world.take("redact_text", redact_text(text))
        world.expect(f"mark-text-{name}", f"mark-arg-{name}")


def _in_exceptions(world: World) -> None:
    try:
        try:
            raise ConnectionError(f"amqp://shop:{world.secret('url.in_cause')}@mq.example")
        except ConnectionError as cause:
            error = ValueError(f"cannot use https://u:{world.secret('url.in_exception')}@h", {"token": "x"})
            error.add_note(f"tried with password={world.secret('text.note')}")
            raise error from cause
    except ValueError as exc:
        shop.error("mark-exception", exc)
        logging.getLogger("canary.other").exception("mark-exception-of-others")
        group = ExceptionGroup("mark-group", [exc, exc])
        shop.error("failed in a group", group, errors=[exc])
    world.expect("mark-exception", "mark-exception-of-others", "mark-group")


def _of_others(world: World) -> None:
    other = logging.getLogger("canary.other")
    text = world.secret("text.other_library")
    other.warning("mark-extra", extra={"auth_token": text, "step": 2})
    other.info("mark-one-mapping %(user)s %(password)s", {"user": "ada", "password": text})
    other.info("mark-container %s", {"user": "ada", "password": world.secret("key.argument")})
    other.info({"mark-message": 1, "secret": text})
    thread = threading.Thread(target=lambda: other.info("mark-thread", extra={"secret": text}))
    thread.start()
    thread.join()
    world.expect("mark-extra", "mark-one-mapping", "mark-container", "mark-message", "mark-thread")


def _shape(world: World, name: str) -> None:
    text = world.secret(name)
    shop.info(f"mark-{name} it was {text}, they said", value=text, within={"items": [text]})
    logging.getLogger("canary.other").error("mark-arg-%s: <%s>", name, text)
    try:
        raise LookupError(f"no such thing: {text!r}")
    except LookupError as exc:
        shop.error(f"mark-raised-{name}", exc)
    world.take("redact_text", redact_text(f"({text})"))
    world.expect(f"mark-{name}", f"mark-arg-{name}", f"mark-raised-{name}")
