"""The steps of undercroft's own tables, read by `connections/sql/_scripts.py`.

A step is a file `m<number>_<what>.py` with the first line of its docstring as its title, and:

    revision = "0003_since_0001"            # this is step 3; releases that know step 1 or more work beside it
    down_revision = "0002_since_0001"       # the step before

    def upgrade(op: Operations) -> None: …  # only adds, and can be taken again: MySQL commits each change at once

There is no way down: a step never takes away what the release before it needs.
"""
