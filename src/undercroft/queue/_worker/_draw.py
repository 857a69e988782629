"""Which of several queues is next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from undercroft.queue._checks import check_integer, check_name
from undercroft.queue._errors import JobDefinitionError

MAX_WEIGHT = 1000


class QueueDraw:
    """Draws queues in proportion to their weights, evenly spread: smooth weighted round robin, as in nginx
    (`ngx_http_upstream_round_robin`). With weights 3 and 1: a a b a, a a b a, …
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.queues = tuple(weights)
        self.is_single = len(weights) == 1
        self._weights = dict(weights)
        self._total = sum(weights.values())
        self._owed = dict.fromkeys(weights, 0)
        self._put_back: list[str] = []

    def next(self) -> str:
        """Return the queue that is to be looked into first."""
        if self._put_back:
            return self._put_back.pop()
        for queue, weight in self._weights.items():
            self._owed[queue] += weight
        chosen = max(self._owed, key=self._owed.__getitem__)
        self._owed[chosen] -= self._total
        return chosen

    def put_back(self, queue: str) -> None:
        """Have `queue` drawn again, before all others: whoever drew it could not use it."""
        self._put_back.append(queue)

    def order(self, first: str) -> tuple[str, ...]:
        """Return all queues, `first` first, then those that have waited longest for their share."""
        if self.is_single:
            return self.queues
        others = sorted((queue for queue in self.queues if queue != first), key=lambda queue: -self._owed[queue])
        return (first, *others)


def to_weights(queues: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """Return the weight of each queue; a plain list of names gives them equal ones.

    Raises:
        JobDefinitionError: A name or a weight is not valid, or there is no queue at all.
    """
    if isinstance(queues, str):
        raise JobDefinitionError(f"queues {queues!r} is one name", hint=f"write [{queues!r}]")
    weights = dict(queues) if isinstance(queues, Mapping) else dict.fromkeys(queues, 1)
    if not weights:
        raise JobDefinitionError("a worker needs at least one queue", hint="leave `queues` out for those of its jobs")
    for queue, weight in weights.items():
        check_name(queue, what="queue name")
        check_integer(f"weight of queue {queue!r}", weight, low=1, high=MAX_WEIGHT)
    return weights
