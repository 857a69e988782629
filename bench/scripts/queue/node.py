"""Node's bullmq and the Redis client that it uses by default, installed by npm beside the peers' Python packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ["bullmq@6.7.0", "ioredis@6.0.0"]


def modules() -> Path:
    """Return a `node_modules` with them; installed into this interpreter's environment if it is not there yet."""
    home = Path(sys.prefix) / "-".join(PACKAGES)
    if not home.exists():
        _install(home)
    return home / "node_modules"


def _install(home: Path) -> None:
    making = Path(tempfile.mkdtemp(prefix="bullmq-", dir=home.parent))
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(making), *PACKAGES]
    try:
        subprocess.run(
            command, check=True, stdout=sys.stderr, env={**os.environ, "npm_config_update_notifier": "false"}
        )
        making.rename(home)
    finally:
        shutil.rmtree(making, ignore_errors=True)
