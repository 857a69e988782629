"""The URL: MongoDB's own vocabulary, checked at once, and never shown whole."""

from __future__ import annotations

import pytest

from undercroft._core.errors import ConfigError
from undercroft._core.url import UrlError
from undercroft.connections.mongo import Mongo, Url

SECRET = "s3cr3t-pässword"
ENCODED = "s3cr3t-p%C3%A4ssword"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://localhost", "mongodb://localhost"),
        ("mongodb://localhost:27018/shop", "mongodb://localhost:27018/shop"),
        ("mongodb://a:1,b:2,c/shop?replicaSet=rs0&w=majority", "mongodb://a:1,b:2,c/shop"),
        ("mongodb://[::1]:27017/shop", "mongodb://[::1]:27017/shop"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock/shop", "mongodb://%2Ftmp%2Fmongodb-27017.sock/shop"),
        ("mongodb+srv://user:pw@cluster.example.com/shop?retryWrites=true", "mongodb+srv://cluster.example.com/shop"),
        ("mongodb://h/?readPreference=nearest&readPreferenceTags=dc:ny&readPreferenceTags=", "mongodb://h"),
        ("mongodb://h/shop?retrywrites=false;tls=true", "mongodb://h/shop"),
        ("MongoDB://h/shop", "mongodb://h/shop"),
    ],
)
def test_mongodbs_own_urls_are_taken(url: str, shown: str) -> None:
    assert repr(Mongo(url)) == f"Mongo({shown!r})"


def test_parsed_url_is_taken_too() -> None:
    url = Url.parse(f"mongodb://ann:{ENCODED}@a:1,b:2/shop?authSource=admin&appname=my shop", what="X")

    mongo = Mongo.from_url(url, what="X")

    assert repr(mongo) == "Mongo('mongodb://a:1,b:2/shop')"
    assert mongo._address.options == {"authsource": "admin", "appname": "my shop"}
    assert mongo._address.text.startswith(f"mongodb://ann:{ENCODED}@a:1,b:2/shop?")


def test_text_reaches_the_driver_unchanged() -> None:
    url = f"mongodb://ann:{ENCODED}@a:1,b:2/shop?authMechanism=SCRAM-SHA-1&maxPoolSize=7"

    assert Mongo(url)._address.text == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:27017", "not a URL"),
        ("mongo://localhost", "mongo:// is not MongoDB"),
        ("mongodb://", "no host"),
        ("mongodb:///shop", "no host"),
        ("mongodb://h:port/shop", "port"),
        ("mongodb://a,,b/shop", "hosts"),
        ("mongodb://a:99999,b/shop", "hosts"),
        ("mongodb://h/one/two", "'one/two' is not the name of a database"),
        ("mongodb://h/a.b", "'a.b' is not the name of a database"),
        ("mongodb+srv://h:27017/shop", "one host without a port"),
        ("mongodb+srv://a,b/shop", "one host without a port"),
        ("mongodb://h/shop?retryWrites", "name=value"),
        ("mongodb://h/shop?w=1&W=2", "given twice"),
        ("mongodb://h/shop?maxPoolSize=many", "option 'maxPoolSize' is wrong"),
        ("mongodb://h/shop?tls=true&ssl=false", "do not go together"),
        ("mongodb://h/shop?tlsCAFile=/nowhere/ca.pem", "option 'tlsCAFile' is wrong"),
    ],
)
def test_wrong_url_is_an_error_that_names_its_setting(url: str, said: str) -> None:
    with pytest.raises(UrlError) as error:
        Mongo(url, what="MONGODB_URI")

    assert "MONGODB_URI" in str(error.value)
    assert said in str(error.value)


def test_unknown_option_is_an_error_with_near_names() -> None:
    with pytest.raises(UrlError) as error:
        Mongo("mongodb://h/shop?retryWritess=true")

    assert error.value.near[0].lower() == "retrywrites"  # older drivers know it in lower case only


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://ann:{SECRET}@h/shop?bogus=1",
        f"mongodb://ann:{SECRET}@h:port/shop",
        f"mongodb://ann:{SECRET}/x@h/shop",
        f"mongodb://ann:{SECRET}:x@h/shop",
        f"mongodb://ann:{SECRET}%@h/shop",
        f"mongodb://ann:{SECRET}@x@h/shop",
        f"mongodb://ann:{SECRET}#@h/shop",
        f"mongodb://ann:{SECRET}?@h/shop",
        f"mongodb://h/?authMechanismProperties={SECRET}",
        f"mongodb://h/?proxyPassword={SECRET}&proxyPort=x",
    ],
)
def test_errors_never_show_user_or_password(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        Mongo(url)

    shown = f"{error.value} {error.value!r} {error.value.__cause__!r}"
    assert SECRET not in shown
    assert "ann" not in shown


@pytest.mark.parametrize("name", ["server_selection_timeout", "operation_timeout"])
def test_a_wait_without_an_end_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        Mongo("mongodb://h", **{name: 0})  # type: ignore[arg-type]
