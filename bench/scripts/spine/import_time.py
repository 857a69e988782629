"""How long one import statement takes in a fresh interpreter: `import_time.py "import asyncio"`, in ms."""

import json
import os
import statistics
import subprocess
import sys

INTERPRETERS = 3 if os.environ.get("BENCH_QUICK") else 15
STATEMENT = sys.argv[1]
CODE = f"from time import perf_counter as now; start = now(); {STATEMENT}; print((now() - start) * 1000)"


def one() -> float:
    done = subprocess.run([sys.executable, "-I", "-c", CODE], capture_output=True, text=True, check=True)
    return float(done.stdout)


one()  # writes the bytecode
print(
    json.dumps(
        {
            "value": statistics.median(one() for _ in range(INTERPRETERS)),
            "settings": {"statement": STATEMENT, "interpreters": INTERPRETERS},
        }
    )
)
