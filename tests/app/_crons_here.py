"""A module that holds crons."""

from undercroft.queue import cron


@cron("shop.report", "0 3 * * *")
async def report() -> None: ...


@cron("shop.sweep", every="5m")
async def sweep() -> None: ...
