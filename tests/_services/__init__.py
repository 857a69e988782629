"""Real servers for tests: fixtures `redis`, `mariadb` and `postgres`.

    def test_claims_are_exclusive(redis: Service) -> None:
        connect(redis.host, redis.port)

Each gives a `Service` for the whole session. In this order:

1. The server that already runs on its standard port of 127.0.0.1, if it really speaks the protocol.
2. One of our own, from the machine's binaries, on a free port, with its data in a temporary directory; it is ended at
   the end of the session. Every process of pytest-xdist starts its own.
3. Neither: the test is skipped, and the reason printed; with `CI=true` in the environment it fails instead.

A server of our own keeps nothing safe (no fsync) and has no passwords: MariaDB's user is `root`, PostgreSQL's
`postgres`. Of a running one, whoever started it knows the users.

The fixtures are in `fixtures.py`, a plugin that `tests/conftest.py` names. To add a server: write a file like
`redis.py`, and a fixture.
"""

from tests._services._provide import ServerMissingError, provide
from tests._services._server import Server, Service

__all__ = ["Server", "ServerMissingError", "Service", "provide"]
