"""The worker, from its life (`_worker`) to one run of one job (`_running`).

`_claiming` takes jobs, `_slots` runs one after the other, `_heartbeat` keeps their leases, `_care` looks after what
others left, `_health` says what is wrong.
"""
