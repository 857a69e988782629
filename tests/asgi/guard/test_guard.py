"""The guard: which rule decides, what is counted, and what a client is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.asgi._calls import Answer, LogLines, call, http_scope
from tests.asgi.guard._limits import AwayStore, CountingStore, ask, from_client, handshake, ok, statuses
from undercroft import Infra
from undercroft._core.bound import bind
from undercroft._core.errors import NotBoundError
from undercroft.asgi import (
    Clients,
    GuardConfigError,
    InfraMiddleware,
    LimitRule,
    Message,
    RateLimitGuard,
    Receive,
    Scope,
    Send,
    api_rule,
    auth_rule,
    by_api_key,
    by_ip,
    by_path,
    by_user,
    combined,
    parse_rate_limit_headers,
)
from undercroft.monitoring import get_counter
from undercroft.ratelimit import (
    Concurrency,
    RateLimits,
    RatePolicy,
    SlidingWindow,
    TokenBucket,
    UnknownPolicyError,
    fingerprint,
)
from undercroft.testing import VirtualClock

pytestmark = pytest.mark.anyio

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
SECRET = "a-secret-of-a-monitor"


class Users:
    """What an authentication leaves in the scope."""

    is_authenticated = True

    def __init__(self, identity: str) -> None:
        self.identity = identity


# What a client sees


async def test_a_client_sees_how_much_is_left_and_then_when_to_come_back(
    limits: RateLimits, clock: VirtualClock
) -> None:
    guard = RateLimitGuard(ok, limits, policy="3/m", name="api", clock=clock)
    answers = []
    for _ in range(4):
        answers.append(await ask(guard))
        await clock.advance("10s")
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.header("ratelimit") for answer in answers[:3]] == [
        '"api";r=2;t=60',
        '"api";r=1;t=60',
        '"api";r=0;t=60',
    ]
    assert answers[3].header("ratelimit") == '"api";r=0;t=30'
    assert answers[3].header("retry-after") == "30"
    assert {answer.header("ratelimit-policy") for answer in answers} == {'"api";q=3;w=60'}
    assert [answer.header("x-ratelimit-remaining") for answer in answers] == ["2", "1", "0", "0"]


async def test_whoever_waits_as_long_as_it_says_is_served(limits: RateLimits, clock: VirtualClock) -> None:
    guard = RateLimitGuard(ok, limits, policy="2/m", clock=clock)
    assert await statuses(guard, 2) == [200, 200]
    await clock.advance(7.3)
    refused = await ask(guard)
    wait_s = int(refused.header("retry-after"))
    assert wait_s == 53
    await clock.advance(wait_s)
    assert await statuses(guard, 3) == [200, 200, 429]


async def test_a_client_that_keeps_asking_does_not_wait_longer(limits: RateLimits, clock: VirtualClock) -> None:
    guard = RateLimitGuard(ok, limits, policy="2/m", clock=clock)
    await statuses(guard, 2)
    for _ in range(59):
        await clock.advance(1)
        assert (await ask(guard)).status == 429
    await clock.advance(1)
    assert (await ask(guard)).status == 200


async def test_a_refusal_is_a_problem_document(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", name="api")
    await ask(guard)
    refused = await ask(guard)
    assert refused.header("content-type") == "application/problem+json"
    assert refused.header("cache-control") == "no-store"
    assert refused.json == {
        "type": QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "code": "UC5120",
        "violated-policies": ["api"],
        "detail": "the limit 'api' of 1 per 1m is reached",
    }


async def test_of_several_limits_the_violated_one_is_named_and_told(limits: RateLimits) -> None:
    policy = RatePolicy("api", [SlidingWindow(2, "1m"), SlidingWindow(100, "1d")])
    guard = RateLimitGuard(ok, limits, policy=policy)
    allowed = await ask(guard)
    assert allowed.header("ratelimit-policy") == '"api-1m";q=2;w=60, "api-1d";q=100;w=86400'
    assert [info.remaining for info in parse_rate_limit_headers(allowed.start["headers"])] == [1, 99]
    await ask(guard)
    refused = await ask(guard)
    assert refused.json["violated-policies"] == ["api-1m"]
    (info,) = [info for info in parse_rate_limit_headers(refused.start["headers"]) if info.remaining is not None]
    assert (info.policy, info.remaining) == ("api-1m", 0)
    assert int(refused.header("retry-after")) >= (info.reset_after or 0)


async def test_a_policy_may_answer_that_more_must_be_paid_for(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", status=402)
    await ask(guard)
    refused = await ask(guard)
    assert (refused.status, refused.json["type"], refused.json["status"]) == (402, QUOTA_EXCEEDED, 402)
    assert refused.header("retry-after")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("draft-11", {"ratelimit", "ratelimit-policy"}),
        ("draft-7", {"ratelimit", "ratelimit-policy"}),
        ("draft-6", {"ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}),
        ("legacy-delta", {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}),
        ("legacy-epoch", {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}),
        ("off", set()),
    ],
)
async def test_each_generation_of_fields_can_be_chosen(limits: RateLimits, headers: Any, expected: set[str]) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", headers=headers)
    for retry_after in (set(), {"retry-after"}):
        names = {bytes(name).decode() for name, _ in (await ask(guard)).start["headers"]}
        assert {name for name in names if "rate" in name or "retry" in name} == expected | retry_after


async def test_the_applications_own_fields_stay(limits: RateLimits) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"X-RateLimit-Limit", b"mine")]})
        await send({"type": "http.response.body", "body": b""})

    answer = await ask(RateLimitGuard(app, limits, policy="1/m"))
    assert answer.headers("x-ratelimit-limit") == ["mine"]
    assert answer.headers("x-ratelimit-remaining") == ["0"]


async def test_the_body_of_a_refused_request_is_not_read(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m")
    await ask(guard)
    answer = Answer()

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        answer.messages.append(message)

    await guard(from_client("192.0.2.1", method="POST"), receive, send)
    assert answer.status == 429


# Which rule decides


async def test_the_first_rule_that_is_for_a_request_decides_alone(limits: RateLimits) -> None:
    rules = [LimitRule(policy="1/m", paths="/api/search"), LimitRule(policy="2/m", paths="/api")]
    guard = RateLimitGuard(ok, limits, rules=rules)
    assert await statuses(guard, 2, "/api/search") == [200, 429]
    assert await statuses(guard, 3, "/api/orders/7") == [200, 200, 429]
    assert await statuses(guard, 5, "/about") == [200] * 5


async def test_what_no_rule_is_for_has_no_fields(limits: RateLimits) -> None:
    answer = await ask(RateLimitGuard(ok, limits, rules=[LimitRule(policy="1/m", paths="/api")]), "/about")
    assert answer.start["headers"] == []


async def test_a_rule_is_for_its_methods(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, rules=[LimitRule(policy="1/m", paths="/a", methods="post")])
    assert await statuses(guard, 2, "/a", method="GET") == [200, 200]
    assert await statuses(guard, 2, "/a", method="POST") == [200, 429]


async def test_head_is_counted_as_get(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, rules=[LimitRule(policy="1/m", paths="/a", methods="GET")])
    assert await statuses(guard, 1, "/a", method="HEAD") == [200]
    assert await statuses(guard, 1, "/a", method="GET") == [429]


@pytest.mark.parametrize("path", ["/login", "/login/", "//login", "/login/x", "/login//"])
async def test_spellings_of_a_path_that_routers_take_alike_are_counted_together(limits: RateLimits, path: str) -> None:
    guard = RateLimitGuard(ok, limits, rules=[auth_rule("/login")])
    await statuses(guard, 5, "/login")
    assert (await ask(guard, path)).status == 429


async def test_a_path_is_matched_by_whole_segments(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", skip="/status")
    assert await statuses(guard, 3, "/status") == [200] * 3
    assert await statuses(guard, 3, "/status/db") == [200] * 3
    assert await statuses(guard, 3, "/statuses") == [200, 429, 429]


async def test_skipping_is_by_the_exact_path(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", skip=["/free$", "/users/*/avatar"])
    assert await statuses(guard, 3, "/free") == [200] * 3
    assert await statuses(guard, 3, "/users/7/avatar") == [200] * 3
    assert await statuses(guard, 1, "/free/x") == [200]
    assert await statuses(guard, 1, "//free") == [429]
    assert await statuses(guard, 1, "/users/7/8/avatar") == [429]


async def test_a_mount_is_left_out_of_the_path(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, rules=[LimitRule(policy="1/m", paths="/api")])
    scopes = [from_client("192.0.2.1", "/v1/api/x", root_path="/v1") for _ in range(2)]
    assert [(await call(guard, scope)).status for scope in scopes] == [200, 429]


async def test_probes_are_never_refused(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", deny=["192.0.2.1"])
    for path in ("/livez", "/readyz", "/startupz", "/health", "/metrics"):
        assert await statuses(guard, 3, path) == [200] * 3
    assert await statuses(guard, 1, "/healthcare") == [403]
    assert await statuses(guard, 1, "/health", method="POST") == [403]


async def test_a_rule_may_leave_requests_to_the_next(limits: RateLimits) -> None:
    rules = [LimitRule(policy="1/m", skip=lambda scope: scope["path"] == "/b", name="first"), LimitRule(policy="2/m")]
    guard = RateLimitGuard(ok, limits, rules=rules)
    assert await statuses(guard, 2, "/a") == [200, 429]
    assert await statuses(guard, 3, "/b") == [200, 200, 429]


async def test_the_presets_are_five_in_a_quarter_of_an_hour_and_a_hundred_a_minute(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, rules=[auth_rule("/login"), api_rule("/api")])
    assert await statuses(guard, 6, "/login") == [200] * 5 + [429]
    assert await statuses(guard, 101, "/api/x") == [200] * 100 + [429]
    assert (await ask(guard, "/login")).header("ratelimit-policy") == '"auth";q=5;w=900'


# Cost and tier


async def test_a_request_may_cost_more(limits: RateLimits) -> None:
    async def cost(scope: Scope) -> int:
        return 3 if scope["path"] == "/export" else 1

    guard = RateLimitGuard(ok, limits, policy="4/m", cost=cost)
    assert await statuses(guard, 1, "/a") == [200]
    assert await statuses(guard, 2, "/export") == [200, 429]


async def test_a_request_that_could_never_be_allowed_is_told_so(limits: RateLimits) -> None:
    answer = await ask(RateLimitGuard(ok, limits, policy="4/m", cost=5))
    assert (answer.status, answer.json["code"]) == (413, "UC5136")


async def test_a_tier_has_limits_of_its_own(limits: RateLimits) -> None:
    policy = RatePolicy("api", SlidingWindow(1, "1m"), tiers={"pro": SlidingWindow(3, "1m")})

    def tier(scope: Scope) -> str | None:
        return "pro" if scope["client"][0] == "192.0.2.8" else None

    guard = RateLimitGuard(ok, limits, policy=policy, tier=tier)
    assert await statuses(guard, 2) == [200, 429]
    assert await statuses(guard, 4, by="192.0.2.8") == [200] * 3 + [429]


async def test_slots_are_given_back_when_the_request_is_over(limits: RateLimits) -> None:
    policy = RatePolicy("exports", Concurrency(1))
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            seen.append((await ask(guard, "/inner")).status)
        if scope["path"] == "/fail":
            raise RuntimeError("a bug")
        await ok(scope, receive, send)

    guard = RateLimitGuard(app, limits, policy=policy)
    assert (await ask(guard, "/outer")).status == 200
    assert seen == [429]  # while the outer one had the slot
    with pytest.raises(RuntimeError):
        await ask(guard, "/fail")
    assert (await ask(guard)).status == 200


# Who is counted


async def test_clients_are_counted_apart(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m")
    assert await statuses(guard, 2, by="192.0.2.1") == [200, 429]
    assert await statuses(guard, 2, by="192.0.2.2") == [200, 429]
    assert await statuses(guard, 1, by="2001:db8::1") == [200]
    assert await statuses(guard, 1, by="2001:db8::ffff:2") == [429]  # the same /64
    assert await statuses(guard, 2, by=None) == [200, 429]


async def test_a_user_is_counted_wherever_they_are(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", key=by_user())
    one = [from_client(f"192.0.2.{n}", user=Users("ann")) for n in range(2)]
    assert [(await call(guard, scope)).status for scope in one] == [200, 429]
    assert (await call(guard, from_client("192.0.2.1", user=Users("bob")))).status == 200


async def test_nobody_is_free_by_leaving_out_what_is_counted(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", key=by_user(lambda scope: None))
    assert await statuses(guard, 2) == [200, 429]


async def test_an_api_key_is_counted_by_its_fingerprint_and_never_kept(limits: RateLimits, lines: LogLines) -> None:
    keys = {"live-key-of-ann", "live-key-of-bob"}
    policy = RatePolicy("api", SlidingWindow(1, "1m"))
    guard = RateLimitGuard(ok, limits, policy=policy, key=by_api_key(keys.__contains__))
    ann, bob = ([("X-API-Key", key)] for key in sorted(keys))
    assert await statuses(guard, 2, headers=ann) == [200, 429]
    assert await statuses(guard, 2, headers=bob) == [200, 429]
    limited = await limits.limited(policy)
    assert {entry.key for entry in limited} == {f"key:{fingerprint(key)}" for key in keys}
    assert "live-key" not in lines.getvalue()


async def test_made_up_api_keys_are_counted_by_the_address(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="2/m", key=by_api_key(lambda key: False))
    found = [(await ask(guard, headers=[("x-api-key", f"made-up-{n}")])).status for n in range(4)]
    assert found == [200, 200, 429, 429]


async def test_an_api_key_in_the_query_is_not_read(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", key=by_api_key(lambda key: True))
    scopes = [from_client("192.0.2.1", query_string=f"x-api-key={n}&api_key={n}".encode()) for n in range(2)]
    assert [(await call(guard, scope)).status for scope in scopes] == [200, 429]


async def test_the_first_that_knows_a_client_names_it() -> None:
    async def is_known(key: str) -> bool:
        return key == "k"

    key = combined(by_user(), by_api_key(is_known), by_ip())
    api_key = [("x-api-key", "k")]
    scopes = [
        from_client("192.0.2.1", headers=api_key, user=Users("ann")),
        from_client("192.0.2.1", headers=api_key),
        from_client("192.0.2.1", headers=[("x-api-key", "other")]),
    ]
    found = [await key(scope) for scope in scopes]  # type: ignore[misc]  # it is async
    assert found == ["user:ann", f"key:{fingerprint('k')}", "ip:192.0.2.1"]


async def test_each_path_can_be_counted_by_itself(limits: RateLimits) -> None:
    guard = RateLimitGuard(
        ok, limits, rules=[LimitRule(policy="1/m", paths=("/a", "/b"), key=by_path(by_ip()), name="x")]
    )
    assert await statuses(guard, 2, "/a") == [200, 429]
    assert await statuses(guard, 2, "/b") == [200, 429]


# Lists and bypass


async def test_whoever_is_denied_gets_403_before_anything_is_counted(clock: VirtualClock) -> None:
    store = CountingStore(clock)
    guard = RateLimitGuard(ok, RateLimits(store, clock=clock), policy="1/m", deny=["192.0.2.0/24"])
    denied = await ask(guard)
    assert (denied.status, denied.json["code"], store.calls) == (403, "UC5133", [])
    assert "192.0.2" not in denied.body.decode()
    assert (await ask(guard, by="198.51.100.1")).status == 200


async def test_whoever_is_allowed_is_not_counted(clock: VirtualClock) -> None:
    store = CountingStore(clock)
    guard = RateLimitGuard(ok, RateLimits(store, clock=clock), policy="1/m", allow=["192.0.2.1"], deny=["192.0.2.1/32"])
    assert (await ask(guard)).status == 403  # denying wins
    guard = RateLimitGuard(ok, RateLimits(store, clock=clock), policy="1/m", allow=["192.0.2.1"])
    assert await statuses(guard, 3) == [200] * 3
    assert store.calls == []


async def test_lists_have_users_keys_and_functions(limits: RateLimits) -> None:
    async def is_ours(scope: Scope) -> bool:
        return scope["path"] == "/ours"

    listed = Clients(users=["ann"], api_keys=[fingerprint("key-of-a-partner")])
    guard = RateLimitGuard(ok, limits, policy="1/m", user=by_user(), allow=listed, deny=is_ours)
    ann = [from_client("192.0.2.1", user=Users("ann")) for _ in range(3)]
    assert [(await call(guard, scope)).status for scope in ann] == [200] * 3
    assert await statuses(guard, 3, headers=[("x-api-key", "key-of-a-partner")]) == [200] * 3
    assert await statuses(guard, 2) == [200, 429]
    assert await statuses(guard, 1, "/ours") == [403]


async def test_a_secret_lets_its_bearer_through(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", bypass={"X-Monitor": SECRET})
    assert await statuses(guard, 3, headers=[("x-monitor", SECRET)]) == [200] * 3
    for wrong in (SECRET[:-1], SECRET.upper(), "", "é"):
        await ask(guard, headers=[("x-monitor", wrong)])
        assert (await ask(guard, headers=[("x-monitor", wrong)])).status == 429


async def test_a_user_agent_lets_nobody_through(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m", bypass={"x-monitor": SECRET})
    assert await statuses(guard, 2, headers=[("user-agent", f"kube-probe {SECRET}")]) == [200, 429]


@pytest.mark.parametrize(
    "options",
    [
        {"bypass": {"x": "short"}},
        {"allow": Clients(api_keys=["the-key-itself"])},
        {"allow": Clients(users=["ann"])},
        {"deny": ["not-a-network"]},
        {"skip": "api"},
        {"skip": "/a*"},
        {"policy": "5/m", "status": 500},
        {"policy": "5/m", "cost": 0},
        {"headers": "standard"},
        {"rules": ["5/m"]},
        {"ipv6_prefix": 8},
    ],
)
async def test_options_that_mean_nothing_are_refused(limits: RateLimits, options: dict[str, Any]) -> None:
    with pytest.raises(GuardConfigError) as caught:
        RateLimitGuard(ok, limits, **options)
    assert "the-key-itself" not in str(caught.value)
    assert "short'" not in str(caught.value)


async def test_a_rule_for_several_paths_needs_a_name() -> None:
    with pytest.raises(GuardConfigError, match="name="):
        LimitRule(policy="5/m", paths=("/a", "/b"))


async def test_a_policy_that_nobody_knows_is_an_error(limits: RateLimits) -> None:
    with pytest.raises(UnknownPolicyError):
        await ask(RateLimitGuard(ok, limits, policy="no-such-policy"))


# When the store is away


@pytest.mark.parametrize(("fail", "status"), [("open", 200), ("closed", 503), ("local", 200)])
async def test_without_its_store_it_does_what_the_policy_declares(fail: Any, status: int, clock: VirtualClock) -> None:
    limits = RateLimits(AwayStore(), clock=clock)  # type: ignore[arg-type]  # as much of a store as is asked
    guard = RateLimitGuard(ok, limits, policy=RatePolicy("api", SlidingWindow(1, "1m"), fail=fail), clock=clock)
    first, second = await ask(guard), await ask(guard)
    assert first.status == status
    assert first.headers("ratelimit") == []  # nobody knows what is left
    assert second.status == {"open": 200, "closed": 503, "local": 429}[fail]
    if fail == "closed":
        assert first.header("content-type") == "application/problem+json"
        assert int(first.header("retry-after")) >= 1


async def test_sign_in_fails_closed(clock: VirtualClock) -> None:
    limits = RateLimits(AwayStore(), clock=clock)  # type: ignore[arg-type]  # as much of a store as is asked
    assert (await ask(RateLimitGuard(ok, limits, rules=[auth_rule("/login")]), "/login")).status == 503


async def test_a_blocked_client_costs_the_store_nothing(clock: VirtualClock, lines: LogLines) -> None:
    store = CountingStore(clock)
    guard = RateLimitGuard(ok, RateLimits(store, clock=clock), policy="1/m", clock=clock)
    await statuses(guard, 2)
    before = len(store.calls)
    assert await statuses(guard, 1000) == [429] * 1000
    assert len(store.calls) == before
    assert len([line for line in lines.all if "refuses" in line["message"]]) <= 1


async def test_refusals_are_counted(limits: RateLimits) -> None:
    before = get_counter("undercroft_guard_refused_total", labels={"reason": "limited"}) or 0
    await statuses(RateLimitGuard(ok, limits, policy="1/m"), 3)
    assert get_counter("undercroft_guard_refused_total", labels={"reason": "limited"}) == before + 2


# Where it stands


async def test_the_bound_limits_are_used(limits: RateLimits) -> None:
    class Source:
        def get_part(self, name: str) -> object:
            assert name == "limits"
            return limits

    guard = RateLimitGuard(ok, policy="1/m")
    with bind(Source()):
        assert await statuses(guard, 2) == [200, 429]


async def test_without_limits_it_says_what_is_missing() -> None:
    with pytest.raises(NotBoundError, match="InfraMiddleware"):
        await ask(RateLimitGuard(ok, policy="1/m"))


async def test_inside_of_the_middleware_a_refusal_has_the_requests_name(
    infra: Infra, limits: RateLimits, lines: LogLines
) -> None:
    app = InfraMiddleware(RateLimitGuard(ok, limits, policy="1/m"), infra)
    await ask(app)
    refused = await ask(app, headers=[("x-request-id", "mine")])
    assert (refused.header("x-request-id"), refused.json["request_id"]) == ("mine", "mine")
    assert [line["status"] for line in lines.access] == [200, 429]
    assert refused.headers("ratelimit-policy") == ['"all";q=1;w=60']


async def test_of_two_guards_each_counts_and_one_writes(limits: RateLimits) -> None:
    inner = RateLimitGuard(ok, limits, policy="1/m", name="inner")
    outer = RateLimitGuard(inner, limits, policy="5/m", name="outer")
    allowed, refused = await ask(outer), await ask(outer)
    assert allowed.headers("ratelimit-policy") == ['"outer";q=5;w=60, "inner";q=1;w=60']
    assert refused.status == 429
    assert refused.json["violated-policies"] == ["inner"]
    assert len(refused.headers("ratelimit-policy")) == 1


async def test_other_scopes_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await RateLimitGuard(app, policy="1/m")({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # not called
    assert seen == ["lifespan"]


# Websockets


async def test_a_refused_handshake_is_answered_where_the_server_can(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m")
    (accepted,) = await handshake(guard)
    assert (b"ratelimit-policy", b'"all";q=1;w=60') in accepted["headers"]
    start, body = await handshake(guard, extensions=["websocket.http.response"])
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert b"retry-after" in dict(start["headers"])
    assert json.loads(body["body"])["type"] == QUOTA_EXCEEDED


async def test_a_refused_handshake_is_closed_where_it_cannot(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy="1/m")
    await handshake(guard)
    (closed,) = await handshake(guard)
    assert closed["type"] == "websocket.close"


async def test_a_rule_may_be_for_handshakes_alone(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, rules=[LimitRule(policy="1/m", paths="/ws", methods="WEBSOCKET")])
    await handshake(guard)
    assert (await handshake(guard))[0]["type"] == "websocket.close"
    assert await statuses(guard, 2, "/ws") == [200, 200]


async def test_a_bucket_tells_seconds_that_are_enough(limits: RateLimits, clock: VirtualClock) -> None:
    guard = RateLimitGuard(ok, limits, policy=RatePolicy("b", TokenBucket(2, "4/s")), clock=clock)
    assert await statuses(guard, 3) == [200, 200, 429]
    assert (await ask(guard)).header("retry-after") == "1"  # a quarter of a second, in whole ones


async def test_a_dry_run_refuses_nothing(limits: RateLimits) -> None:
    guard = RateLimitGuard(ok, limits, policy=RatePolicy("d", SlidingWindow(1, "1m"), dry_run=True))
    assert await statuses(guard, 3) == [200] * 3


def test_scopes_of_the_tests_have_no_client() -> None:
    assert "client" not in http_scope()
