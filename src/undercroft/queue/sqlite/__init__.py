"""The queue in one SQLite file: for one machine and any number of its processes.

Every write is one `BEGIN IMMEDIATE` transaction on the process's one writer thread, shared by whoever writes at that
moment (`_core.sqlite`); what is added or finished in one turn of the event loop, or while a write is under way, is one
statement each. Workers that die are noticed by their lock file (`_liveness`), those that hang by their lease.

    _engine.py                    the engine: adding, working and waiting
    _base.py                      the store, the clock, and who waits for what
    _one_job.py, _queues.py, _lists.py, _events.py, _pulse.py
                                  the engine's other methods, one subject each
    _batches.py, _step.py         one piece of work in a transaction
    _adding.py, _working.py, _ending.py
                                  what such a piece does to jobs
    _rows.py                      rows and the values they stand for
    schema_1.sql, schema_2.sql    the schema, in the order of its versions

URL: `sqlite:///var/queue.db?synchronous=full|normal&poll_s=0.02&busy_timeout_s=5`
"""

from undercroft.queue.sqlite._engine import SqliteQueue

__all__ = ["SqliteQueue"]
