"""Glue for frameworks that need some. FastAPI and Starlette need none: see `undercroft.asgi`."""
