"""Exceptions raised by source text: as another version of the file, in another directory, would raise them."""

from __future__ import annotations

PAY = """
def charge(order):
    raise KeyError(order)
"""


def raised(
    source: str = PAY, call: str = "charge(1)", *, file: str = "/srv/a/shop/pay.py", module: str = "shop.pay"
) -> Exception:
    """Return what `call` raises, after `source` was executed as `module`, found in `file`."""
    names: dict[str, object] = {"__name__": module}
    exec(compile(source, file, "exec"), names)
    try:
        eval(call, names)
    except Exception as exc:
        return exc
    raise AssertionError(f"{call} raised nothing")
