"""A figure that was promised, as if somebody had measured it: `promised.py 100`."""

import json
import sys

print(json.dumps({"value": float(sys.argv[1])}))
