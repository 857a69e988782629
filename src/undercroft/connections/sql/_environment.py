"""A database's URL out of the variables that applications have had for MySQL."""

from __future__ import annotations

import re
from collections.abc import Mapping

from undercroft._core.errors import ConfigError
from undercroft._core.url import Url

_REQUIRED = ("MYSQL_HOST", "MYSQL_USER", "MYSQL_DATABASE")
_OPTIONAL = ("MYSQL_PORT", "MYSQL_PASSWORD")


def mysql_url(variables: Mapping[str, str]) -> Url | None:
    """Return the URL that `MYSQL_HOST`, `MYSQL_PORT`, `MYSQL_USER`, `MYSQL_PASSWORD` and `MYSQL_DATABASE` make.

    `None` when none of them is set; blank counts as not set. The port is 3306 and the password none by default.

    Raises:
        ConfigError: Some are set and others that are needed are not, or the port is not one. Names all that lack.
    """
    given = {name: value for name in (*_REQUIRED, *_OPTIONAL) if (value := variables.get(name, "")).strip()}
    if not given:
        return None
    missing = [name for name in _REQUIRED if name not in given]
    if missing:
        raise ConfigError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} set, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not",
            hint="set all of MYSQL_HOST, MYSQL_USER and MYSQL_DATABASE, or DATABASE_URL alone",
        )
    return Url(
        scheme="mysql",
        host=given["MYSQL_HOST"].strip(),
        port=_port(given.get("MYSQL_PORT", "3306").strip()),
        user=given["MYSQL_USER"].strip(),
        password=given.get("MYSQL_PASSWORD"),  # as it is: a space may belong to it
        path=f"/{given['MYSQL_DATABASE'].strip()}",
    )


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ConfigError(f"MYSQL_PORT {text!r} is not a number from 1 to 65535")
    return int(text)
