"""When to leave a store alone that does not answer."""

from __future__ import annotations

from undercroft.logging import Logger

_IN_A_ROW = 3
_log = Logger(module="undercroft.ratelimit")


class Outage:
    """After three failures in a row the store is asked once a second, by one call; the others do not wait for it."""

    PAUSE_S = 1.0

    def __init__(self) -> None:
        self._failures = 0
        self._ask_at = 0.0

    def may_ask(self, now: float) -> bool:
        """Tell whether to ask the store now; during an outage only once in a while, so a `True` is to be used."""
        if self._failures < _IN_A_ROW:
            return True
        if now < self._ask_at:
            return False
        self._ask_at = now + self.PAUSE_S
        return True

    def failed(self, now: float, problem: str) -> None:
        """Take note that it did not answer."""
        self._failures += 1
        self._ask_at = now + self.PAUSE_S
        if self._failures == _IN_A_ROW:
            _log.warning("the store of the rate limits does not answer; each policy's fail= decides", problem=problem)

    def answered(self) -> None:
        """Take note that it did."""
        if self._failures >= _IN_A_ROW:
            _log.info("the store of the rate limits answers again")
        self._failures = 0
