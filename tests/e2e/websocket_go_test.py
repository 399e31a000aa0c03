"""WebSockets of Go: coder/websocket and gorilla/websocket as clients and as servers, and coder/websocket over x/net's HTTP/2, by
clear text and TLS, relayed and inspected. What either end sees is what it sees without the proxy."""

import hashlib
import json
import os
import subprocess

import harness
import peers
import pytest
from harness import cluster, http_listener, route, wait_until
from tls_proxy_test import common, downstream, folder  # noqa: F401  (a fixture)
from websocket_h2_test import ALLOW, http2_upstream

SERVERS = {"coder": ["-library", "coder"], "gorilla": ["-library", "gorilla"], "h2": ["-library", "coder", "-http2"]}
CLIENTS = SERVERS
LAYERS = ["plain", "tls", "inspected"]
SESSIONS = 3


@pytest.fixture(scope="module")
def tool(go_tool):
    return go_tool("ws_peer", "ringside.test/e2e/ws_peer")


@pytest.fixture(scope="module")
def servers(tool, tmp_path_factory):
    """{name: a running Peer}"""
    started = {}
    for name, words in SERVERS.items():
        port = harness.free_port()
        # x/net offers extended CONNECT only where this is said.
        started[name] = peers.Peer(tmp_path_factory.mktemp(name), [tool, "serve", *words, "-listen", f"127.0.0.1:{port}"], port,
                                   env={**os.environ, "GODEBUG": "http2xconnect=1"})
    yield started
    for server in started.values():
        server.stop()


def listener(layer, server, folder):  # noqa: F811
    made = http_listener(harness.free_port(), [route(to=server, timeout="0s")], name=f"{layer}-{server}", upgrade_configs=ALLOW,
                         http2_protocol_options={"allow_connect": True})
    if layer == "tls":
        downstream(made, common(folder, "server", alpn_protocols=["h2", "http/1.1"]))
    if layer == "inspected":
        made["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"].insert(0, {"name": "ringside.websocket", "typed_config": {
            "@type": "type.googleapis.com/ringside.websocket.v1.WebSocketInspection"}})
    return made


@pytest.fixture(scope="module")
def running(module_proxy, servers, folder):  # noqa: F811
    """Every layer in front of every server: a listener for each."""
    return module_proxy([listener(layer, server, folder) for layer in LAYERS for server in SERVERS],
                        [cluster(name, server.port, **(http2_upstream() if name == "h2" else {})) for name, server in servers.items()])


def talk(tool, server, client, port, *words):
    """(what each session of the client saw, what the server saw of each socket)"""
    before = len(server.log.splitlines())
    done = subprocess.run([tool, "client", *CLIENTS[client], "-port", str(port), "-sessions", str(SESSIONS), *map(str, words)],
                          capture_output=True, text=True, timeout=70 * harness.SLOWNESS)
    assert done.returncode == 0, done.stderr
    sessions = [json.loads(line) for line in done.stdout.splitlines()]
    sockets = wait_until(lambda: server.log.endswith("\n") and len(lines := server.log.splitlines()[before:]) >= 2 * SESSIONS and lines,
                         f"the server's sockets end: {sessions}")
    return sessions, sorted(map(json.loads, sockets), key=str)


def message(kind, data):
    return f"{kind} {len(data)} {hashlib.sha256(data).hexdigest()}"


LARGE = bytes((i * 31 + (i >> 8)) & 255 for i in range(1 << 20))
MESSAGES = {"text": message("text", "gr\u00fc\u00df \U0001f4a9".encode()), "empty": message("text", b""), "binary": message("binary", LARGE),
            "fragmented": message("binary", LARGE[:100000]), "again": message("binary", LARGE)}


def expected(client, server, compressed):
    """coder answers a close with its reason, gorilla with its code alone, and gorilla's deflate begins anew with each message."""
    extensions = {"no_context_takeover"} if compressed and "gorilla" in (client, server) else set()
    session = {"error": "", "refused": 403, "status": 101, "subprotocol": "chat", "messages": MESSAGES, "pong": True, "ponged": "ponged",
               "client_close": "4000 " + ("" if server == "gorilla" else "the client is done"), "server_close": "4001 the server is done"}
    protocol = "HTTP/2.0" if server == "h2" else "HTTP/1.1"
    sockets = [{"path": "/by_client", "protocol": protocol, "code": 4000, "reason": "the client is done"},
               {"path": "/by_server", "protocol": protocol, "code": 4001, "reason": "" if client == "gorilla" else "the server is done"}]
    return session, extensions, [each for each in sockets for _ in range(SESSIONS)]


def check(seen, client, server, compressed):
    sessions, sockets = seen
    session, extensions, of_server = expected(client, server, compressed)
    assert sockets == of_server
    assert len(sessions) == SESSIONS
    for each in sessions:
        agreed = each.pop("extensions")
        assert agreed.startswith("permessage-deflate") == compressed and all(f"client_{word}" in agreed for word in extensions), agreed
        assert each == session


# Without the proxy only those of one version understand each other.
WAYS = [("direct", False), ("direct", True), ("plain", False), ("tls", True), ("inspected", True)]
TALKS = [(layer, compressed, client, server) for layer, compressed in WAYS for client in CLIENTS for server in SERVERS
         if layer != "direct" or (client == "h2") == (server == "h2")]


@pytest.mark.parametrize(("layer", "compressed", "client", "server"), TALKS)
def test_what_both_ends_see(running, tool, servers, folder, layer, client, server, compressed):  # noqa: F811
    words = ["-compress"] if compressed else []
    if layer == "direct":
        check(talk(tool, servers[server], client, servers[server].port, *words), client, server, compressed)
        return
    name = f"{layer}-{server}"
    before = running.stats(f"^http.{name}.downstream_cx_")
    words += ["-ca", folder / "ca.pem"] if layer == "tls" else []
    check(talk(tool, servers[server], client, running.listen_ports[name], *words), client, server, compressed)
    after = running.stats(f"^http.{name}.downstream_cx_")
    grown = {key: after[f"http.{name}.downstream_cx_{key}"] - before.get(f"http.{name}.downstream_cx_{key}", 0)
             for key in ("upgrades_total", "http1_total", "http2_total", "protocol_error")}
    assert grown["upgrades_total"] == 3 * SESSIONS and grown["protocol_error"] == 0  # refused ones count, as in Envoy
    assert grown["http2_total"] == (1 if client == "h2" else 0)  # all the sessions on one connection
    assert (grown["http1_total"] == 0) == (client == "h2")


def test_nothing_is_left(running):
    active = r"^http\.\w+-\w+\.downstream_(cx_upgrades|cx|rq)_active$|^cluster\.\w+\.upstream_rq_active$"
    assert len(running.stats(active)) >= 3 * len(LAYERS) * len(SERVERS) + len(SERVERS)
    wait_until(lambda: not any(running.stats(active).values()), "nothing is active")
