"""Mail addresses and IP addresses."""

from __future__ import annotations

import re

_AT = re.compile(r"@|%40")
_LOCAL_BACKWARDS = re.compile(r"[\w.+'%\-]++")
_DOMAIN = re.compile(r"(?![0-9]+[.x])(?:\w[\w\-]{0,62}\.)+(xn--[\w\-]{1,59}|[^\W\d_]{2,24})")
_MAX_DOMAIN = 255
# What follows the last dot in names of files and services that have an "@": logo@dark.png, getty@tty1.service.
_NO_DOMAINS = re.compile("css|gif|jpeg|jpg|js|json|map|mount|png|service|socket|svg|target|timer|ts|webp|yaml|yml")


def hide_emails(text: str) -> str:
    """Return `text` with every mail address as `[EMAIL]`, also where the "@" is percent-encoded."""
    parts: list[str] = []
    done = floor = 0
    backwards, size = text[::-1], len(text)
    for at in _AT.finditer(text):
        floor, above = at.end(), floor  # the next look back ends here: no place is looked at twice
        if at.start() < done:
            continue
        domain = _DOMAIN.match(text, at.end(), at.end() + _MAX_DOMAIN)
        local = _LOCAL_BACKWARDS.match(backwards, size - at.start(), size - max(done, above))
        if domain is None or local is None or _NO_DOMAINS.fullmatch(domain[1].lower()):
            continue
        name = local[0][::-1].lstrip(".'%+-")
        if name:
            parts += [text[done : at.start() - len(name)], "[EMAIL]"]
            done = domain.end()
    return "".join([*parts, text[done:]]) if parts else text


_IPV4 = re.compile(r"[0-9](?<![\w.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w)(?!\.\w)")
_IPV6 = re.compile(
    r"[0-9A-Fa-f:](?<![\w:.].)(?:[0-9A-Fa-f]{0,4}:){1,8}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![\w:])"
)


def hide_ips(text: str) -> str:
    """Return `text` with every IP address, of version 4 or 6, as `[IP]`."""
    if ":" in text:
        text = _IPV6.sub(lambda ip: "[IP]" if _is_ipv6(ip[0]) else ip[0], text)
    return _IPV4.sub(lambda ip: "[IP]" if all(int(part) < 256 for part in ip[0].split(".")) else ip[0], text)


def _is_ipv6(text: str) -> bool:
    import ipaddress

    if not any(character.isdigit() for character in text):
        return False  # "std::dead" is code
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
