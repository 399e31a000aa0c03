"""grpc_stats, grpc_web and grpc_http1_bridge in front of a real server of gRPC, each beside Envoy: what the client gets byte by byte,
what is counted."""

import base64
import json
import re
import shutil
import subprocess

import harness
import pytest
from grpc_origin import GrpcOrigin
from harness import cluster, http_listener, route, wait_until
from http2_test import upstream_http2

STATS = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
WEB = "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"
BRIDGE = "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"


def message(*bodies):
    return b"".join(b"\0" + len(body).to_bytes(4, "big") + body for body in bodies)


def web_text(*bodies):
    return base64.b64encode(message(*bodies))


def chain(*filters):
    every = [*filters, (ROUTER, {})]
    return [{"name": kind.rsplit(".", 2)[0], "typed_config": {"@type": f"type.googleapis.com/{kind}", **fields}} for kind, fields in every]


@pytest.fixture(scope="module")
def grpc_origin():
    server = GrpcOrigin()
    yield server
    server.close()


def start_pair(proxy, envoy, port, filters, **fields):
    """Ringside and Envoy with the same configuration."""
    def one(start):
        listen = harness.free_port()
        routes = [route("nowhere", "/test.Echo/Nowhere", timeout="0s"), route(timeout="0s")]
        listener = http_listener(listen, routes, http_filters=chain(*filters), **fields)
        running = start([listener], [cluster("origin", port, **upstream_http2()), cluster("nowhere", **upstream_http2())])
        return running, listen
    return one(proxy), one(envoy)


def ask(port, method, content_type, body, *options, version="--http1.1"):
    """(status, {header: value}, body) as curl sees them."""
    done = subprocess.run(["curl", "-sS", "--max-time", "20", version, "-i", "--raw", "-H", f"content-type: {content_type}", "-H", "expect:",
                           "--data-binary", "@-", *options, f"http://127.0.0.1:{port}/test.Echo/{method}"],
                          input=body, capture_output=True, check=False)
    if done.returncode != 0:
        return f"curl {done.returncode}"
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    for name in ("date", "connection", "x-envoy-upstream-service-time", "transfer-encoding"):
        headers.pop(name, None)
    if b"chunked" in head:
        rest = harness.parse_response(done.stdout).body
    return [int(lines[0].split(" ")[1]), headers, rest.hex()]


def grpc_stats(running):
    """Envoy creates a counter when it first counts; both show zeros nowhere."""
    return {name: value for name, value in running.stats(r"^cluster\..*\.grpc(-web)?\.").items() if value != 0}


def compare(pair, calls, **options):
    (ours, our_port), (theirs, their_port) = pair
    mine = {name: ask(our_port, *call, **options) for name, call in calls.items()}
    envoys = {name: ask(their_port, *call, **options) for name, call in calls.items()}
    different = {name: {"ringside": mine[name], "envoy": envoys[name]} for name in mine if mine[name] != envoys[name]}
    assert not different, json.dumps(different, indent=1)
    assert grpc_stats(ours) == grpc_stats(theirs)


BODY = b"hello \x00\xff"
CALLS = {
    "unary": ("Unary", BODY),
    "empty": ("Unary", b""),
    "large": ("Unary", bytes(range(256)) * 400),
    "fail": ("Fail", BODY),
    "fail late": ("FailLate", BODY),
    "many": ("Many", b"5 1000"),
    "unknown method": ("Unknown", BODY),
    "no upstream": ("Nowhere", BODY),
}


# Answered before the request is read: how much of it is counted is a matter of time.
EARLY = ("Unknown", "Nowhere")


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_grpc_web(proxy, envoy, grpc_origin, version):
    pair = start_pair(proxy, envoy, grpc_origin.port, [(WEB, {})])
    calls = {}
    for name, (method, body) in CALLS.items():
        calls[f"{name}, binary"] = (method, "application/grpc-web+proto", message(body), "-H", "accept: application/grpc-web+proto")
        calls[f"{name}, text"] = (method, "application/grpc-web-text", web_text(body), "-H", "accept: application/grpc-web-text")
    text = "application/grpc-web-text"
    calls |= {
        "text asked in binary": ("Unary", "application/grpc-web", message(BODY), "-H", f"accept: {text}+proto"),
        "binary asked in text": ("Unary", text, web_text(BODY), "-H", "accept: application/grpc-web"),
        "padded twice": ("Sum", text, web_text(b"a") + web_text(b"bcd"), "-H", f"accept: {text}"),
        "not base64": ("Unary", text, b"****", "-H", f"accept: {text}"),
        "not grpc-web": ("Unary", "application/json", b"{}"),
        "another format": ("Unary", "application/grpc-web+json", message(b"{}")),
    }
    if version != "--http1.1":  # curl takes an early answer for an error when it is still sending
        calls = {name: call for name, call in calls.items() if call[0] not in EARLY}
    compare(pair, calls, version=version)


