"""Variables that an application cannot do without in production."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from undercroft._core.errors import ConfigError


class MissingVariablesError(ConfigError):
    """Variables that are required in production are missing or blank. `names` lists all of them."""

    code = "UC0208"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(
            f"missing environment variables: {', '.join(names)}",
            hint="set them, each also as <NAME>_FILE with the path of a file that holds the value",
        )


def validate_env(
    required: Iterable[str | tuple[str, ...]], variables: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Require variables in production, and name all that are missing at once.

        validate_env(["DATABASE_URL", "REDIS_URL", ("RESEND_API_KEY", "SMTP_URL")])

    Args:
        required: Names; a tuple is satisfied by any one of its names. A blank variable counts as missing, and each name
            also as `<NAME>_FILE`.
        variables: Where to look; `os.environ` when it is left out.

    Returns:
        What is missing. Outside of production (`UNDERCROFT_ENV`) nothing is raised: there, everything has an embedded
        default.

    Raises:
        MissingVariablesError: In production, when any is missing.
    """
    environ = os.environ if variables is None else variables
    missing = tuple(
        " or ".join(names)
        for names in ((one,) if isinstance(one, str) else one for one in required)
        if not any(environ.get(key, "").strip() for name in names for key in (name, f"{name}_FILE"))
    )
    if missing and environ.get("UNDERCROFT_ENV", "").strip().lower() == "production":
        raise MissingVariablesError(missing)
    return missing
