"""Find the `Infra` and the application in what was loaded."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import cast

from undercroft.app import Infra
from undercroft.asgi import ASGIApp, InfraMiddleware
from undercroft.cli._errors import AppAttributeError, AppUnsuitableError, InfraNotFoundError
from undercroft.cli._loading import Loaded, load, made

_USUAL_NAMES = ("app", "application", "asgi")
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application to serve, and what it stands on."""

    app: ASGIApp
    infra: Infra
    is_wrapped_here: bool
    """It did not have the middleware, so it was given one."""


def load_infra(app: str | None) -> Infra:
    """Return the `Infra` that APP names or stands on; without APP, one made of the environment alone.

    Raises:
        AppError: A subclass that says what was seen.
    """
    if app is None:
        return Infra()
    loaded = load(app)
    is_named = loaded.reference.attribute is not None
    if is_named and not isinstance(loaded.value, Infra) and not is_application(loaded.value):
        raise _unsuitable(loaded, "neither an Infra nor an ASGI application")
    return _infra_of(loaded.value, loaded)


def load_application(app: str) -> Application:
    """Return the application that APP names, on its `Infra`.

    Raises:
        AppError: A subclass that says what was seen.
    """
    loaded = load(app)
    value = loaded.value if loaded.reference.attribute is not None else _usual_application(loaded)
    if isinstance(value, Infra):
        names = [name for name, item in vars(loaded.module).items() if is_application(item)]
        hint = "name the application, as in shop.app:app; to run jobs only: undercroft worker"
        near = [f"{loaded.reference.target}:{name}" for name in names]
        raise AppUnsuitableError(f"{loaded.reference} is an Infra, which serves nothing", near=near, hint=hint)
    if not is_application(value):
        raise _unsuitable(loaded, "not an ASGI application")
    infra = _infra_of(value, loaded)
    application = cast("ASGIApp", value)
    if _has_middleware(value):
        return Application(app=application, infra=infra, is_wrapped_here=False)
    return Application(app=InfraMiddleware(application, infra), infra=infra, is_wrapped_here=True)


def is_application(value: object) -> bool:
    """Tell whether `value` can be called as `app(scope, receive, send)`; classes cannot."""
    # A plain function of three arguments may be anything.
    is_plain_function = inspect.isroutine(value) and not inspect.iscoroutinefunction(value)
    if is_plain_function or isinstance(value, type | ModuleType) or not callable(value):
        return False
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return False
    named = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    return len(named) >= 3 and all(item.default is not item.empty for item in named[3:])


def _usual_application(loaded: Loaded) -> object:
    for name in _USUAL_NAMES:
        value = getattr(loaded.module, name, None)
        if value is not None:
            return made(value, f"{loaded.reference.target}:{name}")
    names = [name for name, value in vars(loaded.module).items() if is_application(value)]
    raise AppAttributeError(
        f"{loaded.reference.target} has nothing called {', '.join(_USUAL_NAMES)}",
        near=[f"{loaded.reference.target}:{name}" for name in names[:3]],
        hint="name the application: module:attribute",
    )


def _infra_of(value: object, loaded: Loaded) -> Infra:
    for candidate in _infras_under(value):
        return candidate
    named = _infras_among(loaded.module)
    if len({id(infra) for infra in named.values()}) == 1:
        return next(iter(named.values()))
    if named:
        raise InfraNotFoundError(
            f"{loaded.reference} could stand on each of: {', '.join(named)}",
            near=[f"{loaded.reference.target}:{name}" for name in named],
            hint="name one of them, or wrap the application: InfraMiddleware(app, infra)",
        )
    raise InfraNotFoundError(
        f"no Infra can be found for {loaded.reference}",
        hint="wrap the application: app = InfraMiddleware(app, infra); or have `infra = Infra(…)` in that module",
    )


def _infras_under(value: object) -> Iterator[Infra]:
    """Yield what an application stands on, outermost first: its own, its middlewares', what it wraps."""
    for layer in _layers(value):
        own = layer if isinstance(layer, Infra) else getattr(layer, "infra", None)
        if isinstance(own, Infra):
            yield own
        for _, arguments in _added_middlewares(layer):
            yield from (argument for argument in arguments if isinstance(argument, Infra))


def _infras_among(module: ModuleType) -> dict[str, Infra]:
    found: dict[str, Infra] = {}
    for name, value in vars(module).items():
        if isinstance(value, Infra) or is_application(value):
            found.update((name, infra) for infra in _infras_under(value))
    return found


def _has_middleware(value: object) -> bool:
    for layer in _layers(value):
        if isinstance(layer, InfraMiddleware):
            return True
        if any(isinstance(kind, type) and issubclass(kind, InfraMiddleware) for kind, _ in _added_middlewares(layer)):
            return True
    return False


def _layers(value: object) -> Iterator[object]:
    """Yield an application and what it wraps, by the attribute `app` that ASGI middlewares have by custom."""
    for _ in range(_MAX_DEPTH):
        if value is None:
            return
        yield value
        value = getattr(value, "app", None)


def _added_middlewares(app: object) -> Iterator[tuple[object, tuple[object, ...]]]:
    """Yield class and arguments of what `add_middleware` of Starlette and FastAPI was given."""
    added = getattr(app, "user_middleware", None)
    for entry in added if isinstance(added, list) else ():
        yield getattr(entry, "cls", None), (*getattr(entry, "args", ()), *getattr(entry, "kwargs", {}).values())


def _unsuitable(loaded: Loaded, what: str) -> AppUnsuitableError:
    kind = "it is a class" if isinstance(loaded.value, type) else f"its type is {type(loaded.value).__name__}"
    hint = "name an Infra, an ASGI application, or a function without parameters that returns one of them"
    if callable(getattr(loaded.value, "wsgi_app", None)):
        hint = "that is a WSGI application; undercroft serves ASGI: wrap it, for example in a2wsgi.WSGIMiddleware"
    return AppUnsuitableError(f"{loaded.reference} is {what}: {kind}", hint=hint)
