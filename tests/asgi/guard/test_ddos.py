"""Protection from floods: who is refused, for how long, and that it costs nothing to refuse."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any

import pytest

from tests.asgi._calls import LogLines
from tests.asgi.guard._limits import AwayStore, CountingStore, ask, from_client, handshake, ok, statuses
from undercroft.asgi import Clients, DDoSProtection, GuardConfigError, PenaltyBox, Scope
from undercroft.asgi._guard._lag import LagMeter, Shedder
from undercroft.ratelimit import RateLimits, fingerprint
from undercroft.testing import VirtualClock

pytestmark = pytest.mark.anyio
FLOOD = "192.0.2.66"
QUIET = "198.51.100.1"


def protected(clock: VirtualClock, **options: Any) -> DDoSProtection:
    defaults: dict[str, Any] = {"per_client": "5/s", "global_": None, "strikes": 3, "max_lag": None, "clock": clock}
    return DDoSProtection(ok, **{**defaults, **options})


# Ceilings and the box


async def test_a_client_above_its_ceiling_is_refused_for_a_moment(clock: VirtualClock) -> None:
    app = protected(clock)
    assert await statuses(app, 6, by=FLOOD) == [200] * 5 + [429]
    refused = await ask(app, by=FLOOD)
    assert refused.json["type"] == "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
    assert (refused.json["code"], refused.json["violated-policies"]) == ("UC5134", ["client"])
    assert refused.header("retry-after") == "1"
    await clock.advance(1)
    assert (await ask(app, by=FLOOD)).status == 200
    assert (await ask(app, by=QUIET)).status == 200


async def test_a_client_that_keeps_on_is_blocked_each_time_for_longer(clock: VirtualClock) -> None:
    app = protected(clock, block="1m", growth=2)
    waits = []
    for _ in range(3):
        await statuses(app, 7, by=FLOOD)
        waits.append(int((await ask(app, by=FLOOD)).header("retry-after")))
        await clock.advance(waits[-1] - 1)
        assert (await ask(app, by=FLOOD)).status == 429
        await clock.advance(1)
        assert (await ask(app, by=FLOOD)).status == 200
        await clock.advance(2)
    assert waits == [60, 120, 240]


async def test_asking_while_blocked_does_not_prolong_the_block(clock: VirtualClock) -> None:
    app = protected(clock)
    await statuses(app, 8, by=FLOOD)
    for _ in range(59):
        await clock.advance(1)
        assert (await ask(app, by=FLOOD)).status == 429
    await clock.advance(1)
    assert (await ask(app, by=FLOOD)).status == 200


async def test_strikes_are_forgotten_by_a_client_that_pauses(clock: VirtualClock) -> None:
    app = protected(clock)
    for _ in range(10):
        assert await statuses(app, 7, by=FLOOD) == [200] * 5 + [429] * 2
        await clock.advance(2)
    assert app.list_blocked() == {}


async def test_all_clients_together_have_a_ceiling(clock: VirtualClock) -> None:
    app = protected(clock, global_="10/s")
    found = [(await ask(app, by=f"192.0.2.{number}")).status for number in range(12)]
    assert found == [200] * 10 + [503] * 2
    refused = await ask(app, by=QUIET)
    assert refused.json["type"].endswith("#temporary-reduced-capacity")
    assert refused.header("retry-after") == "1"
    await clock.advance(1)
    assert (await ask(app, by=QUIET)).status == 200


async def test_what_one_client_is_refused_does_not_count_for_all(clock: VirtualClock) -> None:
    app = protected(clock, global_="10/s")
    await statuses(app, 1000, by=FLOOD)
    assert (await ask(app, by=QUIET)).status == 200


async def test_probes_always_pass(clock: VirtualClock) -> None:
    app = protected(clock, deny=[FLOOD], max_lag="1ms", chance=lambda: 0.0)
    await app.block(FLOOD, "1h")
    for path in ("/livez", "/readyz", "/health", "/metrics"):
        assert await statuses(app, 10, path, by=FLOOD) == [200] * 10


async def test_the_allow_list_is_looked_at_before_the_box(clock: VirtualClock) -> None:
    app = protected(clock, allow=Clients(ips=[FLOOD], api_keys=[fingerprint("of-a-partner")]))
    await app.block(FLOOD, "1h")
    await app.block(QUIET, "1h")
    assert await statuses(app, 20, by=FLOOD) == [200] * 20
    assert await statuses(app, 20, by=QUIET, headers=[("x-api-key", "of-a-partner")]) == [200] * 20
    assert await statuses(app, 1, by=QUIET) == [429]


async def test_the_deny_list_is_looked_at_first(clock: VirtualClock) -> None:
    app = protected(clock, allow=["192.0.2.0/24"], deny=[FLOOD])
    assert await statuses(app, 2, by=FLOOD) == [403, 403]


async def test_a_secret_and_skipped_paths_pass(clock: VirtualClock) -> None:
    app = protected(clock, bypass={"x-monitor": "0123456789abcdef"}, skip="/static")
    assert await statuses(app, 20, by=FLOOD, headers=[("x-monitor", "0123456789abcdef")]) == [200] * 20
    assert await statuses(app, 20, "/static/app.js", by=FLOOD) == [200] * 20


async def test_clients_are_blocked_and_let_go_by_hand(clock: VirtualClock) -> None:
    app = protected(clock)
    await app.block("2001:db8::7", "1h")
    assert app.list_blocked() == {"ip:2001:db8::/64": 3600}
    assert await statuses(app, 1, by="2001:db8::8") == [429]
    assert await app.unblock("ip:2001:db8::/64")
    assert await statuses(app, 1, by="2001:db8::8") == [200]
    app.allow(FLOOD, "10s")
    assert await statuses(app, 30, by=FLOOD) == [200] * 30
    await clock.advance(10)
    assert await statuses(app, 6, by=FLOOD) == [200] * 5 + [429]
    with pytest.raises(GuardConfigError):
        await app.block("somebody", "1h")


async def test_a_box_can_be_held_by_others_too(clock: VirtualClock) -> None:
    box = PenaltyBox(clock=clock)
    app = protected(clock, box=box)
    box.block(f"ip:{FLOOD}", "1h")
    assert await statuses(app, 1, by=FLOOD) == [429]


async def test_handshakes_are_refused(clock: VirtualClock) -> None:
    app = protected(clock)
    await app.block(FLOOD, "1h")
    (closed,) = await handshake(app, by=FLOOD)
    assert closed["type"] == "websocket.close"
    start, _ = await handshake(app, by=FLOOD, extensions=["websocket.http.response"])
    assert start["status"] == 429


async def test_a_block_is_told_once(clock: VirtualClock, lines: LogLines) -> None:
    app = protected(clock)
    await statuses(app, 500, by=FLOOD)
    (line,) = [line for line in lines.all if "blocked" in line["message"]]
    assert (line["level"], line["client"], line["seconds"]) == ("warning", f"ip:{FLOOD}", 60)


async def test_a_flood_of_offenders_is_not_a_flood_of_lines(clock: VirtualClock, lines: LogLines) -> None:
    app = protected(clock, strikes=1, per_client="1/s")
    for number in range(200):
        await statuses(app, 2, by=f"192.0.2.{number}")
    assert len(app.list_blocked(limit=1000)) == 200
    assert len([line for line in lines.all if line["level"] == "warning"]) == 5


@pytest.mark.slow
async def test_a_hundred_thousand_clients_take_no_more_memory_than_allowed(clock: VirtualClock) -> None:
    app = protected(clock, max_clients=1000, strikes=1, per_client="1/m")
    scope = from_client("x")

    async def nothing(*_: Any) -> Any: ...

    async def flood(first: int, count: int, *, each: int) -> None:
        for number in range(first, first + count):
            scope["client"] = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1)
            for _ in range(each):  # the second is an offence
                await app(scope, nothing, nothing)

    await flood(0, 90_000, each=1)
    await flood(90_000, 5_000, each=2)
    tracemalloc.start()
    try:
        await flood(95_000, 5_000, each=2)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert app.clients <= 1000
    assert len(app.box) == 1000
    assert grown < 4_000_000  # what replaced the clients before, and the remembered addresses


@pytest.mark.parametrize(
    "options", [{"per_client": "many"}, {"per_client": "0/s"}, {"global_": "5"}, {"strikes": 0}, {"max_clients": 0}]
)
async def test_options_that_mean_nothing_are_refused(clock: VirtualClock, options: dict[str, Any]) -> None:
    with pytest.raises(GuardConfigError):
        protected(clock, **options)


# Shared blocks


def two_processes(clock: VirtualClock, **options: Any) -> tuple[DDoSProtection, DDoSProtection, CountingStore]:
    store = CountingStore(clock)
    here, there = (protected(clock, share=RateLimits(store, clock=clock), **options) for _ in range(2))
    return here, there, store


async def test_a_block_is_shared_with_other_processes(clock: VirtualClock) -> None:
    here, there, _ = two_processes(clock)
    assert (await ask(there, by=QUIET)).status == 200
    await statuses(here, 8, by=FLOOD)
    await clock.advance(2)
    assert (await ask(there, by=FLOOD)).status == 429
    assert 57 <= there.box.blocked_for(f"ip:{FLOOD}") <= 58.1
    await clock.advance(59)
    assert (await ask(there, by=FLOOD)).status == 200


async def test_longer_blocks_are_shared_as_they_are(clock: VirtualClock) -> None:
    here, there, _ = two_processes(clock)
    for _ in range(2):
        await statuses(here, 8, by=FLOOD)
        await clock.advance(int(here.box.blocked_for(f"ip:{FLOOD}")) + 3)
    await statuses(here, 8, by=FLOOD)
    await clock.advance(2)
    await ask(there, by=QUIET)
    assert there.box.blocked_for(f"ip:{FLOOD}") == pytest.approx(238, abs=0.1)


async def test_letting_go_is_shared_too(clock: VirtualClock) -> None:
    here, there, _ = two_processes(clock)
    await statuses(here, 8, by=FLOOD)
    await clock.advance(2)
    assert (await ask(there, by=FLOOD)).status == 429
    await here.unblock(FLOOD)
    await clock.advance(2)
    assert (await ask(there, by=FLOOD)).status == 200
    assert (await ask(here, by=FLOOD)).status == 200


async def test_a_blocked_request_writes_nothing(clock: VirtualClock) -> None:
    here, _, store = two_processes(clock)
    await statuses(here, 8, by=FLOOD)
    before = [name for name in store.calls if name != "limited"]
    for _ in range(50):
        await statuses(here, 100, by=FLOOD)
        await clock.advance(1)
    assert [name for name in store.calls if name != "limited"] == before
    assert store.calls.count("limited") <= 27  # every two seconds


async def test_without_the_store_blocks_are_this_processs(clock: VirtualClock) -> None:
    limits = RateLimits(AwayStore(), clock=clock)  # type: ignore[arg-type]  # as much of a store as is asked
    app = protected(clock, share=limits)
    assert await statuses(app, 9, by=FLOOD) == [200] * 5 + [429] * 4
    assert app.box.blocked_for(f"ip:{FLOOD}") == 60


# Load shedding


def test_the_later_the_loop_the_more_is_refused() -> None:
    shares = [Shedder(0.1).share(lag) for lag in (0.0, 0.1, 0.2, 0.3, 1.0, 100.0)]
    assert shares == pytest.approx([0, 0, 1 / 2, 2 / 3, 0.9, 0.95])


async def test_a_loop_that_is_blocked_is_noticed_at_once_and_recovers() -> None:
    meter = LagMeter()
    assert meter.measure() <= 0
    await asyncio.sleep(0.06)
    time.sleep(0.3)
    assert meter.measure() >= 0.2  # before its timer could run
    await asyncio.sleep(0.01)
    assert meter.measure() >= 0.2
    deadline = time.monotonic() + 5
    while meter.measure() > 0.05:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    meter.stop()


async def test_an_idle_meter_sets_no_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("undercroft.asgi._guard._lag._IDLE_S", 0.1)
    meter = LagMeter()
    meter.measure()
    assert meter._timer is not None
    deadline = time.monotonic() + 5
    while meter._timer is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    meter.measure()
    assert meter._timer is not None
    meter.stop()


async def test_a_share_is_refused_while_the_loop_is_late_and_probes_and_friends_pass(lines: LogLines) -> None:
    chances = iter([0.4, 0.5, 0.6, 0.0] * 100)
    app = DDoSProtection(ok, max_lag="100ms", allow=["203.0.113.9"], chance=lambda: next(chances))
    app._lag.measure = lambda: 0.2  # type: ignore[method-assign]  # twice what it may be: half is refused
    shed = await ask(app)
    assert shed.status == 503
    assert shed.json["type"].endswith("#temporary-reduced-capacity")
    assert 1 <= int(shed.header("retry-after")) <= 5
    assert (await ask(app)).status == 200
    assert await statuses(app, 10, "/livez") == [200] * 10
    assert await statuses(app, 10, by="203.0.113.9") == [200] * 10
    await statuses(app, 40)
    assert len([line for line in lines.all if "late" in line["message"]]) == 5


async def test_a_meter_starts_anew_in_another_loop() -> None:
    meter = LagMeter()
    meter.measure()
    first = meter._loop

    def elsewhere() -> bool:
        async def measured() -> bool:
            meter.measure()
            return meter._loop is asyncio.get_running_loop()

        return asyncio.run(measured())

    assert await asyncio.to_thread(elsewhere)
    assert meter._loop is not first


def test_scopes_are_plain_mappings() -> None:
    scope: Scope = from_client(QUIET)
    assert scope["client"] == (QUIET, 50_000)
