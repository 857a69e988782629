"""APP: what it may be, and what is said when it is something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli._process import run
from undercroft.cli._errors import AppReferenceError
from undercroft.cli._reference import Reference


@pytest.mark.parametrize(
    ("text", "target", "attribute"),
    [
        ("shop", "shop", None),
        ("shop.app:app", "shop.app", "app"),
        ("shop.app:state.infra", "shop.app", "state.infra"),
        ("shop:create_app()", "shop", "create_app"),
        ("src/shop.py", "src/shop.py", None),
        ("./src/my-shop.py:app", "./src/my-shop.py", "app"),
    ],
)
def test_reference_is_read(text: str, target: str, attribute: str | None) -> None:
    assert Reference.parse(text) == Reference(target, attribute)


@pytest.mark.parametrize("text", ["", ":app", "shop:", "a:b:c", "src/shop", "shop app", "shop:1", "shop.py:"])
def test_reference_of_no_known_form_is_refused(text: str) -> None:
    with pytest.raises(AppReferenceError, match="cannot be read"):
        Reference.parse(text)


FORMS = {
    "infra": ("m.py", "infra = Infra()", "m:infra"),
    "module with one Infra": ("m.py", "anything = Infra()", "m"),
    "file": ("m.py", "infra = Infra()", "m.py"),
    "file in a package": ("pack/m.py", "from pack import x\ninfra = Infra()", "pack/m.py:infra"),
    "middleware": ("m.py", "app = InfraMiddleware(Starlette(), Infra())", "m:app"),
    "middleware within another": ("m.py", "app = Outer(InfraMiddleware(Starlette(), Infra()))", "m:app"),
    "added middleware": ("m.py", "app = Starlette()\napp.add_middleware(InfraMiddleware, infra=Infra())", "m:app"),
    "module with an app on one": ("m.py", "app = Starlette()\napp.add_middleware(InfraMiddleware, infra=Infra())", "m"),
    "factory": ("m.py", "def make(home=None):\n    return Infra(home=home)", "m:make"),
    "factory of an application": ("m.py", "def make():\n    return InfraMiddleware(Starlette(), Infra())", "m:make"),
    "Infra beside the app": ("m.py", "infra = Infra()\napp = Starlette()", "m:app"),
    "dotted": ("m.py", "class state:\n    infra = Infra()", "m:state.infra"),
}
HEAD = """\
from starlette.applications import Starlette
from undercroft import Infra
from undercroft.asgi import InfraMiddleware

class Outer:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

"""


@pytest.mark.parametrize("form", FORMS)
def test_app_may_be(form: str, tmp_path: Path) -> None:
    name, body, app = FORMS[form]
    path = tmp_path / name
    if path.parent != tmp_path:
        path.parent.mkdir()
        (path.parent / "__init__.py").write_text("x = 1\n")
    path.write_text(HEAD + body + "\n")
    done = run("config", "show", app, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parts"]


FAILURES = {
    "no such module": ("ap", "UC3103", "there is no module 'ap'", "near: app"),
    "no such submodule": ("pack.modul", "UC3103", "there is no module 'pack.modul'", "near: pack.module"),
    "no such file": ("ap.py", "UC3103", "there is no file ap.py", "near: app.py"),
    "file that another module hides": ("os.py", "UC3103", "cannot be imported as 'os'", "another name"),
    "no such attribute": ("app:infa", "UC3104", "app has no attribute 'infa'", "near: infra"),
    "neither": ("app:ANSWER", "UC3105", "neither an Infra nor an ASGI application", "its type is str"),
    "class": ("other:Infra", "UC3105", "neither an Infra nor an ASGI application", "it is a class"),
    "async factory": ("other:make", "UC3105", "is an async function", "plain function"),
    "several": ("other:app", "UC3106", "could stand on each of: one, two", "near: other:one, other:two"),
    "none": ("pack.module:app", "UC3106", "no Infra can be found", "InfraMiddleware(app, infra)"),
}
OTHER = HEAD + "one = Infra()\ntwo = Infra()\napp = Starlette()\nasync def make():\n    return one\n"


@pytest.mark.parametrize("failure", FAILURES)
def test_app_that_cannot_be_used_is_explained(failure: str, project: Path) -> None:
    app, code, *texts = FAILURES[failure]
    (project / "other.py").write_text(OTHER)
    (project / "os.py").write_text("")
    (project / "pack").mkdir()
    (project / "pack" / "__init__.py").touch()
    (project / "pack" / "module.py").write_text("from starlette.applications import Starlette\napp = Starlette()\n")
    done = run("check", app, cwd=project)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {code} ")
    assert all(text in done.stderr for text in texts), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("def inner():\n    return 1 / 0\ninner()", "ZeroDivisionError: division by zero"),
        ("x = (", "SyntaxError: '(' was never closed"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit('not like this')", "SystemExit: not like this"),
    ],
)
def test_error_in_the_application_shows_its_traceback_and_not_ours(body: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(body + "\n")
    done = run("check", "broken", cwd=tmp_path)
    assert done.returncode == 1
    assert error in done.stderr
    assert "broken.py" in done.stderr
    assert "error: UC3107 broken raised" in done.stderr
    assert "undercroft/cli" not in done.stderr
    assert "importlib" not in done.stderr


def test_our_error_in_the_application_says_which_line(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("from undercroft.queue import job\n\n@job('bad name')\ndef f(): ...\n")
    done = run("check", "m", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.splitlines()[:2] == ["error: UC1201 job name 'bad name' is not valid", "  at:   m.py:3"]
