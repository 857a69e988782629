"""Reading templates: where they are looked for, and what is said when one is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from undercroft.email import (
    Email,
    MissingVariableError,
    TemplateNameError,
    TemplateNotFoundError,
    TemplateSyntaxError,
    TemplateUnreadableError,
    TemplateValueError,
    parse_template,
    render_template,
)

pytestmark = pytest.mark.anyio


def write(path: Path, text: str | bytes = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


async def test_front_matter_of_the_seeds(email: Email) -> None:
    template = await email.load_template("welcome")

    assert template.subject == "Welcome to {{appName}}!"
    assert template.body.startswith("Hi {{name}},\n")
    assert template.variables == ("appName", "loginUrl", "name")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(end: str) -> None:
    template = parse_template(f"---{end}subject: Hi {{{{name}}}}{end}preheader: Soon{end}---{end}{end}a{end}b")

    assert (template.subject, template.preheader, template.body) == ("Hi {{name}}", "Soon", "a\nb")


@pytest.mark.parametrize("text", ["Only text", "---\npreheader: x\n---\ntext", "---\nsubject:\n---\ntext"])
def test_no_subject_is_named_so(text: str) -> None:
    assert parse_template(text).subject == "(No subject)"


def test_byte_order_mark_and_quotes_are_taken_off() -> None:
    assert parse_template('\ufeff---\nsubject: "Hi: there"\n---\nx').subject == "Hi: there"
    assert parse_template('---\nsubject: "a" or "b"\n---\nx').subject == '"a" or "b"'


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("---\nsubjcet: x\n---\ny", (2, 1), "near: subject"),
        ("---\nsubject: x\nsubject: y\n---\nz", (3, 1), "twice"),
        ("---\nsubject: x\n", (1, 1), "not closed"),
        ("---\nno colon here\n---\n", (2, 1), "key: value"),
        ("---\nsubject: a\x0bb\n---\nz", (2, 10), "U+000B"),
        ("a\nb {{ name\n}}", (2, 3), "not closed on its line"),
        ("{{}}", (1, 1), "not a variable"),
        ("{{#if x}}", (1, 1), "no filters, conditions or calls"),
        ("{{ name | upper }}", (1, 1), "not a variable"),
        ("{{ x() }}", (1, 1), "not a variable"),
        ("{{ x[0] }}", (1, 1), "not a variable"),
        ("ok {{x.__class__}}", (1, 4), "asks for an attribute"),
        ("{{ __import__ }}", (1, 1), "asks for an attribute"),
        ("---\nsubject: Hi {{x y}}\n---\n", (2, 13), "not a variable"),
    ],
)
def test_malformed_template_says_where(text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(TemplateSyntaxError) as error:
        parse_template(text, path="emails/x.md")

    assert (error.value.line, error.value.column) == place
    assert f"emails/x.md:{place[0]}:{place[1]}" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("locale", "files", "found"),
    [
        ("en-GB", ["emails/welcome.md", "emails/en/welcome.md", "emails/en-GB/welcome.md"], "emails/en-GB/welcome.md"),
        ("en_gb", ["emails/welcome.md", "emails/en/welcome.md", "emails/en-GB/welcome.md"], "emails/en-GB/welcome.md"),
        ("en-GB", ["emails/welcome.md", "emails/en/welcome.md"], "emails/en/welcome.md"),
        ("de-AT", ["emails/welcome.md", "emails/en/welcome.md"], "emails/welcome.md"),
        (
            "de-AT",
            ["emails/welcome.md", "content/locales/de/emails/welcome.md"],
            "content/locales/de/emails/welcome.md",
        ),
        (None, ["content/locales/en/emails/welcome.md"], "content/locales/en/emails/welcome.md"),
        ("fr", ["content/locales/en/emails/welcome.md"], "content/locales/en/emails/welcome.md"),
        ("zh-hant-tw", ["emails/zh-Hant/welcome.md"], "emails/zh-Hant/welcome.md"),
        (None, ["emails/welcome.md", "emails/en/welcome.md"], "emails/welcome.md"),
    ],
)
async def test_nearest_locale_is_found(email: Email, project: Path, locale, files: list[str], found: str) -> None:
    (project / "emails" / "welcome.md").unlink()
    for file in files:
        write(project / file)

    assert (await email.load_template("welcome", locale)).path == found


async def test_missing_template_names_every_path_and_what_is_near(email: Email) -> None:
    with pytest.raises(TemplateNotFoundError) as error:
        await email.load_template("welcom", "de")

    assert error.value.tried == (
        "emails/de/welcom.md",
        "content/locales/de/emails/welcom.md",
        "emails/welcom.md",
        "emails/en/welcom.md",
        "content/locales/en/emails/welcom.md",
    )
    assert error.value.near == ("welcome",)
    assert isinstance(error.value, LookupError)
    assert str(error.value).startswith("UC2102 there is no email template 'welcom'")


@pytest.mark.parametrize(
    "name",
    ["../secret", "a/b", "a\\b", "..", ".", "", "a..b", ".hidden", "x\0", "a b", "/etc/passwd", "~x", "x" * 200, 5],
)
async def test_name_cannot_leave_the_directory(email: Email, name: str) -> None:
    with pytest.raises(TemplateNameError, match="UC2105"):
        await email.load_template(name)


@pytest.mark.parametrize("locale", ["../x", "en/..", "..", "e", "en-", "", "en\0", "{locale}", "*"])
async def test_locale_cannot_leave_the_directory(email: Email, locale: str) -> None:
    with pytest.raises(TemplateNameError, match="locale"):
        await email.load_template("welcome", locale)


async def test_not_utf_8_is_unreadable_and_not_missing(email: Email, project: Path) -> None:
    write(project / "emails" / "de" / "welcome.md", b"gr\xfc\xdfe")

    with pytest.raises(
        TemplateUnreadableError, match=r"emails/de/welcome\.md cannot be read: it is not UTF-8 \(byte 2\)"
    ):
        await email.load_template("welcome", "de")


async def test_directory_in_the_place_of_a_file_is_unreadable(email: Email, project: Path) -> None:
    (project / "emails" / "de" / "welcome.md").mkdir(parents=True)

    with pytest.raises(TemplateUnreadableError, match="it is a directory"):
        await email.load_template("welcome", "de")


async def test_no_permission_is_unreadable(email: Email, project: Path, as_nobody: Callable[[], None]) -> None:
    project.chmod(0o755)
    (project / "emails" / "welcome.md").chmod(0)
    as_nobody()

    with pytest.raises(TemplateUnreadableError, match="no permission"):
        await email.load_template("welcome")


async def test_link_that_leads_in_a_circle_is_unreadable(email: Email, project: Path) -> None:
    (project / "emails" / "loop.md").symlink_to("loop.md")

    with pytest.raises(TemplateUnreadableError, match="UC2103"):
        await email.load_template("loop")


async def test_changed_file_counts_at_once(email: Email, project: Path) -> None:
    await email.load_template("welcome")
    write(project / "emails" / "welcome.md", "new")

    assert (await email.load_template("welcome")).body == "new"


TEMPLATE = parse_template(
    "---\nsubject: Hi {{nmae}}\n---\n\n{{ name }} and\n{{user.city}}, {{ nmae }}", path="emails/x.md"
)


def test_missing_variables_are_listed_all_together_with_their_places() -> None:
    with pytest.raises(MissingVariableError) as error:
        render_template(TEMPLATE, {"name": "x", "user": {"town": "y"}})

    places = [(one.name, one.line, one.column, one.near) for one in error.value.missing]
    assert places == [("nmae", 2, 13, ("name",)), ("user.city", 6, 1, ()), ("nmae", 6, 16, ("name",))] or places == [
        ("nmae", 2, 13, ("name",)),
        ("user.city", 6, 1, ("user.town",)),
        ("nmae", 6, 16, ("name",)),
    ]
    assert str(error.value).startswith("UC2101 2 variables without a value:\n  emails/x.md:2:13  {{nmae}} has no value")
    assert "Did you mean 'name'" in str(error.value)


def test_missing_variables_can_be_kept_as_they_are() -> None:
    rendered = render_template(TEMPLATE, {"name": "x"}, missing="keep")

    assert rendered.subject == "Hi {{nmae}}"
    assert rendered.text == "x and\n{{user.city}}, {{nmae}}\n"


def test_missing_variables_can_be_empty() -> None:
    rendered = render_template(TEMPLATE, {"name": "x"}, missing="empty")

    assert (rendered.subject, rendered.text) == ("Hi ", "x and\n, \n")


def test_unknown_way_with_missing_ones_is_an_error() -> None:
    with pytest.raises(TemplateValueError, match="near: keep"):
        render_template(TEMPLATE, {}, missing="kep")  # type: ignore[arg-type]


class User:
    name = "attribute"
    secret = "s3cret"


@pytest.mark.parametrize("value", [None, ["x"], {"a": 1}, object(), User(), b"bytes", User, lambda: "x"])
def test_value_without_a_text_form_is_an_error(value: object) -> None:
    with pytest.raises(TemplateValueError, match=r"t:1:1 .*which has no plain text form"):
        render_template(parse_template("{{x}}", name="t"), {"x": value})


@pytest.mark.parametrize("mode", ["error", "keep", "empty"])
def test_dots_never_reach_attributes(mode) -> None:
    template = parse_template("{{user.secret}}", name="t")

    with pytest.raises(TemplateValueError, match="'user' is a User, not a mapping"):
        render_template(template, {"user": User()}, missing=mode)


def test_two_braces_can_be_written() -> None:
    template = parse_template("---\nsubject: \\{{x}}\n---\n\\{{name}} `\\{{name}}` {{name}}")
    rendered = render_template(template, {"name": "v"})

    assert (rendered.subject, rendered.text) == ("{{x}}", "{{name}} {{name}} v\n")
