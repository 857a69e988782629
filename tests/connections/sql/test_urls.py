"""URLs, options and the variables they are made of: what is wrong is said before anything is connected."""

from __future__ import annotations

from pathlib import Path

import pytest

from undercroft._core.errors import ConfigError
from undercroft._core.sqlite_errors import StoreNotWritableError
from undercroft._core.url import Url, UrlError
from undercroft.connections.sql import Database, mysql_url
from undercroft.connections.sql._schemes import SCHEMES, open_driver


def arguments(url: str) -> dict[str, object]:
    """Return what SQLAlchemy is given."""
    return open_driver(Url.parse(url), what="DATABASE_URL").engine_arguments()


@pytest.mark.parametrize(
    ("url", "driver", "dialect"),
    [
        ("sqlite:///app.db", "sqlite+aiosqlite", "sqlite"),
        ("sqlite+aiosqlite:////srv/app.db", "sqlite+aiosqlite", "sqlite"),
        ("mysql://me@db/shop", "mysql+asyncmy", "mysql"),
        ("mysql+asyncmy://me@db/shop", "mysql+asyncmy", "mysql"),
        ("mariadb://me@db/shop", "mariadb+asyncmy", "mariadb"),
        ("mariadb+asyncmy://me@db/shop", "mariadb+asyncmy", "mariadb"),
        ("postgres://me@db/shop", "postgresql+asyncpg", "postgresql"),
        ("postgresql://me@db/shop", "postgresql+asyncpg", "postgresql"),
        ("postgresql+asyncpg://me@db/shop", "postgresql+asyncpg", "postgresql"),
        ("postgres+asyncpg://me@db/shop", "postgresql+asyncpg", "postgresql"),
    ],
)
def test_scheme_chooses_the_driver(url: str, driver: str, dialect: str) -> None:
    assert arguments(url)["url"].drivername == driver  # type: ignore[attr-defined]
    assert Database(url, is_lazy=True).dialect == dialect


def test_paths_are_relative_with_three_slashes_and_absolute_with_four() -> None:
    assert arguments("sqlite:///var/app.db")["url"].database == "var/app.db"  # type: ignore[attr-defined]
    assert arguments("sqlite:////srv/app.db")["url"].database == "/srv/app.db"  # type: ignore[attr-defined]


def test_every_part_of_a_servers_url_is_decoded_and_passed_on() -> None:
    url = arguments("postgresql://an%40n:p%2Fw@[::1]:6000/sh%20op")["url"]
    assert (url.username, url.password, url.host, url.port, url.database) == ("an@n", "p/w", "::1", 6000, "sh op")  # type: ignore[attr-defined]


def test_unknown_scheme_offers_near_ones() -> None:
    with pytest.raises(ConfigError, match="postgresql") as caught:
        Database("postgresq://me@db/shop", what="DATABASE_URL")
    assert "postgresql" in caught.value.near
    assert "DATABASE_URL" in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///a.db", "mysql://me@db/shop", "postgresql://me@db/shop"])
def test_unknown_option_offers_near_ones(url: str) -> None:
    with pytest.raises(UrlError, match="pool_siz") as caught:
        Database(f"{url}?pool_siz=3")
    assert caught.value.near == ("pool_size",)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///a.db?synchronous=maybe",
        "sqlite:///a.db?pool_size=0",
        "sqlite:///a.db?pool_size=1001",
        "sqlite:///a.db?busy_timeout_s=-1",
        "sqlite:///:memory:",
        "sqlite://host/a.db",
        "mysql://me@db/shop?ssl=maybe",
        "mysql://me@db/shop?ssl=prefer",
        "mysql://me@db/shop?connect_timeout_s=0",
        "mysql://db/shop",
        "mysql://me@/shop",
        "mysql://me@a,b/shop",
        "mysql://me@db",
        "postgresql://me@db/",
        "postgresql://me@db/shop/orders",
        "postgresql://me@db/shop?statement_timeout_s=nan",
    ],
)
def test_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(UrlError):
        Database(url)


