"""Paths and hosts: normalization in all its settings, and which route a request takes, as Envoy decides it."""

import harness
import peers
import pytest
from differential import GOLDEN, Case, Recorded, observe
from harness import cluster, http_listener, ok, route

SLASHES = ("REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")
MANAGERS = {
    "raw": {},
    "normalized": {"normalize_path": True},
    "merged": {"merge_slashes": True},
    "strict": {"normalize_path": True, "merge_slashes": True},
    **{action: {"normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": action} for action in SLASHES},
    "unescape-only": {"path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
}
TARGETS = [
    "/a/../b", "/a/./b", "/a/..", "/..", "/../..", "/a//b", "//a", "///", "/a/%2e%2e/b", "/a/%2E./b", "/a%2fb", "/a%2Fb?q=%2f",
    "/a%5cb", "/a\\b", "/%61%62", "/%7euser", "/a%20b", "/a%zzb", "/a%", "/a;p=1/../b", "/a?x=/../y//z", "/a#fragment", "/a%23b",
    "/a/b/", "/a/b/.", "/%00", "/a%0ab", "/a%252fb", "/*", "/a//..//b", "/.", "/.a", "/...", "/a/..%2fb", "/a%2f..%2fb", "/~!$&'()",
    "/a|b^c`d{e}", "/a\"b", "/a<b>", "/?", "/a?", "/\xe4", "/a%c3%a4",
]

PATHS = ["/exact", "/exact/", "/exact?q", "/prefix", "/prefixed", "/prefix/more", "/separated", "/separated/", "/separated/more",
         "/separatedmore", "/separated?q", "/CASE/x", "/case/x", "/swap", "/swap/rest?q=1", "/swapped", "/base/x", "/none", "/",
         "/direct", "/first/second", "/slashed/x"]
HOSTS = ["exact.example", "EXACT.example", "exact.example:80", "a.suffix.example", "b.a.suffix.example", "suffix.example",
         "prefix.anything", "prefix.a.b", "prefix", "other.example", "deep.a.suffix.example", "exact.example.", "[::1]", "127.0.0.1",
         "with.port:8080", "with.port", "-suffix.example"]


def tagged(tag, match, **action):
    """A route whose name the origin sees."""
    header = {"header": {"key": "x-route", "value": tag}}
    return {"match": match, "route": {"cluster": "origin", **action}, "request_headers_to_add": [header]}


ROUTES = [
    tagged("exact", {"path": "/exact"}),
    tagged("first", {"prefix": "/first"}),
    tagged("never", {"prefix": "/first/second"}),
    tagged("insensitive", {"prefix": "/case", "case_sensitive": False}),
    tagged("separated", {"path_separated_prefix": "/separated"}),
    tagged("swap", {"path_separated_prefix": "/swap"}, prefix_rewrite="/new"),
    tagged("root", {"prefix": "/root/"}, prefix_rewrite="/"),
    tagged("slashed", {"prefix": "/slashed"}, prefix_rewrite="/slashed/"),
    {"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "said directly"}}},
    tagged("prefix", {"prefix": "/prefix"}),
]
DOMAINS = {
    "exact": ["exact.example"], "suffix": ["*.suffix.example"], "deeper": ["*.a.suffix.example"], "prefix": ["prefix.*"],
    "port": ["with.port:8080"], "dash": ["*-suffix.example"], "any": ["*"]}


def respond(message):
    return ok(b"answer")


def listener(name, port, routes=None):
    return http_listener(port, routes or [route()], name=name, delayed_close_timeout="0.05s", **MANAGERS.get(name, {}))


def configuration(origin):
    ports = {name: harness.free_port() for name in (*MANAGERS, "routes", "hosts", "nothing")}
    listeners = [listener(name, ports[name]) for name in MANAGERS]
    listeners.append(listener("routes", ports["routes"], ROUTES))
    hosts = listener("hosts", ports["hosts"])
    manager = hosts["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"] = [
        {"name": name, "domains": domains, "routes": [tagged(name, {"prefix": "/"})]} for name, domains in DOMAINS.items()]
    nothing = listener("nothing", ports["nothing"])
    manager = nothing["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["domains"] = ["only.example"]
    return ports, [*listeners, hosts, nothing], [cluster("origin", origin.port)]


def request(target, host="a.example"):
    return f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode("latin-1")


CASES = [
    *(Case(f"{name} {target}", name, request(target)) for name in MANAGERS for target in TARGETS),
    *(Case(f"route of {path}", "routes", request(path)) for path in PATHS),
    *(Case(f"host {host}", "hosts", request("/", host)) for host in HOSTS),
    Case("no virtual host", "nothing", request("/")),
    Case("the only virtual host", "nothing", request("/", "only.example")),
]


def concise(outcome):
    """Here only the way that a request took counts: which target, which route, or which answer of our own."""
    result = {key: outcome[key] for key in ("status", "connection") if key in outcome}
    for message in outcome["upstream"]:
        result["target"] = message["start"].split(" ")[1]
        result |= {"route": field.split(": ")[1] for field in message["headers"] if field.startswith("x-route")}
        result |= {"original": field.split(": ")[1] for field in message["headers"] if field.startswith("x-envoy-original-path")}
    result |= {"location": field.split(": ", 1)[1] for field in outcome.get("client", []) if field.startswith("location")}
    if not outcome["upstream"]:
        result["body"] = outcome.get("body")
    return result


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(respond)


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "path", request.config.getoption("--rewrite-golden"))


def seen(ports, origin):
    return {name: concise(outcome) for name, outcome in observe(ports, origin, CASES, settle_seconds=0.001).items()}


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, origin, recorded):
    ports, listeners, clusters = configuration(origin)
    envoy(listeners, clusters)
    recorded.check_envoy(seen(ports, origin))


def test_ringside_routes_as_envoy(module_proxy, origin, recorded):
    ports, listeners, clusters = configuration(origin)
    module_proxy(listeners, clusters)
    recorded.check(seen(ports, origin))