def test_bridge(proxy, envoy, grpc_origin):
    pair = start_pair(proxy, envoy, grpc_origin.port, [(BRIDGE, {"upgrade_protobuf_to_grpc": True, "ignore_query_parameters": True})])
    calls = {}
    for name, (method, body) in CALLS.items():
        calls[f"{name}, grpc"] = (method, "application/grpc", message(body), "-H", "te: trailers")
        calls[f"{name}, protobuf"] = (method, "application/x-protobuf", body, "-H", "te: trailers")
    calls["query"] = ("Unary?a=b", "application/x-protobuf", BODY, "-H", "te: trailers")
    calls["other"] = ("Unary", "application/json", b"{}")
    compare(pair, calls)


@pytest.mark.parametrize("fields", [
    {}, {"stats_for_all_methods": True}, {"stats_for_all_methods": True, "replace_dots_in_grpc_service_name": True},
    {"individual_method_stats_allowlist": {"services": [{"name": "test.Echo", "method_names": ["Many", "Fail"]}]}}], ids=str)
def test_grpc_stats(proxy, envoy, grpc_origin, fields):
    pair = start_pair(proxy, envoy, grpc_origin.port, [(STATS, fields)])
    for running, port in pair:
        for method, body in CALLS.values():
            if method in EARLY:
                continue
            ask(port, method, "application/grpc", message(body), "-H", "te: trailers",
                version="--http2-prior-knowledge")
        ask(port, "Chat", "application/grpc", message(b"1", b"", b"333" * 50000), version="--http2-prior-knowledge")
        ask(port, "Chat", "application/json", message(b"1"), version="--http2-prior-knowledge")
        ask(port, "Chat/deeper", "application/grpc", message(b"1"), version="--http2-prior-knowledge")
    assert grpc_stats(pair[0][0]) == grpc_stats(pair[1][0]) != {}
    if fields and "replace_dots_in_grpc_service_name" not in fields:
        return  # Envoy takes the dots of a service's name for the end of its label
    labels = [sorted(line for line in running.admin("/stats/prometheus")[1].splitlines() if re.match(r"envoy_cluster_grpc_\w+\{", line))
              for running, _ in pair]
    assert [line for line in labels[0] if line not in labels[1]] == [] == [line for line in labels[1] if line not in labels[0]]
    assert labels[0]


def test_access_log(proxy, envoy, grpc_origin, tmp_path):
    """The operators that tell of gRPC, in the same words as Envoy's."""
    line = "|".join(f"%{word}%" for word in (
        "REQ(:PATH)", "GRPC_STATUS", "GRPC_STATUS(CAMEL_STRING)", "GRPC_STATUS(SNAKE_STRING)", "GRPC_STATUS(NUMBER)", "GRPC_STATUS_NUMBER",
        "TRAILER(X-END)", "TRAILER(X-NONE?GRPC-MESSAGE)", "TRAILER(X-END):2", "RESPONSE_CODE")) + "\n"

    def run(start, name):
        log = tmp_path / name
        sink = harness.file_access_log(log)
        sink["typed_config"]["log_format"] = {"text_format_source": {"inline_string": line}}
        port = harness.free_port()
        routes = [route("nowhere", "/test.Echo/Nowhere", timeout="0s"), route(timeout="0s")]
        start([http_listener(port, routes, http_filters=chain((WEB, {})), access_log=[sink])],
              [cluster("origin", grpc_origin.port, **upstream_http2()), cluster("nowhere", **upstream_http2())])
        methods = ("Unary", "Fail", "FailLate", "Unknown", "Nowhere")
        for method in methods:
            ask(port, method, "application/grpc", message(BODY), "-H", "te: trailers", version="--http2-prior-knowledge")
        ask(port, "Unary", "application/json", b"{}", version="--http2-prior-knowledge")
        ask(port, "FailLate", "application/grpc-web", message(BODY))
        wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == len(methods) + 2, "every line")
        return log.read_text().splitlines()

    mine, envoys = run(proxy, "ringside.log"), run(envoy, "envoy.log")
    # Envoy forgets the trailers that grpc_web put into the body.
    assert mine.pop() == "/test.Echo/FailLate|Aborted|Aborted|ABORTED|10|10|-|in the middle|-|200"
    assert envoys.pop() == "/test.Echo/FailLate|Unknown|Unknown|UNKNOWN|2|2|-|-|-|200"
    assert mine == envoys


