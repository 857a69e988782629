"""URLs that choose a backend: what they say, what they hide, what is wrong with them."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Literal
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from undercroft._core.errors import ConfigError
from undercroft._core.url import HIDDEN, Url, UrlError

SECRET = "hunter2-Pa55"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options as a backend declares them."""

    synchronous: Literal["full", "normal"] = "full"
    poll_s: float = 0.02
    limit: int = 10
    is_tls: bool = False


names = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.", min_size=1)
addresses = st.one_of(names, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"))
several_addresses = st.lists(
    st.tuples(addresses, st.integers(1, 65535)).map(lambda pair: f"{pair[0]}:{pair[1]}"), min_size=2, max_size=4
).map(",".join)
paths = st.text().map(lambda text: f"/{text}") | st.just("")
urls = st.builds(
    Url,
    scheme=st.from_regex(r"[a-z][a-z0-9.-]*(\+[a-z0-9.-]+)*", fullmatch=True),
    user=st.none() | st.text(min_size=1),
    password=st.none() | st.text(),
    host=st.just("") | addresses,
    port=st.none() | st.integers(1, 65535),
    path=paths,
    options=st.dictionaries(st.text(), st.text(), max_size=4),
).filter(lambda url: url.host != "" or url.port is None)


@given(urls)
def test_revealed_url_is_read_back_as_it_was(url: Url) -> None:
    assert Url.parse(url.reveal()) == url


@given(urls, several_addresses)
def test_revealed_url_of_several_hosts_is_read_back_as_it_was(url: Url, hosts: str) -> None:
    url = Url(scheme=url.scheme, user=url.user, password=url.password, host=hosts, path=url.path, options=url.options)

    assert Url.parse(url.reveal()) == url


@given(urls, st.text(min_size=9), st.sampled_from(["password", "api_key", "auth_token", "SECRET", "sig", "pwd"]))
def test_text_of_a_url_never_shows_a_secret(url: Url, secret: str, option: str) -> None:
    options = {key: value for key, value in url.options.items() if key != option}
    bare = Url(scheme=url.scheme, user=url.user, host=url.host, port=url.port, path=url.path, options=options)
    hiding = dataclasses.replace(bare, password=secret, options={**options, option: secret})
    forms = {secret, quote(secret, safe=""), quote_plus(secret)}
    assume(HIDDEN not in secret)
    assume(not any(form in str(bare) for form in forms))  # it also stands where nobody would put one

    for text in (str(hiding), repr(hiding), f"{hiding}", f"{hiding!r}"):
        assert not any(form in text for form in forms)


@given(st.text())
def test_any_text_is_a_url_or_a_url_error(text: str) -> None:
    try:
        url = Url.parse(text)
    except UrlError:
        return
    assert Url.parse(url.reveal()) == url


@given(st.text("ab:/@?#[]%.,=&1 \t\n"))
def test_any_text_of_special_characters_is_a_url_or_a_url_error(text: str) -> None:
    try:
        url = Url.parse(f"redis://{text}")
    except UrlError:
        return
    assert Url.parse(url.reveal()) == url


def test_every_part_is_read() -> None:
    assert Url.parse("redis+sentinel://me:pa%3Ass@cache.local:6380/0?poll_s=0.5&name=my+cache") == Url(
        scheme="redis+sentinel",
        user="me",
        password="pa:ss",
        host="cache.local",
        port=6380,
        path="/0",
        options={"poll_s": "0.5", "name": "my cache"},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory://", Url(scheme="memory")),
        ("redis://cache", Url(scheme="redis", host="cache")),
        ("redis://cache:/0", Url(scheme="redis", host="cache", path="/0")),
        ("redis://:pw@cache", Url(scheme="redis", password="pw", host="cache")),
        ("redis://me@cache", Url(scheme="redis", user="me", host="cache")),
        ("redis://me:@cache", Url(scheme="redis", user="me", password="", host="cache")),
        ("redis://me:p@ss@cache", Url(scheme="redis", user="me", password="p@ss", host="cache")),
        ("redis://me:p:ss@cache", Url(scheme="redis", user="me", password="p:ss", host="cache")),
        ("redis://me:pässwörd@cache", Url(scheme="redis", user="me", password="pässwörd", host="cache")),
        ("REDIS://Cache", Url(scheme="redis", host="Cache")),
        ("  redis://cache\n", Url(scheme="redis", host="cache")),
        ("redis://[::1]", Url(scheme="redis", host="[::1]")),
        ("redis://[::1]:6379/0", Url(scheme="redis", host="[::1]", port=6379, path="/0")),
        ("redis://[fe80::1%25eth0]:6379", Url(scheme="redis", host="[fe80::1%25eth0]", port=6379)),
        ("mongodb://u:p@h1:1,h2:2/db", Url(scheme="mongodb", user="u", password="p", host="h1:1,h2:2", path="/db")),
        ("redis://h1:1,h2:2 ?db=1", Url(scheme="redis", host="h1:1,h2:2", options={"db": "1"})),
        ("file:///a%20b%3Fc", Url(scheme="file", path="/a b?c")),
        ("x://h?empty=&flag", Url(scheme="x", host="h", options={"empty": "", "flag": ""})),
        ("x://h/?q=a/b?c", Url(scheme="x", host="h", path="/", options={"q": "a/b?c"})),
    ],
)
def test_form_is_read(text: str, expected: Url) -> None:
    assert Url.parse(text) == expected


