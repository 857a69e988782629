"""Public objects that hold secrets, made by hand: how they show themselves, alone and as fields of a line."""

from __future__ import annotations

from collections.abc import Iterator

from tests.canary._world import World
from undercroft._core.url import Url
from undercroft.connections.mongo import Mongo
from undercroft.connections.pubsub import create_pubsub
from undercroft.connections.sql import Database
from undercroft.email import open_transport
from undercroft.email.resend import ResendTransport
from undercroft.email.smtp import SmtpTransport
from undercroft.logging import LogFile, Redaction, logger
from undercroft.logging.sentry import SentryBridge
from undercroft.monitoring import AuditLog
from undercroft.monitoring._audit.memory import MemoryAuditStore
from undercroft.monitoring.otlp import OtlpExporter
from undercroft.queue import create_queue
from undercroft.testing.conformance.email import message


async def drive(world: World) -> None:
    for number, thing in enumerate(_made(world)):
        world.take("repr", thing)
        logger.info(f"mark-object-{number}", thing=thing, things=[thing])
        logger.info(f"mark-in-text {thing} {thing!r}", within={"thing": (thing, {"again": thing})})
        world.expect(f"mark-object-{number}")
    mail = message(text=f"https://shop.example/reset?token={world.secret('mail.link')} {world.secret('mail.card')}")
    logger.info("mark-mail", mail=mail)
    world.expect("mark-mail", "mark-in-text")


def _made(world: World) -> Iterator[object]:
    redis, sql, mongo = (world.secret(name) for name in ("redis.password", "sql.password", "mongo.password"))
    smtp, key = world.secret("mail.password"), world.secret("mail.key")
    yield Url.parse(f"redis://u:{redis}@h:1/0")
    yield create_queue(f"redis://u:{redis}@h:1/0")
    yield Database(f"postgresql://u:{sql}@h/shop")
    yield Database(f"mysql://u:{sql}@h/shop")
    yield Mongo(f"mongodb://u:{mongo}@h/shop")
    yield create_pubsub("memory://")
    yield SmtpTransport("h.example", user="u", password=smtp)
    yield ResendTransport(key)
    yield open_transport(Url.parse(f"smtp://u:{smtp}@h.example"), what="x")
    yield SentryBridge(f"https://{world.secret('sentry.dsn')}@h.example/1")
    yield OtlpExporter("http://h:1/v1/traces", headers={"authorization": world.secret("span.header")})
    yield AuditLog(MemoryAuditStore(), redact=dict, key=world.secret("audit.key"))
    yield LogFile(path=world.home / "shop.log")
    yield Redaction(keys=["mark"])
