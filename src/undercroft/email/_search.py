"""Where templates are found.

For the name `welcome` and the locale `de-AT`, with the default directories:

    emails/de-AT/welcome.md      content/locales/de-AT/emails/welcome.md
    emails/de/welcome.md         content/locales/de/emails/welcome.md
    emails/welcome.md
    emails/en/welcome.md         content/locales/en/emails/welcome.md      (`en` being the default locale)

The first file that exists is taken. One that exists and cannot be read is an error, not a reason to go on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from undercroft._core.errors import near_names
from undercroft.email._errors import (
    TemplateNameError,
    TemplateNotFoundError,
    TemplateUnreadableError,
    shorten,
)
from undercroft.email._template import Template, parse_template

DEFAULT_TEMPLATES = ("emails", "content/locales/{locale}/emails")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?")
_LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,4}")
_SLOT = "{locale}"

Place = tuple[Path, str | None]
"""A path, and the locale it stands for."""


def load(name: str, *, locale: str | None, default_locale: str, directories: Sequence[str]) -> Template:
    """Read the template `name`. Blocks on the disk: run it in a thread.

    Raises:
        TemplateNameError: The name or the locale has separators, `..` or other characters it cannot have.
        TemplateNotFoundError: With every path tried, and near names of templates that exist.
        TemplateUnreadableError: The file is there and cannot be read.
        TemplateSyntaxError: It could be read and is malformed.
    """
    places = list(_places(check_name(name), check_locale(locale), check_locale(default_locale), directories))
    for path, found_locale in places:
        text = _read(path)
        if text is not None:
            return parse_template(text, name=name, path=str(path), locale=found_locale)
    existing = {file.stem for folder in {path.parent for path, _ in places} for file in folder.glob("*.md")}
    raise TemplateNotFoundError(name, [str(path) for path, _ in places], near_names(name, sorted(existing)))


def check_name(name: object) -> str:
    """Return `name` if it is one of a template: letters, digits, `_`, `-` and single dots.

    Raises:
        TemplateNameError: It is not.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise TemplateNameError(
            f"{shorten(str(name))!r} is not the name of an email template",
            hint="letters, digits, _ - and dots, without folders and without .md: welcome, password-reset",
        )
    return name


def check_locale(locale: object) -> str | None:
    """Return `locale` in its usual spelling (`en_gb` is `en-GB`).

    Raises:
        TemplateNameError: It is not the tag of a language.
    """
    if locale is None:
        return None
    if not isinstance(locale, str) or not _LOCALE.fullmatch(locale):
        raise TemplateNameError(
            f"{shorten(str(locale))!r} is not a locale", hint="give a language tag: en, en-GB, zh-Hant-TW"
        )
    language, *rest = re.split("[-_]", locale)
    spelled = [tag.upper() if len(tag) == 2 else tag.title() if len(tag) == 4 else tag.lower() for tag in rest]
    return "-".join([language.lower(), *spelled])


def _places(name: str, locale: str | None, default_locale: str | None, directories: Sequence[str]) -> Iterator[Place]:
    file = f"{name}.md"
    asked = list(_chain(locale))
    for tag in asked:
        yield from ((_folder(directory, tag) / file, tag) for directory in directories)
    yield from ((Path(directory) / file, None) for directory in directories if _SLOT not in directory)
    for tag in _chain(default_locale):
        if tag not in asked:
            yield from ((_folder(directory, tag) / file, tag) for directory in directories)


def _chain(locale: str | None) -> Iterator[str]:
    while locale:
        yield locale
        locale = locale.rpartition("-")[0]


def _folder(directory: str, locale: str) -> Path:
    return Path(directory.replace(_SLOT, locale)) if _SLOT in directory else Path(directory) / locale


def _read(path: Path) -> str | None:
    """Return the file's text, `None` when there is no such file."""
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError as exc:
        raise TemplateUnreadableError(str(path), "it is a directory") from exc
    except PermissionError as exc:
        who = f"user {os.geteuid()}" if hasattr(os, "geteuid") else "this user"
        raise TemplateUnreadableError(
            str(path), f"{who} has no permission", hint="give the process read access to the file and its folders"
        ) from exc
    except UnicodeDecodeError as exc:
        raise TemplateUnreadableError(
            str(path), f"it is not UTF-8 (byte {exc.start})", hint="save the file as UTF-8"
        ) from exc
    except OSError as exc:
        raise TemplateUnreadableError(str(path), exc.strerror or type(exc).__name__) from exc