def test_a_route_switches_a_filter_off(proxy, grpc_origin):
    off = {"typed_per_filter_config": {"envoy.extensions.filters.http.grpc_stats": {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}}}
    routes = [route(prefix="/test.Echo/Fail", timeout="0s", headers=off), route(timeout="0s")]
    port = harness.free_port()
    filters = chain((STATS, {"stats_for_all_methods": True}))
    running = proxy([http_listener(port, routes, http_filters=filters)], [cluster("origin", grpc_origin.port, **upstream_http2())])
    for method in ("Fail", "Unary"):
        ask(port, method, "application/grpc", message(BODY), "-H", "te: trailers", version="--http2-prior-knowledge")
    assert set(grpc_stats(running)) == {f"cluster.origin.grpc.test.Echo.Unary.{word}" for word in
                                        ("0", "success", "total", "request_message_count", "response_message_count")}


NODE_CLIENT = """
global.XMLHttpRequest = require('xhr2');
const web = require('grpc-web');
const bytes = {serialize: text => Buffer.from(text), back: data => Buffer.from(data).toString()};
const type = path => new web.MethodDescriptor(path, path.endsWith('Many') ? 'server_streaming' : 'unary', String, String, bytes.serialize, bytes.back);
(async () => {
  for (const format of ['text', 'binary']) {
    const client = new web.GrpcWebClientBase({format});
    const call = (method, text) => new Promise(done => client.rpcCall(
      process.argv[2] + '/test.Echo/' + method, text, {}, type('/test.Echo/' + method),
      (error, answer) => done(error ? error.code + ' ' + error.message : String(answer))));
    console.log(await call('Unary', 'hello'));
    console.log(await call('Fail', 'hello'));
    if (format == 'binary') continue;  // the client streams text only
    await new Promise(done => {
      let count = 0, code = -1;
      const stream = client.serverStreaming(process.argv[2] + '/test.Echo/Many', '50 1000', {}, type('/test.Echo/Many'));
      stream.on('data', answer => { count += String(answer).length; });
      stream.on('status', status => { code = status.code; });
      stream.on('end', () => { console.log(count, code); done(); });
    });
  }
})();
"""


def test_grpc_web_client(proxy, grpc_origin, tmp_path):
    """The client that browsers run, under Node."""
    packages = harness.ROOT / "build" / "grpc-web-client"
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("Node is not installed")
    if not (packages / "node_modules" / "xhr2").exists():
        packages.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", packages, "grpc-web@1.5.0", "google-protobuf@3.21.4",
                               "xhr2@0.2.1"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"grpc-web cannot be had here: {done.stderr[-500:]}")
    port = harness.free_port()
    proxy([http_listener(port, [route(timeout="0s")], http_filters=chain((WEB, {}), (STATS, {})))],
          [cluster("origin", grpc_origin.port, **upstream_http2())])
    source = tmp_path / "client.js"
    source.write_text(NODE_CLIENT)
    done = subprocess.run([node, source, f"http://127.0.0.1:{port}"], capture_output=True, text=True, timeout=60 * harness.SLOWNESS,
                          env={"PATH": "/usr/bin", "NODE_PATH": str(packages / "node_modules")}, check=False)
    assert done.returncode == 0, done.stderr
    failed = "5 nothing like \u00e4 here"
    assert done.stdout.splitlines() == ["hello", failed, "50000 0", "hello", failed]
