"""Settings: URLs, keys, files and unknown variables, right and wrong, and everything that describes them."""

from __future__ import annotations

from tests.canary._world import World
from undercroft import Infra
from undercroft._core.errors import UndercroftError
from undercroft._core.url import Url
from undercroft.app import Settings


async def drive(world: World) -> None:
    for environ in _good(world):
        infra = Infra(environ=environ, email_from="shop@example.com", home=world.home)
        parts = (infra.queue, infra.email, infra.email.transport, infra.services, infra.health)
        world.take("describe", infra, infra.settings, *infra.describe(), *parts)
        world.take("check", *await infra.check(connect=False))
        world.take("settings", Settings.read(environ))
    for environ in _bad(world):
        try:
            Infra(environ=environ, home=world.home)
        except UndercroftError as error:
            world.take("errors", error, *getattr(error, "problems", ()))
    url = Url.parse(f"redis://shop:{world.secret('set.redis')}@mark-host:6379/0?password={world.secret('set.option')}")
    world.take("urls", url)
    world.expect("mark-host", "mark-cache", "mark-db", "UC0200", "UNDERCROFT_SECRET_THING", "REDIS_URL")


def _good(world: World) -> list[dict[str, str]]:
    key = world.home / "key"
    key.write_text(world.secret("set.file"))
    return [
        {"RESEND_API_KEY": world.secret("set.resend"), "REDIS_URL": f"redis://:{world.secret('set.redis')}@mark-cache"},
        {"RESEND_API_KEY_FILE": str(key)},
        {"SMTP_URL": f"smtp://shop:{world.secret('set.smtp')}@mail.example"},
        {"DATABASE_URL": f"postgresql://shop:{world.secret('set.database')}@mark-db/shop"},
        {
            "DATABASE_URL": f"mysql://shop:{world.secret('set.database')}@db/shop",
            "DATABASE_REPLICA_URL": f"mysql://shop:{world.secret('set.replica')}@db2/shop",
        },
        {
            "MYSQL_HOST": "db",
            "MYSQL_USER": "shop",
            "MYSQL_PASSWORD": world.secret("set.database"),
            "MYSQL_DATABASE": "s",
        },
        {"MONGODB_URI": f"mongodb://shop:{world.secret('set.mongo')}@a.example,b.example/shop?authSource=admin"},
    ]


def _bad(world: World) -> list[dict[str, str]]:
    redis, option, port = world.secret("set.redis"), world.secret("set.option"), world.secret("set.bad_port")
    return [
        {"REDIS_URL": f"redis://:{redis}@cache:{port}"},
        {"REDIS_URL": redis},
        {"UNDERCROFT_QUEUE": f"redis://:{redis}@cache?nonsense={option}"},
        {"UNDERCROFT_QUEUE": f"nosuch://:{redis}@cache"},
        {"DATABASE_URL": f"postgresql://u:{world.secret('set.database')}@h/db?timeout_s={option}"},
        {"DATABASE_URL": f"postgresql://u:{world.secret('set.database')}#@h/db"},
        {"MONGODB_URI": f"mongodb://u:{world.secret('set.mongo')}@h:{port}/shop"},
        {"SMTP_URL": f"smtp://u:{world.secret('set.smtp')}@h h:25"},
        {"RESEND_API_KEY": f"{world.secret('set.resend')} {world.secret('set.resend')}"},
        {"RESEND_API_KEY_FILE": f"/no/such/{world.secret('set.file')}"},
        {"UNDERCROFT_SECRET_THING": world.secret("set.unknown")},
    ]
