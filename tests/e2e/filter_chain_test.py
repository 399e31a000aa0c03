"""Which filter chain takes a connection: the same tables of chains and connections through Envoy and through Ringside.

Every chain relays to a server that says the chain's name, so that what a client reads is the decision."""

import contextlib
import socket
import ssl

import harness
import peers
import pytest
from differential import GOLDEN, Recorded
from harness import address, cluster

FILTER = "type.googleapis.com/envoy.extensions.filters.listener."
TLS_INSPECTOR = {"name": "tls", "typed_config": {"@type": FILTER + "tls_inspector.v3.TlsInspector"}}
HTTP_INSPECTOR = {"name": "http", "typed_config": {"@type": FILTER + "http_inspector.v3.HttpInspector"}}
NAMES = [f"chain{number}" for number in range(8)] + ["default"]


def proxy_protocol(**fields):
    return {"name": "proxy", "typed_config": {"@type": FILTER + "proxy_protocol.v3.ProxyProtocol", **fields}}


def hello(server_name=None, alpn=(), version=None):
    """What an ssl client sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if version:
        context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def cidr(text):
    prefix, _, bits = text.partition("/")
    return {"address_prefix": prefix, "prefix_len": int(bits)}


def ranges(*texts):
    return [cidr(text) for text in texts]


GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.9 4000 8443\r\n"
def ports(start, end):
    return {"destination_port_range": {"start": start, "end": end}}


def to(port):
    return V1.replace(b"8443", str(port).encode())


PLAIN = {"plain": {"send": GET}}
FIRST_BYTES = {
    "http/1.1": {"send": GET},
    "http/1.0": {"send": b"GET / HTTP/1.0\r\n\r\n"},
    "http/1.1 by LF": {"send": b"GET / HTTP/1.1\n\n"},
    "h2c": {"send": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
    "garbage": {"send": bytes(range(32))},
    "words": {"send": b"hello world\r\n"},
    "tls": {"send": hello()},
    "tls 1.2": {"send": hello("a.test", version=ssl.TLSVersion.TLSv1_2)},
    "tls to a.test": {"send": hello("a.test")},
    "tls to A.Test": {"send": hello("A.Test")},
    "tls to b.a.test": {"send": hello("b.a.test")},
    "tls to c.b.a.test": {"send": hello("c.b.a.test")},
    "tls to x.test": {"send": hello("x.test")},
    "tls to other.example": {"send": hello("other.example")},
    "tls istio": {"send": hello("a.test", ["istio"])},
    "tls h2 istio": {"send": hello("a.test", ["h2", "istio"])},
    "tls istio h2": {"send": hello("a.test", ["istio", "h2"])},
    "tls http/1.1": {"send": hello("other.example", ["http/1.1"])},
    "broken hello": {"send": b"\x16\x03\x01\x00\x10" + b"\x01\x00\x00\x0c" + b"\xff" * 12},
    "alert": {"send": b"\x15\x03\x01\x00\x02\x02\x28"},
}
# A listener: its chains' matches in order, whether there is a default chain, its filters, and the connections that are tried.
LISTENERS = {
    "one chain": {"chains": [{}], "connections": PLAIN},
    "default only": {"chains": [], "default": True, "connections": PLAIN},
    "no chain fits": {"chains": [{"destination_port": 1}], "connections": PLAIN},
    "default for the rest": {"chains": [{"destination_port": 1}], "default": True, "connections": PLAIN},
    "own port": {"chains": [{}, {"destination_port": "own"}, {"destination_port": 1}], "connections": PLAIN},
    "own port, wrong address": {"chains": [{}, {"destination_port": "own", "prefix_ranges": ranges("10.0.0.0/8")}], "default": True,
                                "connections": PLAIN},
    "longest prefix": {
        "chains": [{"prefix_ranges": ranges("127.0.0.0/8")}, {"prefix_ranges": ranges("127.0.0.2/32", "127.0.0.4/31")},
                   {"prefix_ranges": ranges("127.0.0.0/30")}, {"prefix_ranges": ranges("::/0")}],
        "connections": {to: {"send": GET, "to": to} for to in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.1.2.3")}},
    "no way back from a prefix": {
        "chains": [{}, {"prefix_ranges": ranges("127.0.0.0/8"), "transport_protocol": "tls"}], "filters": [TLS_INSPECTOR],
        "connections": FIRST_BYTES},
    "server names": {
        "chains": [{"server_names": ["a.test"]}, {"server_names": ["*.a.test", "*.example"]}, {"server_names": ["*.test"]},
                   {"server_names": ["*.b.a.test", "b.a.test"]}, {"transport_protocol": "raw_buffer"}],
        "filters": [TLS_INSPECTOR], "connections": FIRST_BYTES},
    "server names and a default": {
        "chains": [{"server_names": ["a.test"], "application_protocols": ["h2"]}, {}], "default": True,
        "filters": [TLS_INSPECTOR], "connections": FIRST_BYTES},
    "no inspector": {"chains": [{"server_names": ["a.test"]}, {}], "connections": FIRST_BYTES},
    "protocols": {
        "chains": [{"application_protocols": ["http/1.1"]}, {"application_protocols": ["h2c", "h2"]}, {"application_protocols": ["http/1.0"]},
                   {"transport_protocol": "tls"}, {"transport_protocol": "raw_buffer"},
                   {"transport_protocol": "tls", "application_protocols": ["istio"]}],
        "filters": [TLS_INSPECTOR, HTTP_INSPECTOR], "connections": FIRST_BYTES},
    "http only": {
        "chains": [{"application_protocols": ["http/1.1"], "transport_protocol": "raw_buffer"},
                   {"application_protocols": ["h2c"], "transport_protocol": "raw_buffer"}, {}],
        "filters": [HTTP_INSPECTOR], "connections": FIRST_BYTES},
    "permissive": {
        "chains": [{"transport_protocol": "tls", "application_protocols": ["istio", "istio-peer-exchange", "istio-http/1.1", "istio-h2"]},
                   {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]}, {"transport_protocol": "tls"},
                   {"transport_protocol": "raw_buffer"}],
        "filters": [TLS_INSPECTOR, HTTP_INSPECTOR], "connections": FIRST_BYTES},
    "sources": {
        "chains": [{"source_type": "SAME_IP_OR_LOOPBACK"}, {"source_type": "EXTERNAL"}, {"source_prefix_ranges": ranges("127.0.0.8/32")},
                   {"source_type": "EXTERNAL", "source_prefix_ranges": ranges("127.0.0.4/30")},
                   {"source_type": "EXTERNAL", "source_prefix_ranges": ranges("127.0.0.9/32"), "source_ports": [1]}],
        "connections": {f"{source} to {to}": {"send": GET, "from": source, "to": to} for source, to in (
            ("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.2"), ("127.0.0.2", "127.0.0.1"),
            ("127.0.0.5", "127.0.0.1"), ("127.0.0.8", "127.0.0.1"), ("127.0.0.9", "127.0.0.1"))}},
    "source any": {
        "chains": [{"source_prefix_ranges": ranges("127.0.0.8/32")}, {"source_prefix_ranges": ranges("127.0.0.0/8"), "source_ports": [2]},
                   {"direct_source_prefix_ranges": ranges("127.0.0.4/30"), "source_prefix_ranges": ranges("127.0.0.6/32")}],
        "default": True,
        "connections": {source: {"send": GET, "from": source} for source in ("127.0.0.1", "127.0.0.5", "127.0.0.6", "127.0.0.8")}},
    "behind a balancer": {
        "chains": [{"destination_port": 8443}, {"destination_port": 8443, "prefix_ranges": ranges("198.51.100.0/24")},
                   {"destination_port": 8443, "prefix_ranges": ranges("198.51.100.0/24"), "source_prefix_ranges": ranges("192.0.2.0/24"),
                    "direct_source_prefix_ranges": ranges("127.0.0.0/8"), "source_ports": [4000]},
                   {"source_type": "SAME_IP_OR_LOOPBACK"}],
        "filters": [proxy_protocol(allow_requests_without_proxy_protocol=True)],
        "connections": {
            "v1": {"send": V1 + GET}, "no header": {"send": GET}, "unknown": {"send": b"PROXY UNKNOWN\r\n" + GET},
            "other port": {"send": V1.replace(b"4000", b"4001") + GET}, "other source": {"send": V1.replace(b"192.0.2.7", b"192.0.3.7") + GET},
            "other destination": {"send": V1.replace(b"198.51.100.9", b"198.51.101.9") + GET},
            "v6": {"send": b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 8443\r\n" + GET}}},
    "balancer and tls": {
        "chains": [{"server_names": ["a.test"]}, {"transport_protocol": "raw_buffer"}], "filters": [proxy_protocol(), TLS_INSPECTOR],
        "connections": {"tls": {"send": V1 + hello("a.test")}, "other": {"send": V1 + hello("b.test")}, "plain": {"send": V1 + GET},
                        "no header": {"send": hello("a.test")}}},
    "a filter is left out": {
        "chains": [{"transport_protocol": "tls"}, {"transport_protocol": "raw_buffer"}],
        "filters": [proxy_protocol(allow_requests_without_proxy_protocol=True), {**TLS_INSPECTOR, "filter_disabled": {"or_match": {"rules": [
            {"and_match": {"rules": [ports(8443, 8445), {"not_match": ports(8444, 8445)}]}}, ports(1, 2)]}}}],
        "connections": {str(port): {"send": to(port) + hello("a.test")} for port in (1, 2, 8442, 8443, 8444, 8445)}},
    "handed on": {
        "chains": [], "default": True, "filters": [proxy_protocol(allow_requests_without_proxy_protocol=True)], "use_original_dst": True,
        "connections": {
            "tls to its listener": {"send": V1 + hello("a.test")}, "plain to its listener": {"send": V1 + GET},
            "to the listener of the port": {"send": V1.replace(b"100.9", b"100.10") + GET}, "no such port": {"send": to(8446) + GET},
            "no header": {"send": GET}, "itself": {"send": to("own") + GET}}},
    "of an address": {
        "chains": [{"transport_protocol": "tls"}, {"transport_protocol": "raw_buffer"}], "filters": [TLS_INSPECTOR],
        "address": address(8443, "198.51.100.9"), "bind_to_port": False, "connections": {}},
    "of a port": {"chains": [{"destination_port": 1}, {"source_ports": [1]}, {"source_ports": [4000]}], "address": address(8443, "0.0.0.0"),
                  "bind_to_port": False, "connections": {}},
}
CASES = [(listener, name) for listener, facts in LISTENERS.items() for name in facts["connections"]]


def say(name):
    """A server that says `name` and waits for the other's end, so that nothing is lost to a reset."""
    def serve(connection):
        connection.sendall(name.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    return serve


@pytest.fixture(scope="module")
def clusters():
    servers = {name: harness.Upstream(say(name)) for name in NAMES}
    yield [cluster(name, server.port) for name, server in servers.items()]
    for server in servers.values():
        server.close()


def chain(name, match=None):
    proxy = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": name}
    return {"name": name, **({"filter_chain_match": match} if match else {}), "filters": [{"name": "tcp", "typed_config": proxy}]}


def listeners_of(ports):
    made = []
    for name, facts in LISTENERS.items():
        own = {"own": ports[name]}
        matches = [{key: own.get(value, value) if isinstance(value, str) else value for key, value in match.items()} for match in facts["chains"]]
        made.append({
            "name": name, "address": facts.get("address", address(ports[name], "0.0.0.0")), "listener_filters": facts.get("filters", []),
            **{field: facts[field] for field in ("bind_to_port", "use_original_dst") if field in facts},
            "filter_chains": [chain(f"chain{number}", match) for number, match in enumerate(matches)],
            **({"default_filter_chain": chain("default")} if facts.get("default") else {})})
    return made


def decision(port, connection):
    """The name of the chain, "closed", or "waits" when there was none for seconds."""
    with socket.socket() as client:
        client.bind((connection.get("from", "127.0.0.1"), 0))
        client.settimeout(3 * harness.SLOWNESS)
        client.connect((connection.get("to", "127.0.0.1"), port))
        said = b""
        try:
            client.sendall(connection["send"].replace(b" own", f" {port}".encode()))
            while piece := client.recv(4096):
                said += piece
        except TimeoutError:
            return "waits"
        except (ConnectionResetError, BrokenPipeError):
            pass
        return said.decode() or "closed"


def decisions(ports):
    return {f"{listener}: {name}": {"chain": decision(ports[listener], LISTENERS[listener]["connections"][name])} for listener, name in CASES}


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "filter_chains", request.config.getoption("--rewrite-golden"))


def free_ports():
    return {name: harness.free_port() for name in LISTENERS}


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, clusters, recorded):
    ports = free_ports()
    envoy(listeners_of(ports), clusters)
    recorded.check_envoy(decisions(ports))


def test_chains_are_chosen_as_by_envoy(module_proxy, clusters, recorded):
    ports = free_ports()
    module_proxy(listeners_of(ports), clusters)
    recorded.check(decisions(ports))
