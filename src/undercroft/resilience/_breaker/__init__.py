"""Circuit breakers, of one process or shared by all that use one store.

_breaker.py        the breaker: who is let through, and what comes of it
_options.py        its arguments, checked
_window.py         what is counted while it is closed
_standing.py       its state and every change of it, as functions without I/O
_keeping.py        where the state is kept: here, or in a store with a copy here
_breakers.py       the breakers of a process by name; commands
_protocol.py       what a store promises; the values that are returned
_schemes.py, memory.py, sqlite.py, redis.py
                   the stores
"""
