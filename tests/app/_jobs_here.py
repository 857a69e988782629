"""A module that holds jobs."""

from undercroft.queue import Job, job


@job("shop.welcome")
async def welcome(user_id: int) -> int:
    return user_id


@job("shop.tidy")
def tidy() -> None: ...


the_same = welcome
not_a_job = Job
