"""Retries and timeouts of routes, against Envoy: the same configuration and the same script of the origin give the same attempts, the
same answer, the same counters and the same line in the access log."""

import time

import harness
import peers
import pytest
import router_events
from differential import GOLDEN, Recorded
from harness import cluster, http_listener, limits, route
from router_events import Script, request, send, shown_answer, stays

FAST = {"base_interval": "0.001s", "max_interval": "0.002s"}
SLOW = {"base_interval": "36000s"}  # a random part of it is waited, which must be longer than the test
PREVIOUS_HOSTS = [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]
GRPC = "content-type: application/grpc"


def policy(retry_on, num_retries=2, back_off=FAST, **fields):
    return {"retry_on": retry_on, "num_retries": num_retries, "retry_back_off": back_off, **fields}


def retried(prefix, retry_on, to="origin", action=None, own=None, **fields):
    """A route with a policy."""
    return route(to, f"/{prefix}/", headers=own, **{"timeout": "5s", **(action or {})}, retry_policy=policy(retry_on, **fields))


ROUTES = [
    route("origin", "/none/", timeout="5s"), retried("5xx", "5xx"), retried("gateway", "gateway-error"), retried("reset", "reset"),
    retried("before", "reset-before-request"), retried("4xx", "retriable-4xx"), retried("refused", "refused-stream"),
    retried("dead", "connect-failure", to="dead"), retried("dead-before", "reset-before-request", to="dead"),
    retried("dead-5xx", "5xx", to="dead"), retried("dead-gateway", "gateway-error", to="dead"),
    retried("codes", "retriable-status-codes", retriable_status_codes=[418, 429]),
    retried("headers", "retriable-headers", retriable_headers=[
        {"name": "x-again"}, {"name": "x-exact", "string_match": {"exact": "YES", "ignore_case": True}},
        {"name": "x-range", "range_match": {"start": 3, "end": 5}}]),
    retried("not-header", "retriable-headers", retriable_headers=[{"name": "x-again", "present_match": False}]),
    retried("request", "5xx", retriable_request_headers=[{"name": "x-me", "string_match": {"prefix": "a"}}]),
    retried("grpc", "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable", num_retries=1),
    retried("grpc-some", "unavailable, nonsense ,"), retried("ratelimited", "5xx,envoy-ratelimited"),
    retried("asked", "5xx", back_off=SLOW, rate_limited_retry_back_off={
        "reset_headers": [{"name": "Retry-After"}], "max_interval": "10s"}),
    retried("one", "5xx", num_retries=0), {"match": {"prefix": "/default/"}, "route": {
        "cluster": "origin", "retry_policy": {"retry_on": "5xx"}}},
    retried("full", "5xx", to="no-retries"), retried("budget", "5xx", to="budget"), retried("no-budget", "5xx", to="no-budget"),
    retried("empty", "5xx", to="empty"), retried("overflow", "5xx", to="full"),
    retried("try", "5xx", per_try_timeout="0.15s"), retried("try-none", "retriable-4xx", per_try_timeout="0.15s"),
    retried("try-idle", "5xx", per_try_idle_timeout="0.15s"), retried("try-long", "5xx", per_try_timeout="9s"),
    retried("small", "5xx", own={"per_request_buffer_limit_bytes": 10}), retried("large", "5xx", own={"request_body_buffer_limit": "100000"}),
    retried("dead-small", "connect-failure", to="dead", back_off=SLOW, own={"per_request_buffer_limit_bytes": 10}),
    retried("dead-slow", "connect-failure", to="dead", back_off=SLOW, action={"timeout": "0.3s"}),
    retried("slow", "5xx", back_off=SLOW, action={"timeout": "0.3s"}), retried("short", "5xx", action={"timeout": "0.3s"}),
    retried("long", "5xx", to="short-lived"),
    route("origin", "/max/", max_stream_duration={"max_stream_duration": "0.25s"}, timeout="0.1s"),
    route("origin", "/max-none/", max_stream_duration={"max_stream_duration": "0s"}),
    route("origin", "/max-grpc/", max_stream_duration={"grpc_timeout_header_max": "0.3s"}),
    route("origin", "/max-any/", max_stream_duration={"grpc_timeout_header_max": "0s", "max_stream_duration": "0.4s"}),
    route("origin", "/max-offset/", max_stream_duration={"grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "0.2s"}),
    route("origin", "/grpc-max/", timeout="0.2s", max_grpc_timeout="0.4s", grpc_timeout_offset="0.1s"),
    route("origin", "/grpc-any/", timeout="0.2s", max_grpc_timeout="0s"),
    retried("grpc-try", "5xx", action={"max_grpc_timeout": "0s"}, per_try_timeout="0.15s"),
    route("origin", "/shared/", timeout="5s"),
]


def upload_while_it_waits(client):
    """The body becomes too large for another attempt while none is under way."""
    client.sendall(b"POST /dead-small/200 HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\nconnection: close\r\n\r\n12345")
    time.sleep(0.2)
    client.sendall(b"123456")
    return shown_answer(harness.read_to_end(client))


def late_body(path):
    """A body that comes in two parts."""
    def act(client):
        client.sendall(b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nconnection: close\r\n\r\n12345" % path)
        time.sleep(0.2)
        client.sendall(b"67890")
        return shown_answer(harness.read_to_end(client))
    return stays(act)


def chunked(path):
    def act(client):
        client.sendall(b"POST %s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" % path)
        return shown_answer(harness.read_to_end(client))
    return stays(act)



def gone(client):
    """The client leaves between two attempts."""
    client.sendall(request("/dead-slow/200"))
    time.sleep(0.15)


ON, GRPC_ON, MAX = "x-envoy-retry-on: ", "x-envoy-retry-grpc-on: ", "x-envoy-max-retries: "
EVENTS = {
    "no policy": send("/none/503.200"),
    "no policy, upstream closes": send("/none/close.200"),
    "once": send("/5xx/503.200"),
    "twice": send("/5xx/500.503.200"),
    "once too often": send("/5xx/503.503.503.200"),
    "not for this": send("/5xx/404.200"),
    "then not for this": send("/5xx/503.404"),
    "by default": send("/default/503.503.503"),
    "no retries": send("/one/503.200"),
    "with a body": send("/5xx/503.503.200", method="POST", body=b"hello"),
    "with a chunked body": chunked(b"/5xx/503.503.200"),
    "with a body that comes late": late_body(b"/5xx/503.200"),
    "with a body that comes late, refused": late_body(b"/dead/200"),
    "with a body that is too large": send("/small/503.200", method="POST", body=b"0123456789a"),
    "with a body that just fits": send("/small/503.200", method="POST", body=b"0123456789"),
    "with a larger body": send("/large/503.200", method="POST", body=b"0123456789" * 5000),
    "too large while it waits": stays(upload_while_it_waits),
    "HEAD": send("/5xx/503.503.503", method="HEAD"),
    "upstream closes": send("/5xx/close.200"),
    "upstream closes, always": send("/5xx/close"),
    "upstream speaks nonsense": send("/5xx/nonsense.200"),
    "upstream breaks off": send("/5xx/half"),
    "hint, then closes": send("/5xx/hint.200"),
    "gateway 500": send("/gateway/500.200"),
    "gateway 502": send("/gateway/502.200"),
    "gateway 504": send("/gateway/504.200"),
    "gateway closes": send("/gateway/close.200"),
    "reset, closes": send("/reset/close.200"),
    "reset, 503": send("/reset/503.200"),
    "before, closes": send("/before/close.200"),
    "409": send("/4xx/409.200"),
    "404": send("/4xx/404.200"),
    "refused-stream, closes": send("/refused/close.200"),
    "dead": send("/dead/200"),
    "dead, 5xx": send("/dead-5xx/200"),
    "dead, gateway": send("/dead-gateway/200"),
    "dead, before": send("/dead-before/200"),
    "code 418": send("/codes/418.200"),
    "code 429": send("/codes/429.200"),
    "code 503": send("/codes/503.200"),
    "header": send("/headers/200x-again.200"),
    "header, exact": send("/headers/200x-exact.200"),
    "header, within": send("/headers/200x-range4.200"),
    "header, beyond": send("/headers/200x-range5.200"),
    "header, none": send("/headers/200x-other.200"),
    "not header": send("/not-header/200.200x-again"),
    "request that may": send("/request/503.200", "x-me: abc"),
    "request that may not": send("/request/503.200", "x-me: xabc"),
    **{f"gRPC {status}": send(f"/grpc/grpc{status}.grpc0", GRPC) for status in (0, 1, 2, 4, 8, 13, 14)},
    "gRPC without the type": send("/grpc/grpc14.grpc0"),
    "gRPC, some": send("/grpc-some/grpc13.grpc0", GRPC),
    "gRPC, some, unavailable": send("/grpc-some/grpc14.grpc0", GRPC),
    "gRPC, always": send("/grpc-some/grpc14", GRPC),
    "gRPC, closes": send("/5xx/close", GRPC),
    "ratelimited": send("/ratelimited/429x-envoy-ratelimited.200"),
    "ratelimited, no such policy": send("/5xx/503x-envoy-ratelimited.200"),
    "asked to wait": send("/asked/503retry-after1.200"),
    "no place for retries": send("/full/503.200"),
    "no place for retries, closes": send("/full/close.200"),
    "within the budget": send("/budget/503.200"),
    "beyond the budget": send("/no-budget/503.200"),
    "no endpoint": send("/empty/200"),
    "overflow": send("/overflow/200"),
    "try is too long": send("/try/silence.200"),
    "try is too long, always": send("/try/silence"),
    "try is too long, not for this": send("/try-none/silence.200"),
    "try in the middle": send("/try/stall-after-0.200"),
    "try is idle": send("/try-idle/silence.200"),
    "try is idle, always": send("/try-idle/silence"),
    "try longer than all": send("/try-long/200"),
    "time is up while it waits": send("/dead-slow/200"),
    "time is up while it waits, response": send("/slow/503.200"),
    "time is up in the second": send("/short/503.silence"),
    "attempt of the cluster's": send("/long/silence.200"),
    "attempt of the cluster's, always": send("/long/silence"),
    "client goes while it waits": stays(gone),
    "asks for 5xx": send("/none/503.200", ON + "5xx"),
    "asks for more": send("/none/503.503.503.503.200", ON + "5xx", MAX + "4"),
    "asks for less": send("/5xx/503.503.200", MAX + "1"),
    "asks for none": send("/5xx/503.200", MAX + "0"),
    "asks for nonsense": send("/none/503.200", ON + "nonsense,5xx", MAX + "x"),
    "asks for gRPC": send("/none/grpc14.grpc0", GRPC, GRPC_ON + "unavailable"),
    "asks for gRPC by the wrong name": send("/none/grpc14.grpc0", GRPC, ON + "unavailable"),
    "asks for codes": send("/none/429.200", ON + "retriable-status-codes", "x-envoy-retriable-status-codes: 400, 429"),
    "asks for headers": send("/none/200x-again.200", ON + "retriable-headers", "x-envoy-retriable-header-names: X-Again"),
    "asks for a timeout": send("/none/silence", "x-envoy-upstream-rq-timeout-ms: 200"),
    "asks for another status": send("/none/silence", "x-envoy-upstream-rq-timeout-ms: 200", "x-envoy-upstream-rq-timeout-alt-response: 1"),
    "asks for a try": send("/5xx/silence.200", "x-envoy-upstream-rq-per-try-timeout-ms: 150"),
    "asks for a try, no policy": send("/none/silence.200", "x-envoy-upstream-rq-per-try-timeout-ms: 150"),
    "asks for a try longer than all": send("/none/200", "x-envoy-upstream-rq-per-try-timeout-ms: 6000"),
    "asks for a duration": send("/none/silence.200", "x-envoy-upstream-stream-duration-ms: 150"),
    "says what to expect": send("/none/200", "x-envoy-expected-rq-timeout-ms: 77"),
    "counted": send("/5xx/503.503.200", host="counted"),
    "counted, no retry": send("/none/200", host="counted"),
    "counted, closes": send("/5xx/close", host="counted"),
    "counted, dead": send("/dead/200", host="counted"),
    "counted, no endpoint": send("/empty/200", host="counted"),
    "counted, timeout": send("/try/silence.503.200", host="counted"),
    "counted, overflow": send("/overflow/200", host="counted"),
    "policy of the host": send("/shared/503.200", host="counted"),
    "policy of the host, not asked": send("/5xx/409.200", host="counted"),
    "longest duration": send("/max/silence"),
    "longest duration, grpc-timeout": send("/max/silence", GRPC, "grpc-timeout: 100m"),
    "longest duration, in time": send("/max/200"),
    "no longest duration": send("/max-none/200-after-700"),
    "grpc-timeout": send("/max-grpc/silence", GRPC, "grpc-timeout: 150m"),
    "grpc-timeout, too long": send("/max-grpc/silence", GRPC, "grpc-timeout: 1S"),
    "grpc-timeout, not gRPC": send("/max-grpc/silence", "grpc-timeout: 150m"),
    "grpc-timeout, none": send("/max-any/silence", GRPC),
    "grpc-timeout, any": send("/max-any/silence", GRPC, "grpc-timeout: 200000u"),
    "grpc-timeout, nine digits": send("/max-any/silence", GRPC, "grpc-timeout: 100000000n"),
    "grpc-timeout, eight digits": send("/max-any/silence", GRPC, "grpc-timeout: 10000000n"),
    "grpc-timeout, bad unit": send("/max-any/silence", GRPC, "grpc-timeout: 10s"),
    "grpc-timeout, offset": send("/max-offset/silence", GRPC, "grpc-timeout: 350m"),
    "grpc-timeout, of the manager": send("/max-grpc/200", GRPC),
    "grpc-timeout, of the manager alone": send("/none/200", GRPC),
    "older grpc-timeout": send("/grpc-max/silence", GRPC, "grpc-timeout: 300m"),
    "older grpc-timeout, less than the offset": send("/grpc-max/silence", GRPC, "grpc-timeout: 50m"),
    "older grpc-timeout, too long": send("/grpc-max/silence", GRPC, "grpc-timeout: 1H"),
    "older grpc-timeout, none": send("/grpc-max/silence", GRPC),
    "older grpc-timeout, not gRPC": send("/grpc-max/silence", "grpc-timeout: 10S"),
    "older grpc-timeout, any": send("/grpc-any/silence", GRPC, "grpc-timeout: 250m"),
    "older grpc-timeout, any, none": send("/grpc-any/200-after-400", GRPC),
    "older grpc-timeout, tries": send("/grpc-try/silence.200", GRPC, "grpc-timeout: 3S"),
}


def configuration(log, ports):
    listener = http_listener(ports["http"], ROUTES, access_log=[router_events.access_log(log)], delayed_close_timeout="0.1s",
                             use_remote_address=True, internal_address_config={"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
                             common_http_protocol_options={"max_stream_duration": "1.5s"})
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"].append({
        "name": "counted", "domains": ["counted"], "routes": ROUTES, "include_request_attempt_count": True,
        "include_attempt_count_in_response": True, "include_is_timeout_retry_header": True, "retry_policy": policy("5xx,retriable-4xx")})
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    short = {"typed_extension_protocol_options": {kind: {
        "@type": f"type.googleapis.com/{kind}", "common_http_protocol_options": {"max_stream_duration": "0.15s"},
        "explicit_http_config": {"http_protocol_options": {}}}}}
    origin, dead = ports["upstream"], ports["dead"]
    return [listener], [
        cluster("origin", origin), cluster("dead", dead), cluster("empty"),
        cluster("full", origin, **limits(max_pending_requests=0, max_connections=1)), cluster("no-retries", origin, **limits(max_retries=0)),
        cluster("budget", origin, **limits(max_retries=0, retry_budget={"budget_percent": {"value": 25}})),
        cluster("no-budget", origin, **limits(retry_budget={"budget_percent": {"value": 20}, "min_retry_concurrency": 0})),
        cluster("short-lived", origin, **short)]


def run(start, folder, upstream):
    script = Script()
    ports = {"http": harness.free_port(), "dead": harness.free_port(), "upstream": upstream(script).port}
    log = folder / "access.log"
    return router_events.run(start(*configuration(log, ports)), ports, log, script, EVENTS)


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "retries", request.config.getoption("--rewrite-golden"))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, upstream, tmp_path, recorded):
    recorded.check_envoy(run(envoy, tmp_path, upstream))


def test_retries_are_as_those_of_envoy(proxy, upstream, tmp_path, recorded):
    recorded.check(run(proxy, tmp_path, upstream))


def test_previous_hosts_are_passed_over(proxy, upstream):
    """One of eleven picks is alive: a single retry finds it each time, if it must not go where it has been."""
    dead, alive = harness.free_port(), upstream(harness.answering(lambda head, body: harness.ok()))
    endpoints = [{"endpoint": {"address": harness.address(port)}, "load_balancing_weight": weight} for port, weight in ((dead, 10), (alive.port, 1))]
    avoiding = retried("avoiding", "connect-failure", num_retries=1, retry_host_predicate=PREVIOUS_HOSTS, host_selection_retry_max_attempts="20")
    running = proxy([http_listener(harness.free_port(), [avoiding, retried("anywhere", "connect-failure", num_retries=1)])], [{
        **cluster("origin"), "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": endpoints}]}}])

    def statuses(path):
        return [harness.parse_response(harness.exchange(running.listen_ports["http"], request(path))).status for _ in range(22)]

    assert statuses("/avoiding/") == 22 * [200]
    assert statuses("/anywhere/").count(200) < 11
