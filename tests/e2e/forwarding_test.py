"""What a connection manager adds, changes and takes away: fields of requests and responses, byte for byte as Envoy does it."""

import harness
import peers
import pytest
from differential import GOLDEN, Case, Recorded, observe
from harness import cluster, http_listener, ok, route, upstream_http

ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def added(key, value, action=None):
    return {"header": {"key": key, "value": value}, **({"append_action": action} if action else {})}


# One listener for each way to configure a connection manager.
MANAGERS = {
    "default": {},
    "edge": {"use_remote_address": True},
    "hops": {"use_remote_address": True, "xff_num_trusted_hops": 1},
    "inner-hops": {"xff_num_trusted_hops": 1},
    "skip-append": {"use_remote_address": True, "skip_xff_append": True},
    "internal-edge": {"use_remote_address": True, "internal_address_config": {
        "cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}, {"address_prefix": "::1", "prefix_len": 128}]}},
    "internal": {"internal_address_config": {"unix_sockets": True, "cidr_ranges": [{"address_prefix": "10.1.0.0", "prefix_len": 9}]}},
    "internal-all": {"internal_address_config": {"cidr_ranges": [{"address_prefix": "0.0.0.0"}]}},
    "trailers": {"http_protocol_options": {"enable_trailers": True}},
    "named": {"via": "gate", "server_name": "mine"},
    "server-if-absent": {"server_header_transformation": "APPEND_IF_ABSENT"},
    "server-pass": {"server_header_transformation": "PASS_THROUGH"},
    "ids": {"use_remote_address": True, "preserve_external_request_id": True, "always_set_request_id_in_response": True},
    "no-ids": {"generate_request_id": False},
    "agent": {"use_remote_address": True, "add_user_agent": True},
    "no-envoy": {"http_filters": [{"name": "envoy.filters.http.router",
                                   "typed_config": {"@type": ROUTER, "suppress_envoy_headers": True}}]},
    "any-port": {"strip_any_host_port": True},
    "trailing-dot": {"strip_trailing_host_dot": True},
    "underscore-reject": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "underscore-drop": {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
    "edits": {},
    "edits-specific": {},
}

EDITS = {
    "request_headers_to_add": [
        added("x-level", "route"), added("x-if-absent", "route", "ADD_IF_ABSENT"),
        added("x-overwrite", "route", "OVERWRITE_IF_EXISTS_OR_ADD"), added("x-existing", "route", "OVERWRITE_IF_EXISTS"),
        added("x-protocol", "%PROTOCOL%"), added("x-percent", "100%%"), added("x-path", "%REQ(:PATH)%"),
        added("x-missing", "%REQ(x-not-there)%")],
    "request_headers_to_remove": ["x-remove-me", "accept"],
    "response_headers_to_add": [added("x-level", "route"), added("x-code", "%RESPONSE_CODE%"),
                                added("server", "other", "OVERWRITE_IF_EXISTS_OR_ADD")],
    "response_headers_to_remove": ["x-secret"],
}


def listener(name, port):
    to = "trailing" if name == "trailers" else "origin"
    fields = http_listener(port, [route(to)], name=name, delayed_close_timeout="0.05s", **MANAGERS[name])
    manager = fields["filter_chains"][0]["filters"][0]["typed_config"]
    if name.startswith("edits"):
        config = manager["route_config"]
        config["request_headers_to_add"] = [added("x-level", "config")]
        config["response_headers_to_add"] = [added("x-level", "config")]
        host = config["virtual_hosts"][0]
        host["request_headers_to_add"] = [added("x-level", "host")]
        host["response_headers_to_add"] = [added("x-level", "host")]
        host["routes"] = [{"match": {"prefix": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "tea"}},
                           **EDITS},
                          {"match": {"prefix": "/named"}, "route": {"cluster": "origin", "host_rewrite_literal": "new.example"}},
                          {"match": {"prefix": "/rewritten"}, "route": {"cluster": "origin", "prefix_rewrite": "/to"}},
                          {**route(), **EDITS}]
        if name == "edits-specific":
            config["most_specific_header_mutations_wins"] = True
    return fields


def request(*lines, target="/", method="GET"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "host: a.example", *lines]).encode() + b"\r\n\r\n"


FOREIGN = ("x-forwarded-for: 8.8.8.8", "x-request-id: made-by-the-client", "user-agent: curl/1")
INTERNAL = ("x-forwarded-for: 10.0.0.9", "x-request-id: 6d3c6ef0-1111-4222-8333-444455556666", "x-envoy-internal: true")
ENVOYS = ("x-envoy-upstream-rq-timeout-ms: 777", "x-envoy-max-retries: 3", "x-envoy-retry-on: 5xx", "x-envoy-force-trace: yes",
          "x-envoy-decorator-operation: op", "x-envoy-expected-rq-timeout-ms: 5", "x-envoy-original-path: /o",
          "x-envoy-external-address: 1.2.3.4", "x-envoy-downstream-service-cluster: down", "x-client-trace-id: mine",
          "x-envoy-attempt-count: 7", "x-envoy-upstream-rq-per-try-timeout-ms: 55", "x-envoy-ip-tags: a",
          "x-envoy-immediate-health-check-fail: true")

CASES = [
    *(Case(f"{name}: plain", name, request()) for name in MANAGERS),
    *(Case(f"{name}: from outside", name, request(*FOREIGN, *ENVOYS))
      for name in ("default", "edge", "hops", "inner-hops", "skip-append", "ids", "no-ids", "agent", "no-envoy")),
    *(Case(f"{name}: from inside", name, request(*INTERNAL, *ENVOYS))
      for name in ("default", "edge", "hops", "inner-hops", "ids", "no-ids", "agent", "internal-edge", "internal", "internal-all")),
    *(Case(f"{name}: {address}", name, request(f"x-forwarded-for: {address}", "x-request-id: mine", *ENVOYS))
      for name in ("internal-edge", "internal", "internal-all") for address in ("10.127.0.1", "10.128.0.1", "8.8.8.8", "::1", "127.0.0.1")),
    Case("internal-edge: nobody before", "internal-edge", request(*ENVOYS)),
    *(Case(f"{name}: a chain of proxies", name, request("x-forwarded-for: 1.1.1.1, 2.2.2.2", "x-forwarded-for: 10.1.1.1",
                                                        "x-forwarded-proto: https"))
      for name in ("default", "edge", "hops", "inner-hops", "skip-append")),
    *(Case(f"{name}: nonsense as address", name, request("x-forwarded-for: nobody, 300.1.1.1", "x-forwarded-proto: gopher"))
      for name in ("default", "edge", "hops")),
    *(Case(f"{name}: the origin's own fields", name, request(target="/own")) for name in
      ("default", "named", "server-if-absent", "server-pass", "no-envoy", "edits")),
    Case("hop by hop", "default", request("connection: keep-alive, x-drop", "x-drop: 1", "keep-alive: timeout=5", "te: trailers",
                                          "proxy-connection: keep-alive", "x-keep: 1")),
    *(Case(f"te: {te}", "default", request(*(f"te: {line}" for line in te.split(" and ")))) for te in (
        "gzip, trailers", "Trailers", "trailers;q=0.5", "gzip", "gzip and trailers", "trailers and trailers")),
    Case("te that Connection lists", "default", request("te: trailers", "connection: te")),
    *(Case(f"trailer {field}", "trailers", request("transfer-encoding: chunked", method="POST") +
           f"3\r\nabc\r\n0\r\n{field}: 1\r\nx-mine: 2\r\n\r\n".encode()) for field in (
        "x-sum", "x-envoy-mine", "x-forwarded-mine", "x-envoy-internal", "x_forwarded_for", "x-forwarded-for", "x-request-id")),
    Case("two lines of forwarded for, one empty", "default", request("x-forwarded-for:", "x-forwarded-for: 8.8.8.8")),
    Case("nominated framing", "default", request("connection: host, content-length, transfer-encoding, x-forwarded-for",
                                                 "content-length: 0")),
    Case("response hop by hop", "default", request(target="/hop")),
    Case("via is extended", "named", request("via: 1.0 first")),
    Case("id of the client in the answer", "ids", request("x-request-id: 6d3c6ef0-1111-4222-8333-444455556666")),
    Case("host with a port", "any-port", request().replace(b"a.example", b"a.example:8080")),
    Case("host with a dot", "trailing-dot", request().replace(b"a.example", b"a.example.")),
    Case("host with a port is kept", "default", request().replace(b"a.example", b"A.example:8080")),
    Case("underscore is refused", "underscore-reject", request("x_under: 1")),
    Case("underscore is dropped", "underscore-drop", request("x_under: 1", "x-other: 2")),
    Case("underscore passes", "default", request("x_under: 1")),
    *(Case(f"{name}: all fields there", name, request("x-level: client", "x-if-absent: client", "x-overwrite: client",
                                                      "x-existing: client", "x-remove-me: 1", "accept: */*"))
      for name in ("edits", "edits-specific")),
    Case("edits of a direct response", "edits", request(target="/direct")),
    Case("host is rewritten", "edits", request(target="/named")),
    Case("prefix is rewritten", "edits", request(target="/rewritten/on?q=1")),
    Case("edits of a local reply", "edits", request().replace(b"HTTP/1.1", b"HTTP/1.0")),
]


def respond(message):
    if message.target == "/own":
        return ok(b"own", b"server: theirs\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nvia: 1.1 origin\r\nx-secret: s\r\n"
                          b"x-envoy-upstream-service-time: 9\r\nx-request-id: theirs\r\n")
    if message.target == "/hop":
        return ok(b"hop", b"connection: x-drop\r\nx-drop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\nx-keep: 1\r\n")
    return ok(b"answer", b"x-level: origin\r\n")


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(respond)


def configuration(origin):
    ports = {name: harness.free_port() for name in MANAGERS}
    return ports, [listener(name, port) for name, port in ports.items()], [
        cluster("origin", origin.port), cluster("trailing", origin.port, **upstream_http(enable_trailers=True))]


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "forwarding", request.config.getoption("--rewrite-golden"))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, origin, recorded):
    ports, listeners, clusters = configuration(origin)
    envoy(listeners, clusters)
    recorded.check_envoy(observe(ports, origin, CASES))


def test_ringside_forwards_as_envoy(module_proxy, origin, recorded):
    ports, listeners, clusters = configuration(origin)
    module_proxy(listeners, clusters)
    recorded.check(observe(ports, origin, CASES))