BAD = {
    "empty": "",
    "no scheme": SECRET,
    "no slashes": f"sqlite:{SECRET}",
    "scheme with a space": f"re dis://{SECRET}",
    "scheme with a digit first": f"1redis://{SECRET}",
    "empty scheme": f"://{SECRET}",
    "empty variant": f"redis+://{SECRET}",
    "port is a word": f"redis://cache:{SECRET}",
    "port 0": "redis://cache:0",
    "port too large": "redis://cache:65536",
    "port much too large": "redis://cache:" + "9" * 5000,
    "port negative": "redis://cache:-1",
    "port of another script": "redis://cache:٣",
    "port without a host": "redis://:6379",
    "user and password without a host": f"redis://me:{SECRET}",
    "address without brackets": "redis://::1",
    "bracket not closed": f"redis://me:{SECRET}@[::1",
    "bracket not opened": f"redis://me:{SECRET}@::1]",
    "name in brackets": f"redis://me:{SECRET}@[cache]:6379",
    "text behind the bracket": f"redis://me:{SECRET}@[::1]x:6379",
    "password with a hash": f"redis://me:{SECRET}#1@cache:6379",
    "password with a slash": f"redis://me:{SECRET}/1@cache:6379",
    "password with a slash, only digits before": f"redis://:1/{SECRET}@cache:6379",
    "password with a question mark": f"redis://me:{SECRET}?1@cache:6379",
    "password that is not UTF-8": f"redis://me:{SECRET}%FF@cache",
    "option that is not UTF-8": f"redis://cache?password={SECRET}%FF",
    "option given twice": f"redis://cache?password={SECRET}&password={SECRET}1",
    "space in the host": f"redis://me:{SECRET}@ca che",
    "fragment": f"sqlite:///jobs.db#{SECRET}",
}
each_bad = pytest.mark.parametrize("text", BAD.values(), ids=BAD)


@each_bad
def test_wrong_url_is_refused(text: str) -> None:
    with pytest.raises(UrlError):
        Url.parse(text)


@each_bad
def test_error_names_the_setting_the_url_came_from(text: str) -> None:
    with pytest.raises(UrlError, match=r"^UC0202 REDIS_URL\b"):
        Url.parse(text, what="REDIS_URL")


@each_bad
def test_error_and_its_traceback_do_not_show_a_piece_of_the_url(text: str) -> None:
    with pytest.raises(UrlError) as caught:
        Url.parse(text)

    shown = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__cause__)
    assert SECRET not in shown


def test_characters_that_unicode_folds_do_not_put_the_password_into_an_error() -> None:
    """The standard library's parser quotes the whole authority there."""
    assert Url.parse("redis://me:hunter℀2@cache").password == "hunter℀2"


def test_tabs_in_a_password_are_kept() -> None:
    """The standard library's parser drops them."""
    assert Url.parse("redis://me:a\tb@cache").password == "a\tb"


@pytest.mark.parametrize("option", ["password", "api_key", "auth_token", "client_secret", "X-Amz-Signature", "sig"])
def test_option_whose_name_sounds_like_a_secret_is_hidden(option: str) -> None:
    assert str(Url.parse(f"x://h/?{option}={SECRET}&limit=5")) == f"x://h/?{option}=***&limit=5"


def test_password_is_hidden_and_the_rest_is_shown() -> None:
    assert str(Url.parse(f"redis://me:{SECRET}@cache:6379/0")) == "redis://me:***@cache:6379/0"


def test_representation_hides_the_password() -> None:
    assert repr(Url.parse(f"redis://me:{SECRET}@cache")) == "Url('redis://me:***@cache')"


