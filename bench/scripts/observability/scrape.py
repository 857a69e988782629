"""What one exposition of 64 processes costs, in milliseconds: `scrape.py undercroft|prometheus_client`.

Each has counted the same 2 000 series; they are children, and wait while their parent renders. The value is the median
of many renderings; the first one, which parses every key, is in the settings.
"""

import json
import os
import signal
import statistics
import sys
import tempfile
import time

PROCESSES, SERIES, TIMES = (4, 60, 3) if os.environ.get("BENCH_QUICK") else (64, 2_000, 21)
ROUTES = SERIES // 4


def labels():
    for route in range(ROUTES):
        for method, status in (("GET", "200"), ("GET", "404"), ("POST", "201"), ("POST", "422")):
            yield {"route": f"/route/{route}/{{id}}", "method": method, "status": status}


def undercroft(directory: str):
    from undercroft.monitoring import Registry

    def count() -> None:
        registry = Registry()
        registry.attach(directory)
        for each in labels():
            registry.increment("http_requests", 1, each)

    def scraper():
        registry = Registry()
        registry.attach(directory)
        return registry.render_prometheus

    return count, scraper


def prometheus_client(directory: str):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory  # read when it is imported
    from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess

    requests = Counter("http_requests", "Requests.", ["route", "method", "status"])

    def count() -> None:
        for each in labels():
            requests.labels(**each).inc()

    def scraper():
        def render() -> str:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
            return generate_latest(registry).decode()

        return render

    return count, scraper


def child(count) -> int:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            count()
            os.write(tell, b".")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    assert os.read(told, 1) == b"."
    os.close(told)
    return pid


def once(render) -> float:
    start = time.perf_counter()
    text = render()
    took = (time.perf_counter() - start) * 1000
    assert text.count("\nhttp_requests_total{") == SERIES
    assert f" {PROCESSES}.0\n" in text
    return took


with tempfile.TemporaryDirectory() as directory:
    count, scraper = {"undercroft": undercroft, "prometheus_client": prometheus_client}[sys.argv[1]](directory)
    children = [child(count) for _ in range(PROCESSES)]
    try:
        render = scraper()
        first = once(render)
        later = [once(render) for _ in range(TIMES)]
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
settings = {"processes": PROCESSES, "series": SERIES, "first_ms": round(first, 1), "worst_ms": round(max(later), 1)}
print(json.dumps({"value": statistics.median(later), "settings": settings}))
