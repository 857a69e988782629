from __future__ import annotations

import re
from typing import assert_type

from undercroft.logging import Redaction, Secret, decode_secret, redact, redact_pii, redact_text

# texts and values
assert_type(redact_text("x"), str)
assert_type(redact_pii("x"), str)
assert_type(redact_pii({"a": [1]}), dict[str, list[int]])
assert_type(redact_pii(["x"], custom={"order": r"ORD-\d+", "sim": re.compile("x")}), list[str])
assert_type(redact({"a": 1}), dict[str, int])
assert_type(redact("x", Redaction(keys=["a"])), str)
redact_text(b"x")  # E: arg-type
redact_pii("x", custom=["x"])  # E: call-overload
redact("x", "y")  # E: call-overload

# settings
rules = Redaction(keys=["a"], allow={"b"}, patterns={"c": "x", "d": re.compile("y")}, show=("email",), hide_ips=True)
Redaction(["a"])  # E: call-arg
Redaction(hide_ips=1)  # E: arg-type
rules.hide_ips = False  # E: misc

# secrets
secret = Secret("x")
assert_type(secret, Secret[str])
assert_type(secret.reveal(), str)
assert_type(Secret(b"x").reveal(), bytes)
held: Secret[object] = secret
wrong: Secret[bytes] = secret  # E: assignment
text: str = secret  # E: assignment
assert_type(decode_secret(Secret[str], "x"), object)
