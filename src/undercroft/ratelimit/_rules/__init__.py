"""How each kind of limit decides: pure arithmetic over a small state, in whole numbers.

These are the decisions of the memory and SQLite stores. The Redis store has the same in Lua (`redis/*.lua`), and a
property test holds the two to the same answers, bit for bit. So all numbers are whole, in microseconds or in a rule's
own units, and stay below 2**53, where Lua's doubles are exact.
"""

from undercroft.ratelimit._rules._base import MOST, Rule, State, Verdict
from undercroft.ratelimit._rules._bucket import BucketRule
from undercroft.ratelimit._rules._counter import CounterRule
from undercroft.ratelimit._rules._log import LogRule
from undercroft.ratelimit._rules._slots import SlotsRule
from undercroft.ratelimit._rules._window import CalendarRule, WindowRule

__all__ = [
    "MOST",
    "BucketRule",
    "CalendarRule",
    "CounterRule",
    "LogRule",
    "Rule",
    "SlotsRule",
    "State",
    "Verdict",
    "WindowRule",
]
