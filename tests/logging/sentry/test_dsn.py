"""Settings that cannot be used are told at once, without the DSN."""

import subprocess
import sys

import pytest

from undercroft._core.errors import ConfigError, MissingExtraError
from undercroft.logging import LogLevelError
from undercroft.logging.sentry import SentryBridge, SentryDsnError

KEY = "caNARyPublicKey5f2e"
DSN = f"https://{KEY}@o1.ingest.sentry.example/42"


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("", "not an http"),
        (KEY, "not an http"),
        (f"sentry://{KEY}@host/42", "not an http"),
        ("https://host/42", "no public key"),
        (f"https://{KEY}@/42", "no host"),
        (f"https://{KEY}@host", "project number"),
        (f"https://{KEY}@host/", "project number"),
        (f"https://{KEY}@host/{KEY}", "project number"),
        (f"https://{KEY}@host/٤٢", "project number"),
        (f"https://{KEY}@host:{KEY}/42", "host or port"),
        (f"https://{KEY}@host:99999/42", "host or port"),
        (f"https://{KEY}@[{KEY}/42", "host or port"),
    ],
)
def test_bad_dsn_is_a_config_error_that_does_not_quote_it(dsn: str, words: str) -> None:
    with pytest.raises(SentryDsnError, match=words) as caught:
        SentryBridge(dsn)

    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in f"{error} {error!r}"
        error = error.__cause__
    assert "SENTRY_DSN" in str(caught.value)


@pytest.mark.parametrize(
    "dsn", [DSN, f" {DSN}\n", f"https://{KEY}:{KEY}@host:9000/base/path/42", f"http://{KEY}@[::1]:9000/1"]
)
def test_dsn_is_in_no_description(dsn: str) -> None:
    bridge = SentryBridge(dsn, environment="production")

    assert KEY not in f"{bridge!r} {bridge}"
    assert "environment='production'" in repr(bridge)


def test_environment_without_a_dsn_means_no_bridge() -> None:
    assert SentryBridge.from_environ({}) is None
    assert SentryBridge.from_environ({"SENTRY_DSN": " "}) is None


@pytest.mark.parametrize(
    ("environ", "environment"),
    [
        ({}, "development"),
        ({"UNDERCROFT_ENV": "production"}, "production"),
        ({"UNDERCROFT_ENV": "production", "SENTRY_ENVIRONMENT": "canary"}, "canary"),
    ],
)
def test_environment_is_read_from_the_settings(environ: dict[str, str], environment: str) -> None:
    bridge = SentryBridge.from_environ({"SENTRY_DSN": DSN, **environ})

    assert f"environment={environment!r}" in repr(bridge)
    assert f"environment={'mine'!r}" in repr(SentryBridge.from_environ({"SENTRY_DSN": DSN}, environment="mine"))


@pytest.mark.parametrize("share", ["2", "-0.1", "all", "nan"])
def test_bad_share_of_traces_is_a_config_error(share: str) -> None:
    with pytest.raises(ConfigError, match="is not a share"):
        SentryBridge.from_environ({"SENTRY_DSN": DSN, "SENTRY_TRACES_SAMPLE_RATE": share})


def test_bad_levels_are_config_errors() -> None:
    with pytest.raises(LogLevelError, match="breadcrumbs"):
        SentryBridge(DSN, breadcrumbs="loud")


def test_missing_package_is_an_error_that_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'undercroft\[sentry\]'"):
        SentryBridge(DSN)


def test_module_does_not_load_the_sdk() -> None:
    code = "import sys, undercroft.logging.sentry; sys.exit('sentry_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
