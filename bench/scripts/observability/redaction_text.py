"""Microseconds to look through 100 characters of text: `redaction_text.py sentences|ids|lines|secrets`.

Every text is another one, so that none is remembered. `ids`: UUIDs. `lines`: `key=value` pairs. `secrets`: a sentence
with a card, an address and a token in it, all of which are found.
"""

import json
import os
import sys
import time
import uuid

from undercroft.logging import redact_text

WHAT = sys.argv[1]
TEXTS = 2_000 if os.environ.get("BENCH_QUICK") else 50_000
MAKE = {
    "sentences": lambda n: (
        f"the worker could not finish job {n} in its time so it was given back and another one will take it soon"
    ),
    "ids": lambda n: str(uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4)),
    "lines": lambda n: f"level=info order_id={n} status=200 took_ms={n / 7:.2f} path=/orders method=GET",
    "secrets": lambda n: f"order {n} of user{n}@shop.example paid with 4111 1111 1111 1111, token=abc{n}",
}[WHAT]


def main() -> float:
    texts = [MAKE(number) for number in range(TEXTS)]
    characters = sum(map(len, texts))
    start = time.perf_counter()
    redacted = [redact_text(text) for text in texts]
    took = time.perf_counter() - start
    assert (redacted != texts) == (WHAT == "secrets")
    assert redacted[7] != texts[7] or WHAT != "secrets"
    return took / characters * 1e8


print(json.dumps({"value": main(), "settings": {"texts": TEXTS, "kind": WHAT}}))
