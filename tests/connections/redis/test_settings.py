"""What URLs mean, and what wrong ones are told."""

from __future__ import annotations

from typing import Any

import pytest

from undercroft._core.errors import ConfigError, NotOpenError
from undercroft._core.url import Url, UrlError
from undercroft.connections.redis import RedisConnection, RedisUrlError, Script
from undercroft.connections.redis._settings import RedisSettings


def read(text: str) -> RedisSettings:
    return RedisSettings.from_url(Url.parse(text), what="REDIS_URL")


def test_one_server_has_its_standard_port_and_database() -> None:
    settings = read("redis://cache")

    assert (settings.hosts, settings.db, settings.is_tls, settings.kind) == ((("cache", 6379),), 0, False, "")


def test_user_password_port_and_database_are_read_and_decoded() -> None:
    settings = read("rediss://ann:p%40ss%2F@[::1]:7000/12")

    assert (settings.user, settings.password) == ("ann", "p@ss/")
    assert (settings.hosts, settings.db, settings.is_tls) == ((("::1", 7000),), 12, True)


def test_password_alone_belongs_to_the_default_user() -> None:
    assert (read("redis://:secret@h").user, read("redis://:secret@h").password) == (None, "secret")


def test_sentinels_are_several_hosts_and_the_name_of_the_primary() -> None:
    settings = read("redis+sentinel://:pw@h1:26379,h2,[::1]:26380/mymaster/2?sentinel_password=other")

    assert settings.hosts == (("h1", 26379), ("h2", 26379), ("::1", 26380))
    assert (settings.primary, settings.db, settings.password) == ("mymaster", 2, "pw")
    assert settings.options.sentinel_password == "other"


def test_cluster_is_several_hosts() -> None:
    assert read("rediss+cluster://h1:7000,h2").hosts == (("h1", 7000), ("h2", 6379))
    assert read("redis+cluster://h1").hosts == (("h1", 6379),)


def test_socket_is_an_absolute_path() -> None:
    settings = read("redis+unix:///run/redis%20cache.sock?db=3")

    assert (settings.path, settings.db, settings.hosts) == ("/run/redis cache.sock", 3, ())


def test_defaults_are_what_the_docs_say() -> None:
    options = read("redis://h").options

    assert (options.socket_timeout_s, options.connect_timeout_s, options.pool_timeout_s) == (5, 5, 5)
    assert (options.pool_size, options.health_check_s, options.protocol, options.verify) == (50, 30, "3", "yes")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redis://", "a host is missing"),
        ("redis://h:0", "port"),
        ("redis://h/x", "number of a database"),
        ("redis://h/1/2", "number of a database"),
        ("redis://a,b", "one server is one host"),
        ("redis://h?db=1", "belongs into the path"),
        ("redis://ann@h", "user without a password"),
        ("redis://h?ca_file=/x", "without TLS"),
        ("redis://h?verify=no", "without TLS"),
        ("rediss://h?key_file=/x", "key_file without cert_file"),
        ("redis://h?sentinel_password=x", "redis\\+sentinel"),
        ("redis://h?client_name=a%20b", "client_name"),
        ("redis+unix://h/p", "has no host"),
        ("redis+unix://", "path of the socket is missing"),
        ("redis+sentinel://h1,h2", "name of the primary is missing"),
        ("redis+sentinel://h1,:5/m", "host or host:port"),
        ("redis+sentinel://h1,h2:99999/m", "host or host:port"),
        ("redis+cluster://h1,h2/1", "database 0 only"),
        ("redis+cluster://", "a host is missing"),
    ],
)
def test_wrong_url_is_told_what_is_wrong_and_how_to_write_it(text: str, words: str) -> None:
    with pytest.raises(UrlError, match=words) as caught:
        RedisConnection(text, what="REDIS_URL")
    assert "REDIS_URL" in str(caught.value)


def test_other_scheme_is_told_the_near_ones() -> None:
    with pytest.raises(RedisUrlError) as caught:
        RedisConnection("redis+sentinels://h/m")
    assert caught.value.near[0] == "redis+sentinel"


def test_unknown_option_is_told_the_near_ones() -> None:
    with pytest.raises(RedisUrlError) as caught:
        RedisConnection("redis://h?pool_sise=3")
    assert caught.value.near[0] == "pool_size"


@pytest.mark.parametrize(
    "option", ["pool_size=0", "pool_size=x", "socket_timeout_s=0", "protocol=4", "verify=maybe", "health_check_s=-1"]
)
def test_option_of_a_wrong_value_is_refused(option: str) -> None:
    with pytest.raises(UrlError, match=option.partition("=")[0]):
        RedisConnection(f"redis://h?{option}")


def test_no_secret_is_shown() -> None:
    url = Url.parse("redis+sentinel://ann:s3cret@h/m?sentinel_user=bob&sentinel_password=s3cret")
    connection = RedisConnection.from_url(url, what="REDIS_URL")
    shown = f"{connection!r} {connection} {connection.place} {connection._settings!r} {url!r}"

    assert "s3cret" not in shown
    with pytest.raises(NotOpenError) as caught:
        connection.client  # noqa: B018
    assert "s3cret" not in str(caught.value)


@pytest.mark.anyio
async def test_certificate_that_cannot_be_read_is_a_mistake_of_the_configuration(tmp_path: Any) -> None:
    for name in ("ca_file", "cert_file"):
        connection = RedisConnection(f"rediss://h?{name}={tmp_path}/missing.pem")
        with pytest.raises(ConfigError, match=r"No such file|\[Errno 2\]") as caught:
            await connection.__aenter__()
        assert name in str(caught.value)


def test_script_is_known_by_the_sha1_of_its_text() -> None:
    script = Script("return 1")

    assert script.sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"  # redis-cli script load "return 1"
    assert script == Script("return 1")
    assert "return 1" not in repr(script)
