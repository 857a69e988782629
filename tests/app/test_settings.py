"""Where each setting comes from, what comes first, and every problem at once."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.errors import ConfigError, InvalidSettingsError
from undercroft.app import SettingFileError, Settings, UnknownSettingError


def problems_of(variables: dict[str, str], **arguments: Any) -> tuple[ConfigError, ...]:
    with pytest.raises(InvalidSettingsError) as caught:
        Settings.read(variables, arguments)
    return caught.value.problems


def only_problem(variables: dict[str, str], **arguments: Any) -> ConfigError:
    (problem,) = problems_of(variables, **arguments)
    return problem


# Defaults


def test_without_settings_everything_is_embedded_in_the_home() -> None:
    settings = Settings.read({})
    assert str(settings.queue.value) == "sqlite:///.undercroft/queue.db"
    assert str(settings.email.value) == "inbox:///.undercroft/inbox"
    assert settings.home.value == Path(".undercroft")
    assert (settings.env.value, settings.is_production) == ("development", False)
    assert (settings.log_level.value, settings.log_format.value) == ("info", "auto")
    assert settings.email_from.value is None
    assert settings.close_timeout.value == 10.0
    assert {getattr(settings, name).origin for name in settings.__slots__} == {"default"}


def test_embedded_defaults_follow_the_home() -> None:
    settings = Settings.read({"UNDERCROFT_HOME": "/srv/shop?#%"})
    assert settings.queue.value is not None
    assert settings.queue.value.file_path() == "/srv/shop?#%/queue.db"
    assert settings.queue.origin == "default"


def test_a_home_under_the_users_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert Settings.read({"UNDERCROFT_HOME": "~/shop"}).home.value == Path("/home/ada/shop")


# Precedence

PRECEDENCE = [
    ("env", ["UNDERCROFT_ENV"], ["test", "production"]),
    ("home", ["UNDERCROFT_HOME"], ["/a", "/b"]),
    ("queue", ["UNDERCROFT_QUEUE", "REDIS_URL"], ["sqlite:///a", "sqlite:///b", "redis://c"]),
    (
        "email",
        ["UNDERCROFT_EMAIL", "RESEND_API_KEY", "SMTP_URL"],
        ["inbox:///a", "inbox:///b", "re_c", "smtp://d.example"],
    ),
    ("email_from", ["EMAIL_FROM"], ["a@example.com", "b@example.com"]),
    ("email_templates", ["UNDERCROFT_EMAIL_TEMPLATES"], ["a", "b"]),
    ("log_level", ["LOG_LEVEL"], ["debug", "error"]),
    ("log_format", ["LOG_FORMAT"], ["json", "text"]),
    ("close_timeout", ["UNDERCROFT_CLOSE_TIMEOUT"], ["1s", "2s"]),
    (
        "database_replica",
        ["UNDERCROFT_DATABASE_REPLICA", "DATABASE_REPLICA_URL"],
        ["mysql://a/x", "mysql://b/x", "mysql://c/x"],
    ),
    ("redis", ["UNDERCROFT_REDIS", "REDIS_URL"], ["redis://a", "redis://b", "redis://c"]),
    ("mongo", ["UNDERCROFT_MONGO", "MONGODB_URI"], ["mongodb://a", "mongodb://b", "mongodb://c"]),
    ("pubsub", ["UNDERCROFT_PUBSUB", "PUBSUB_PROJECT_ID"], ["memory://", "pubsub://a-project", "b-project"]),
    ("start_timeout", ["UNDERCROFT_START_TIMEOUT"], ["1s", "2s"]),
    ("process", ["UNDERCROFT_PROCESS", "PROCESS_MODE"], ["all", "worker", "all"]),
]


@pytest.mark.parametrize(("field", "variables", "values"), PRECEDENCE, ids=[row[0] for row in PRECEDENCE])
def test_the_first_that_is_set_decides(field: str, variables: list[str], values: list[str]) -> None:
    argument, *texts = values
    environ = dict(zip(variables, texts, strict=True))
    assert getattr(Settings.read(environ, {field: argument}), field).origin == f"argument {field}"
    for name in variables:
        assert getattr(Settings.read(environ), field).origin == name
        del environ[name]
    assert getattr(Settings.read(environ), field).origin == "default"


@pytest.mark.parametrize("name", [name for _, names, _ in PRECEDENCE for name in names])
def test_every_variable_can_be_a_file(name: str, tmp_path: Path) -> None:
    field, text = next((field, texts[names.index(name) + 1]) for field, names, texts in PRECEDENCE if name in names)
    (tmp_path / "value").write_text(f"{text}\n")
    setting = getattr(Settings.read({f"{name}_FILE": str(tmp_path / "value")}), field)
    assert setting.origin == f"{name}_FILE"
    assert setting.value == getattr(Settings.read({name: text}), field).value


@pytest.mark.parametrize("as_file", [False, True])
def test_the_variables_of_mysql_make_a_url(as_file: bool, tmp_path: Path) -> None:
    environ = {"MYSQL_HOST": "db", "MYSQL_USER": "shop", "MYSQL_DATABASE": "app", "MYSQL_PASSWORD": "p@55"}
    if as_file:
        (tmp_path / "password").write_text(f"{environ.pop('MYSQL_PASSWORD')}\n")
        environ["MYSQL_PASSWORD_FILE"] = str(tmp_path / "password")
    setting = Settings.read(environ).database
    assert setting.value is not None
    assert (str(setting.value), setting.value.password) == ("mysql://shop:***@db:3306/app", "p@55")
    assert setting.origin == "MYSQL_HOST"


def test_variables_of_mysql_that_are_missing_are_named_together() -> None:
    problem = only_problem({"MYSQL_HOST": "db"})
    assert problem.message == "MYSQL_HOST is set, and MYSQL_USER, MYSQL_DATABASE are not"


def test_a_companion_that_nobody_needs_is_no_problem() -> None:
    environ = {"DATABASE_URL": "sqlite:///a.db", "MYSQL_PASSWORD_FILE": "/does/not/exist"}
    assert Settings.read(environ).database.origin == "DATABASE_URL"


def test_the_emulator_becomes_an_option_of_the_project() -> None:
    environ = {"PUBSUB_PROJECT_ID": "shop", "PUBSUB_EMULATOR_HOST": "localhost:8085"}
    assert str(Settings.read(environ).pubsub.value) == "pubsub://shop?emulator=localhost%3A8085"


def test_a_file_comes_before_variables_that_come_later(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("re_1")
    settings = Settings.read({"RESEND_API_KEY_FILE": str(tmp_path / "key"), "SMTP_URL": "smtp://mail.example"})
    assert settings.email.origin == "RESEND_API_KEY_FILE"
    assert settings.email.unused == ("SMTP_URL",)


def test_resend_comes_before_smtp_when_both_are_set() -> None:
    setting = Settings.read({"SMTP_URL": "smtp://mail.example", "RESEND_API_KEY": "re_1"}).email
    assert str(setting.value) == "resend://:***@api.resend.com"
    assert (setting.origin, setting.unused) == ("RESEND_API_KEY", ("SMTP_URL",))


@pytest.mark.parametrize("name", [name for _, names, _ in PRECEDENCE for name in names])
@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_variable_counts_as_absent(name: str, blank: str) -> None:
    assert Settings.read({name: blank, f"{name}_FILE": blank}) == Settings.read({})


def test_an_argument_that_is_none_counts_as_absent() -> None:
    assert Settings.read({"LOG_LEVEL": "debug"}, {"log_level": None}).log_level.origin == "LOG_LEVEL"


# Values


@pytest.mark.parametrize("given", [90, 90.0, timedelta(minutes=1.5), "90", "1m30s", "1.5m"])
def test_a_duration_is_taken_in_every_form(given: object) -> None:
    assert Settings.read({}, {"close_timeout": given}).close_timeout.value == 90.0


def test_words_are_taken_in_any_case() -> None:
    settings = Settings.read({"UNDERCROFT_ENV": "Production", "LOG_LEVEL": " WARN "})
    assert (settings.is_production, settings.log_level.value) == (True, "warn")


@pytest.mark.parametrize("given", ["emails", Path("emails"), ["emails"], (Path("emails"),)])
def test_one_directory_of_templates_is_one(given: object) -> None:
    assert Settings.read({}, {"email_templates": given}).email_templates.value == (Path("emails"),)


def test_directories_of_templates_are_separated_as_in_path() -> None:
    text = os.pathsep.join(["a", "", "b/c"])
    assert Settings.read({"UNDERCROFT_EMAIL_TEMPLATES": text}).email_templates.value == (Path("a"), Path("b/c"))


# Problems


def test_all_problems_are_reported_together() -> None:
    found = problems_of(
        {
            "UNDERCROFT_QUEU": "sqlite:///x",
            "UNDERCROFT_ENV": "prod",
            "REDIS_URL": "localhost:6379",
            "SMTP_URL_FILE": "/does/not/exist",
            "EMAIL_FROM": "shop",
            "LOG_LEVEL": "loud",
            "UNDERCROFT_CLOSE_TIMEOUT": "soon",
        },
        log_format="yaml",
    )
    named = {
        name
        for problem in found
        for name in (
            "UNDERCROFT_QUEU",
            "UNDERCROFT_ENV",
            "REDIS_URL",
            "SMTP_URL_FILE",
            "EMAIL_FROM",
            "LOG_LEVEL",
            "UNDERCROFT_CLOSE_TIMEOUT",
            "argument log_format",
        )
        if problem.message.startswith((f"{name} ", f"{name}:", f"the file that {name}"))
    }
    assert (len(found), len(named)) == (8, 8)


def test_the_text_of_the_error_has_every_problem_and_what_to_do() -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        Settings.read({"UNDERCROFT_ENV": "prodution", "LOG_LEVEL": "inof"})
    assert str(caught.value).splitlines() == [
        "UC0200 2 problems in the configuration",
        "- UC0201 UNDERCROFT_ENV is 'prodution'",
        "  near: production",
        "  do:   it is one of: development, production, test",
        "- UC1101 LOG_LEVEL 'inof' is not a log level",
        "  near: info",
        "  do:   levels: trace, debug, info, warning (warn), error, critical (fatal)",
    ]


def test_an_unknown_variable_of_ours_is_named_with_near_names() -> None:
    problem = only_problem({"UNDERCROFT_QUEU": "sqlite:///x", "UNRELATED": "1"})
    assert isinstance(problem, UnknownSettingError)
    assert problem.near[0] == "UNDERCROFT_QUEUE"
    assert "UNDERCROFT_HOME" in (problem.hint or "")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_that_gives_nothing_is_a_problem(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)
    problem = only_problem({"REDIS_URL_FILE": str(path)})
    assert isinstance(problem, SettingFileError)
    assert problem.message.startswith("the file that REDIS_URL_FILE names ")
    assert problem.hint


def test_a_variable_and_its_file_at_once_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("sqlite:///a")
    problem = only_problem({"UNDERCROFT_QUEUE": "sqlite:///b", "UNDERCROFT_QUEUE_FILE": str(tmp_path / "url")})
    assert problem.message == "both UNDERCROFT_QUEUE and UNDERCROFT_QUEUE_FILE are set"


@pytest.mark.parametrize("field", [row[0] for row in PRECEDENCE])
def test_a_blank_argument_is_a_problem(field: str) -> None:
    assert only_problem({}, **{field: " "}).message == f"argument {field} is blank"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env", 1),
        ("home", 5),
        ("home", "a\0b"),
        ("email_templates", [1]),
        ("email_from", 3),
        ("close_timeout", True),
        ("close_timeout", -1),
        ("close_timeout", float("nan")),
    ],
)
def test_an_argument_of_another_kind_is_a_problem(field: str, value: object) -> None:
    assert f"argument {field}" in only_problem({}, **{field: value}).message


def test_a_home_of_nobody_is_a_problem() -> None:
    assert "UNDERCROFT_HOME" in only_problem({"UNDERCROFT_HOME": "~no-such-user-here/x"}).message


NAMES = [spelling for _, names, _ in PRECEDENCE for name in names for spelling in (name, f"{name}_FILE")]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)))
def test_any_environment_gives_settings_or_every_problem(variables: dict[str, str]) -> None:
    settings, problems = Settings.read_all(variables, {})
    assert isinstance(settings, Settings)
    assert all(problem.message for problem in problems)
