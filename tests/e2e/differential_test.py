"""Odd and ambiguous requests: what Envoy refuses is never forwarded, and each other difference is listed for review."""

import harness
import odd_messages
import peers
import pytest
from differential import GOLDEN, Case, Recorded, observe
from harness import cluster, http_listener, ok, route

CASES = [Case(name, "odd", request) for name, request in odd_messages.REQUESTS.items()]
# What reached the origin, without what every request gets on its way.
EVERYDAY = ("x-request-id: *", "x-forwarded-proto: http", "x-envoy-expected-rq-timeout-ms: 15000")


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(lambda message: ok(b"answer"))


def configuration(origin):
    ports = {"odd": harness.free_port()}
    listener = http_listener(ports["odd"], [route()], name="odd", delayed_close_timeout="0.05s")
    return ports, [listener], [cluster("origin", origin.port)]


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "odd_requests", request.config.getoption("--rewrite-golden"))


def concise(outcome):
    upstream = [{**message, "headers": [field for field in message["headers"] if field not in EVERYDAY]}
                for message in outcome["upstream"]]
    return {"status": outcome.get("status"), "connection": outcome["connection"], "upstream": upstream,
            **({"broken": outcome["broken"]} if "broken" in outcome else {})}


def seen(ports, origin):
    return {name: concise(outcome) for name, outcome in observe(ports, origin, CASES, settle_seconds=0.01).items()}


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, origin, recorded):
    ports, listeners, clusters = configuration(origin)
    envoy(listeners, clusters)
    recorded.check_envoy(seen(ports, origin))


def test_nothing_that_envoy_refuses_is_forwarded(module_proxy, origin, recorded):
    ports, listeners, clusters = configuration(origin)
    module_proxy(listeners, clusters)
    mine = seen(ports, origin)
    refused = {name for name, outcome in recorded.envoy.items() if not outcome["upstream"]}
    forwarded = {name: outcome["upstream"] for name, outcome in mine.items() if name in refused and outcome["upstream"]}
    assert not forwarded, forwarded
    broken = {name: outcome for name, outcome in mine.items() if "broken" in outcome}
    assert not broken, "the origin got what a careful reader refuses"
    # Never two requests where Envoy saw one.
    split = {name for name, outcome in mine.items() if len(outcome["upstream"]) > len(recorded.envoy[name]["upstream"])}
    assert not split
    recorded.check(mine)
