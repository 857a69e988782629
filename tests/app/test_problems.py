"""What is wrong when an application is composed: everything at once, with what to do."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.app import _jobs_here
from undercroft import Infra
from undercroft._core.errors import ConfigError, InvalidSettingsError, MissingExtraError
from undercroft._core.url import UrlError
from undercroft.app import JobsNotFoundError
from undercroft.health import HealthCheckError
from undercroft.queue import JobDefinitionError, define_job
from undercroft.queue.redis._scripts import load_scripts
from undercroft.queue.sqlite import SqliteQueue


def problems_of(environ: dict[str, str] | None = None, **arguments: Any) -> tuple[ConfigError, ...]:
    with pytest.raises(InvalidSettingsError) as caught:
        Infra(environ=environ or {}, **arguments)
    return caught.value.problems


def only_problem(environ: dict[str, str] | None = None, **arguments: Any) -> ConfigError:
    (problem,) = problems_of(environ, **arguments)
    return problem


def test_settings_urls_jobs_and_checks_are_reported_together() -> None:
    found = problems_of(
        {"UNDERCROFT_ENV": "prod", "UNDERCROFT_QUEUE": "sqlite:///q?sync=full", "UNDERCROFT_EMAIL": "fax://office"},
        jobs=["no.such.module", "also.missing"],
        health_checks=[lambda: True],
    )
    kinds = [type(problem).__name__ for problem in found]
    assert kinds == [
        "ConfigError",
        "UrlError",
        "JobsNotFoundError",
        "JobsNotFoundError",
        "ConfigError",
        "HealthCheckError",
    ]


def test_building_connects_to_nothing_and_creates_no_file(home: Path) -> None:
    Infra(environ={"SMTP_URL": "smtp://mail.invalid", "UNDERCROFT_HOME": str(home / "state")})
    Infra(environ={"RESEND_API_KEY": "re_1"})
    Infra(environ={})
    assert list(home.iterdir()) == []


def test_the_environment_is_read_when_it_is_built_and_not_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    infra = Infra()
    monkeypatch.setenv("LOG_LEVEL", "nonsense")
    assert infra.settings.log_level.value == "debug"
    assert infra.override().settings.log_level.value == "debug"


# URLs


@pytest.mark.parametrize("origin", ["REDIS_URL", "REDIS_URL_FILE"])
def test_redis_url_moves_the_jobs_to_redis(origin: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://cache:6379/0")
    value = str(tmp_path / "url") if origin.endswith("FILE") else "redis://cache:6379/0"
    infra = Infra(environ={origin: value})
    assert (infra.queue.backend, infra.describe()[0].chosen_by) == ("redis", origin)


@pytest.mark.parametrize("origin", ["REDIS_URL", "UNDERCROFT_QUEUE"])
def test_missing_package_of_the_redis_queue_names_both_ways_on(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load_scripts.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    problem = only_problem({origin: "redis://cache:6379/0", "UNDERCROFT_HOME": "var"})
    assert isinstance(problem, MissingExtraError)
    assert "undercroft[bullmq]" in (problem.hint or "")
    assert ("UNDERCROFT_QUEUE=sqlite:///var/queue.db" in (problem.hint or "")) is (origin == "REDIS_URL")


def test_undercroft_queue_comes_before_redis_url() -> None:
    infra = Infra(environ={"REDIS_URL": "redis://cache:6379/0", "UNDERCROFT_QUEUE": "sqlite:///var/queue.db"})
    assert infra.queue.backend == "sqlite"


def test_redis_url_is_no_problem_of_the_queue_when_an_engine_was_handed_in(home: Path) -> None:
    infra = Infra(environ={"REDIS_URL": "redis://cache:6379/0"}, queue=SqliteQueue(home / "q.db"))
    assert infra.describe()[0].chosen_by == "argument queue"


def test_an_unknown_scheme_is_named_with_those_there_are() -> None:
    problem = only_problem({"UNDERCROFT_QUEUE": "sqlight:///x"})
    assert "UNDERCROFT_QUEUE" in problem.message
    assert problem.near == ("sqlite",)


def test_an_unknown_option_of_a_url_is_named_with_near_names() -> None:
    problem = only_problem({"UNDERCROFT_QUEUE": "sqlite:///x?syncronous=normal"})
    assert isinstance(problem, UrlError)
    assert problem.near == ("synchronous",)
    assert "UNDERCROFT_QUEUE" in problem.message


@pytest.mark.parametrize(("part", "given"), [("queue", 5), ("queue", SqliteQueue), ("email", object())])
def test_an_object_that_is_no_backend_is_refused(part: str, given: object) -> None:
    assert f"argument {part} is " in only_problem({}, **{part: given}).message


def test_a_sender_that_is_no_address_names_its_variable() -> None:
    problem = only_problem({"EMAIL_FROM": "the shop"})
    assert "EMAIL_FROM" in problem.message
    assert problem.hint


MISSING = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from undercroft import Infra
try:
    Infra(environ={"UNDERCROFT_EMAIL": sys.argv[2], "LOG_LEVEL": "loud"})
except ValueError as exc:
    print(*[f"{type(problem).__name__}|{problem.hint}" for problem in exc.problems], sep="\\n")
"""