@pytest.mark.parametrize("size", [0, -1, 1001, 2.5, True, "10"])
def test_size_of_the_pool_is_a_number_in_range(size: object) -> None:
    with pytest.raises(ConfigError, match="pool_size"):
        Database("sqlite:///a.db", pool_size=size)  # type: ignore[arg-type]


def test_nothing_shows_the_password() -> None:
    db = Database("mysql://me:s3cret@db/shop", is_lazy=True)
    assert "s3cret" not in repr(db) + str(db)


def test_tls_is_verified_only_when_it_is_asked_for(tmp_path: Path) -> None:
    import ssl

    for scheme in ("mysql", "postgresql"):
        required = arguments(f"{scheme}://me@db/shop?ssl=require")["connect_args"]["ssl"]  # type: ignore[index]
        verified = arguments(f"{scheme}://me@db/shop?ssl=verify")["connect_args"]["ssl"]  # type: ignore[index]
        assert (required.verify_mode, required.check_hostname) == (ssl.CERT_NONE, False)
        assert (verified.verify_mode, verified.check_hostname) == (ssl.CERT_REQUIRED, True)
        for unusable in (tmp_path / "missing.pem", tmp_path):
            with pytest.raises(ConfigError, match="ssl_ca"):
                arguments(f"{scheme}://me@db/shop?ssl=verify&ssl_ca={unusable}")
    assert arguments("postgresql://me@db/shop")["connect_args"]["ssl"] == "prefer"  # type: ignore[index]
    assert "ssl" not in arguments("mysql://me@db/shop")["connect_args"]  # type: ignore[operator]


def test_schemes_are_listed() -> None:
    assert {"sqlite", "mysql", "mariadb", "postgres", "postgresql"} <= set(SCHEMES.names)


def test_mysql_variables_make_a_url() -> None:
    variables = {"MYSQL_HOST": "db", "MYSQL_USER": "me", "MYSQL_PASSWORD": " p@ss ", "MYSQL_DATABASE": "shop"}
    url = mysql_url(variables)

    assert url == Url(scheme="mysql", user="me", password=" p@ss ", host="db", port=3306, path="/shop")
    assert mysql_url({**variables, "MYSQL_PORT": "3307"}) == Url.parse("mysql://me:%20p%40ss%20@db:3307/shop")
    Database(url, is_lazy=True)


@pytest.mark.parametrize("variables", [{}, {"MYSQL_HOST": "", "MYSQL_PASSWORD": " "}, {"DATABASE_URL": "x"}])
def test_no_mysql_variables_make_no_url(variables: dict[str, str]) -> None:
    assert mysql_url(variables) is None


def test_missing_mysql_variables_are_named_together() -> None:
    with pytest.raises(ConfigError, match="MYSQL_HOST, MYSQL_PASSWORD are set, and MYSQL_USER, MYSQL_DATABASE are not"):
        mysql_url({"MYSQL_HOST": "db", "MYSQL_PASSWORD": "s3cret"})


@pytest.mark.parametrize("port", ["0", "65536", "3306x", "-1", "³"])
def test_mysql_port_is_a_number(port: str) -> None:
    with pytest.raises(ConfigError, match="MYSQL_PORT"):
        mysql_url({"MYSQL_HOST": "db", "MYSQL_USER": "me", "MYSQL_DATABASE": "shop", "MYSQL_PORT": port})


@pytest.mark.anyio
async def test_directory_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/a/b/app.db") as db:
        await db.ping()
    assert (tmp_path / "a" / "b" / "app.db").exists()


@pytest.mark.anyio
async def test_sqlite_file_that_cannot_be_made_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreNotWritableError, match="cannot be made"):
        async with Database(f"sqlite:///{tmp_path}/file/app.db"):
            pass


@pytest.mark.anyio
async def test_sqlite_is_durable_and_keeps_foreign_keys(tmp_path: Path) -> None:
    from sqlalchemy import text

    for synchronous, level in (("full", 2), ("normal", 1)):
        async with Database(f"sqlite:///{tmp_path}/app.db?synchronous={synchronous}") as db, db.connection() as sql:
            found = [
                (await sql.execute(text(f"PRAGMA {name}"))).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
            assert found == ["wal", level, 1]