def test_revealed_url_has_the_secrets() -> None:
    text = f"redis://me:{SECRET}@cache:6379/0?auth_token=abc"

    assert Url.parse(text).reveal() == text


def test_urls_that_differ_in_the_password_are_different() -> None:
    assert Url.parse("redis://:a@h") != Url.parse("redis://:b@h")


def test_url_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Url.parse("redis://cache").host = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "base"), [("redis://h", "redis"), ("redis+sentinel://h", "redis"), ("a+b+c://h", "a")]
)
def test_base_scheme_is_without_the_variant(text: str, base: str) -> None:
    assert Url.parse(text).base_scheme == base


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///jobs.db", "jobs.db"),
        ("sqlite:///var/jobs.db", "var/jobs.db"),
        ("sqlite:////srv/jobs.db", "/srv/jobs.db"),
        ("sqlite:////srv/my%20jobs%23.db?poll_s=1", "/srv/my jobs#.db"),
        ("sqlite:///./jobs.db", "./jobs.db"),
    ],
)
def test_file_path_is_relative_with_three_slashes_and_absolute_with_four(text: str, path: str) -> None:
    assert Url.parse(text).file_path() == path


@pytest.mark.parametrize("text", ["sqlite://jobs.db", "sqlite://jobs.db/x", "sqlite://", "sqlite:///"])
def test_file_url_with_a_host_or_without_a_path_is_refused(text: str) -> None:
    with pytest.raises(UrlError, match=r"^UC0202 UNDERCROFT_QUEUE: sqlite:// needs a file path"):
        Url.parse(text).file_path(what="UNDERCROFT_QUEUE")


def test_error_of_a_file_path_shows_both_forms() -> None:
    with pytest.raises(UrlError, match=r"sqlite:///var/jobs\.db is relative, sqlite:////srv/jobs\.db is absolute"):
        Url.parse("sqlite://jobs.db").file_path()


def test_options_have_their_declared_types() -> None:
    url = Url.parse("sqlite:///a?synchronous=normal&poll_s=0.5&limit=3&is_tls=true")

    assert url.options_as(Options) == Options(synchronous="normal", poll_s=0.5, limit=3, is_tls=True)


def test_absent_options_take_their_defaults() -> None:
    assert Url.parse("sqlite:///a").options_as(Options) == Options()


@given(limit=st.integers(-(2**53), 2**53), poll_s=st.floats(allow_nan=False), is_tls=st.booleans())
def test_typed_options_survive_the_text(limit: int, poll_s: float, is_tls: bool) -> None:
    options = {"limit": str(limit), "poll_s": repr(poll_s), "is_tls": str(is_tls).lower()}
    url = Url.parse(Url(scheme="x", path="/", options=options).reveal())

    assert url.options_as(Options) == Options(limit=limit, poll_s=poll_s, is_tls=is_tls)


def test_unknown_option_offers_near_names() -> None:
    with pytest.raises(UrlError) as caught:
        Url.parse("sqlite:///a?pol_s=1").options_as(Options, what="UNDERCROFT_QUEUE")

    assert caught.value.message == "UNDERCROFT_QUEUE: unknown option 'pol_s' for sqlite://"
    assert caught.value.near == ("poll_s",)


def test_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(UrlError) as caught:
        Url.parse("sqlite:///a?zzz=1").options_as(Options)

    assert caught.value.hint == "known options: is_tls, limit, poll_s, synchronous"


def test_unknown_option_of_a_backend_without_options_says_so() -> None:
    class NoOptions(msgspec.Struct):
        pass

    with pytest.raises(UrlError, match="known options: none"):
        Url.parse("memory://?x=1").options_as(NoOptions)


@pytest.mark.parametrize("query", ["limit=many", "limit=1.5", "poll_s=soon", "is_tls=maybe", "synchronous=off"])
def test_option_of_another_type_is_refused_with_its_place(query: str) -> None:
    key = query.partition("=")[0]

    with pytest.raises(UrlError, match=rf"^UC0202 UNDERCROFT_QUEUE: option of sqlite:// is wrong: .*`\$\.{key}`"):
        Url.parse(f"sqlite:///a?{query}").options_as(Options, what="UNDERCROFT_QUEUE")


def test_error_about_a_secret_option_does_not_show_it() -> None:
    class Secretive(msgspec.Struct):
        key_id: int = 0

    with pytest.raises(UrlError) as caught:
        Url.parse(f"x://h?key_id={SECRET}").options_as(Secretive)

    assert SECRET not in str(caught.value)


def test_url_error_is_an_error_of_configuration() -> None:
    assert issubclass(UrlError, ConfigError)