@pytest.mark.parametrize(
    ("package", "url", "pip"),
    [
        ("aiosmtplib", "smtp://mail.example", "pip install 'undercroft[smtp]'"),
        ("httpx2", "resend://:k@", "pip install 'undercroft[resend]'"),
    ],
)
def test_a_missing_extra_is_among_the_problems_with_its_pip_line(package: str, url: str, pip: str) -> None:
    done = subprocess.run([sys.executable, "-c", MISSING, package, url], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1] == f"{MissingExtraError.__name__}|{pip}"


# Jobs


def names(jobs: object) -> list[str]:
    return list(Infra(environ={}, jobs=jobs).queue.jobs)  # type: ignore[arg-type]  # whatever a test gives


def test_jobs_can_be_named_in_every_way() -> None:
    module = "tests.app._jobs_here"
    assert names(module) == names(_jobs_here) == names([module]) == ["shop.welcome", "shop.tidy"]
    assert names(_jobs_here.welcome) == names([_jobs_here.welcome]) == ["shop.welcome"]


def test_a_job_that_several_sources_name_is_registered_once() -> None:
    assert names([_jobs_here.tidy, "tests.app._jobs_here", _jobs_here]) == ["shop.tidy", "shop.welcome"]


@pytest.mark.parametrize("name", ["no.such.module", "tests.app._jobs_hear", "", "shop:jobs", ".jobs", "a b"])
def test_a_module_that_is_not_there_is_a_problem(name: str) -> None:
    problem = only_problem(jobs=[name])
    assert isinstance(problem, JobsNotFoundError)
    assert problem.hint


def test_a_module_without_jobs_is_a_problem() -> None:
    problem = only_problem(jobs=ModuleType("empty"))
    assert isinstance(problem, JobsNotFoundError)
    assert "empty" in problem.message


def test_a_module_that_lacks_something_itself_says_what(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "lacking_jobs.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(home)
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        Infra(environ={}, jobs="lacking_jobs")


def test_two_jobs_of_one_name_are_a_problem() -> None:
    twins = [define_job(name="same", handler=print_nothing), define_job(name="same", handler=print_nothing)]
    assert isinstance(only_problem(jobs=twins), JobDefinitionError)


def test_a_function_that_is_no_job_is_a_problem() -> None:
    problem = only_problem(jobs=[print_nothing])
    assert isinstance(problem, JobDefinitionError)
    assert "@job" in (problem.hint or "")


def test_a_check_that_is_no_definition_is_a_problem() -> None:
    assert isinstance(only_problem(health_checks=[print_nothing]), HealthCheckError)


async def print_nothing() -> None: ...
