"""What listener filters make of first bytes: odd and hostile ones, slow ones, and headers of the PROXY protocol."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import time

import harness
import peers
import pytest
from differential import GOLDEN, Recorded
from filter_chain_test import GET, HTTP_INSPECTOR, TLS_INSPECTOR, V1, chain, hello, proxy_protocol, say
from harness import address, cluster, http_listener, ok, route
from tls_proxy_test import common, downstream
from tls_proxy_test import folder as certificates  # noqa: F401 (a fixture)

COUNTED = r"^(tls_inspector|http_inspector|proxy_proto|downstream_cx_proxy|listener\.[0-9.]+_\d+\.(downstream_listener_filter|downstream_pre_cx|no_filter|downstream_cx_total))"
V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4_BODY = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.9") + struct.pack(">HH", 4000, 8443)


def version2(command, family, body):
    return V2_SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


def large_hello(size):
    """A ClientHello with so large an extension that it takes `size` bytes."""
    extension = struct.pack(">HH", 0xfafa, size - 59) + b"x" * (size - 59)
    body = b"\x03\x03" + b"r" * 32 + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00" + struct.pack(">H", len(extension)) + extension
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    pieces = [message[at:at + 16000] for at in range(0, len(message), 16000)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)


V2 = version2(0x21, 0x11, V4_BODY)
BYTES = {
    "inspect": {
        "http/1.1": GET, "http/1.0": b"GET / HTTP/1.0\r\n\r\n", "h2c": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "garbage": bytes(range(32)),
        "words": b"hello world\r\n", "http/0.9": b"GET /\r\n", "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "redis": b"*1\r\n$4\r\nPING\r\n",
        "two words and spaces": b"GET  / HTTP/1.1\r\n", "lower case": b"get / HTTP/1.1\r\n\r\n",
        "tls": hello(), "tls with a name": hello("a.test"), "tls with protocols": hello("a.test", ["h2"]),
        "a large hello": large_hello(12000), "two hellos": hello("a.test") + hello("b.test"), "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
        "ssl 3": b"\x16\x03\x00\x00\x04\x01\x00\x00\x00", "no hello": b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"},
    "too large": {"a hello beyond all bounds": large_hello(40000)},
    "too large for us": {"more than told": large_hello(12000), "less than told": large_hello(1500)},
    "only v2": {"v1": V1 + GET, "v2": V2 + GET},
    "proxied": {
        "v1": V1 + GET, "v1 unknown": b"PROXY UNKNOWN\r\n" + GET, "v1 two spaces": V1.replace(b"TCP4 ", b"TCP4  ") + GET,
        "v1 a word more": V1.replace(b" 8443", b" 8443 x") + GET, "v1 large port": V1.replace(b"8443", b"65536") + GET,
        "v1 wrong family": V1.replace(b"TCP4", b"TCP6") + GET, "v1 endless": b"PROXY UNKNOWN " + b"a" * 200 + b"\r\n" + GET,
        "v1 twice": V1 + V1 + GET, "v2": V2 + GET, "v2 local": version2(0x20, 0, b"") + GET, "v2 local with addresses": version2(0x20, 0x11, V4_BODY) + GET,
        "v2 of nothing": version2(0x21, 0, b"abcd") + GET, "v2 udp": version2(0x21, 0x12, V4_BODY) + GET,
        "v2 unix": version2(0x21, 0x31, b"a" * 216) + GET, "v2 short": version2(0x21, 0x11, V4_BODY[1:]) + GET,
        "v2 with an addition": version2(0x21, 0x11, V4_BODY + b"\x04\x00\x02ok") + GET,
        "v2 with half an addition": version2(0x21, 0x11, V4_BODY + b"\x04\x00\x03ok") + GET,
        "v2 unknown command": version2(0x22, 0x11, V4_BODY) + GET, "v2 of version 1": version2(0x11, 0x11, V4_BODY) + GET, "none": GET},
    "maybe proxied": {"v1": V1 + GET, "v2": V2 + GET, "none": GET},
}
FILTERS = {
    "inspect": [TLS_INSPECTOR, HTTP_INSPECTOR], "too large": [TLS_INSPECTOR],
    "too large for us": [{"name": "tls", "typed_config": {**TLS_INSPECTOR["typed_config"], "max_client_hello_size": 2000}}],
    "only v2": [proxy_protocol(disallowed_versions=["V1"])], "proxied": [proxy_protocol()],
    "maybe proxied": [proxy_protocol(allow_requests_without_proxy_protocol=True, disallowed_versions=["V1"], stat_prefix="maybe")],
}


@pytest.fixture(scope="module")
def greeter():
    server = harness.Upstream(say("hello"))
    yield cluster("hello", server.port)
    server.close()


def listener(name, port, filters, **fields):
    return {"name": name, "address": address(port), "listener_filters": filters, "filter_chains": [chain("hello")], **fields}


def said(port, data, pause=0.0, finish=False):
    """What the server said, "" when the connection was closed before; `data` goes byte by byte when there is a pause."""
    heard = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), harness.connect(port) as client:
        client.settimeout(20 * harness.SLOWNESS)
        for piece in [data] if not pause else (data[at:at + 1] for at in range(len(data))):
            client.sendall(piece)
            time.sleep(pause)
        if finish:
            client.shutdown(socket.SHUT_WR)
        while piece := client.recv(4096):
            heard += piece
    return heard.decode()


def changed(running, before):
    """Counters that moved, without the ports in their names."""
    after = running.stats(COUNTED)
    return {re.sub(r"listener\.[0-9.]+_\d+\.", "", name): value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


def observe(running, ports):
    seen = {}
    for name, cases in BYTES.items():
        for case, data in cases.items():
            before = running.stats(COUNTED)
            heard = said(ports[name], data)
            harness.wait_until(lambda: changed(running, before), "it is counted")
            time.sleep(0.02)
            seen[f"{name}: {case}"] = {"said": heard, **changed(running, before)}
    return seen


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "listener_filters", request.config.getoption("--rewrite-golden"))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, greeter, recorded):
    ports = {name: harness.free_port() for name in FILTERS}
    running = envoy([listener(name, ports[name], filters) for name, filters in FILTERS.items()], [greeter])
    recorded.check_envoy(observe(running, ports))


def test_bytes_are_taken_and_counted_as_by_envoy(module_proxy, greeter, recorded):
    ports = {name: harness.free_port() for name in FILTERS}
    running = module_proxy([listener(name, ports[name], filters) for name, filters in FILTERS.items()], [greeter])
    recorded.check(observe(running, ports))
    assert running.stats("downstream_pre_cx_active$|downstream_cx_active$").values()
    assert not any(running.stats(r"^listener\.[0-9.]+_\d+\.downstream_(pre_)?cx_active$").values())


@pytest.mark.parametrize("data", [hello("a.test", ["istio"]), GET, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=["tls", "http", "h2c"])
def test_bytes_come_one_at_a_time(proxy, greeter, data):
    port = harness.free_port()
    running = proxy([listener("slow", port, FILTERS["inspect"])], [greeter])
    assert said(port, data, pause=0.0005) == "hello"
    is_tls = data[0] == 0x16
    assert running.stat("tls_inspector.tls_found") == is_tls and running.stat("tls_inspector.tls_not_found") == (not is_tls)


def test_slow_clients_end(proxy, greeter):
    port = harness.free_port()
    running = proxy([listener("slow", port, FILTERS["inspect"], listener_filters_timeout="2s")], [greeter])
    begin = time.monotonic()
    clients = [harness.connect(port) for _ in range(20)]
    for client in clients:
        client.sendall(hello("a.test")[:50])
    harness.wait_until(lambda: running.stats("downstream_pre_cx_active$") and sum(running.stats("downstream_pre_cx_active$").values()) == 20, "they wait")
    for client in clients:
        client.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        client.close()
    assert time.monotonic() - begin > 1.9
    assert running.stat(f"listener.127.0.0.1_{port}.downstream_pre_cx_timeout") == 20
    assert sum(running.stats("downstream_pre_cx_active$").values()) == 0


def test_a_server_that_speaks_first(proxy, greeter):
    """It is waited for as long as listener_filters_timeout says, and then goes on."""
    port = harness.free_port()
    running = proxy([listener("slow", port, FILTERS["inspect"], listener_filters_timeout="0.2s", continue_on_listener_filters_timeout=True)], [greeter])
    assert said(port, b"") == "hello"
    assert said(port, b"GET /") == "hello", "half a line"
    assert running.stat(f"listener.127.0.0.1_{port}.downstream_pre_cx_timeout") == 2


def test_clients_that_leave(proxy, greeter):
    port = harness.free_port()
    running = proxy([listener("left", port, FILTERS["inspect"])], [greeter])
    for data in (b"", b"G", hello()[:100]):
        assert said(port, data, finish=True) == ""
    name = f"listener.127.0.0.1_{port}.downstream_listener_filter_remote_close"
    harness.wait_until(lambda: running.stat(name) == 3, "they are counted")
    for _ in range(5):
        client = harness.connect(port)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.send(b"G")
        client.close()
    harness.wait_until(lambda: sum(running.stats("downstream_pre_cx_active$").values()) == 0, "nobody is left")


def test_shutting_down_while_somebody_is_slow(proxy, greeter):
    port = harness.free_port()
    running = proxy([listener("slow", port, FILTERS["inspect"])], [greeter])
    with harness.connect(port) as client:
        client.sendall(b"G")
        harness.wait_until(lambda: sum(running.stats("downstream_pre_cx_active$").values()) == 1, "it waits")
        assert running.stop() == 0


LOG = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS% %FILTER_CHAIN_NAME%\n"


@pytest.mark.parametrize("header", [V1, V2, version2(0x21, 0x11, V4_BODY + b"\x04\x00\x02ok")], ids=["v1", "v2", "v2 with an addition"])
def test_addresses_of_a_proxy_header(proxy, tmp_path, origin, header):
    """Whole, cut in two at each byte, and byte by byte: who asks is whom the balancer names."""
    server = origin(lambda message: ok(b"answer"))
    port = harness.free_port()
    log = harness.file_access_log(tmp_path / "access.log")
    log["typed_config"]["log_format"] = {"text_format_source": {"inline_string": LOG}}
    made = http_listener(port, [route()], access_log=[log], use_remote_address=True)
    made["listener_filters"] = [proxy_protocol()]
    made["filter_chains"][0]["name"] = "behind"
    running = proxy([made], [cluster("origin", server.port)])
    whole = header + b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    for cut in range(len(header) + 2):
        with harness.connect(port) as client:
            client.sendall(whole[:cut])
            time.sleep(0.002)
            client.sendall(whole[cut:])
            assert b"200 OK" in client.recv(4096)
    with harness.connect(port) as client:
        for at in range(len(whole)):
            client.sendall(whole[at:at + 1])
        assert b"200 OK" in client.recv(4096)
    times = len(header) + 3
    assert [message.all("x-forwarded-for") for message in server.seen] == [["192.0.2.7"]] * times
    lines = harness.wait_until(lambda: (found := (tmp_path / "access.log").read_text().splitlines()) and len(found) == times and found, "all are logged")
    assert set(lines) == {"192.0.2.7:4000 127.0.0.1 198.51.100.9:8443 behind"}
    assert running.stat(f"proxy_proto.versions.{'v1' if header is V1 else 'v2'}.found") == times


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_fingerprints_and_names_are_envoys(proxy, envoy, greeter, tmp_path):
    """Of clients whose TLS is passed on unread."""
    inspector = {"name": "tls", "typed_config": {**TLS_INSPECTOR["typed_config"], "enable_ja3_fingerprinting": True, "enable_ja4_fingerprinting": True}}
    lines = {}
    for which, start in (("ringside", proxy), ("envoy", envoy)):
        port, path = harness.free_port(), tmp_path / f"{which}.log"
        log = harness.file_access_log(path)
        log["typed_config"]["log_format"] = {"text_format_source": {
            "inline_string": "%TLS_JA3_FINGERPRINT% %TLS_JA4_FINGERPRINT% %REQUESTED_SERVER_NAME% %FILTER_CHAIN_NAME% "
                             "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%\n"}}
        made = listener("tls", port, [proxy_protocol(), inspector])
        made["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [log]
        start([made], [greeter])
        for name, alpn in ((None, ()), ("a.test", ()), ("b.test", ("h2", "http/1.1")), ("c.test", ("istio",))):
            assert said(port, V1 + hello(name, alpn)) == "hello"
        lines[which] = harness.wait_until(lambda: (found := path.read_text().splitlines()) and len(found) == 4 and found, "all are logged")
    assert lines["ringside"] == lines["envoy"]
    assert "- -" not in lines["envoy"][1]


def slow_tls(port, server_name, request, alpn=()):
    """(answer, certificate of the server): the client's handshake goes byte by byte."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    came, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, sent, server_hostname=server_name)

    def step(call, client):
        while True:
            try:
                done = call()
                client.sendall(sent.read())
                return done
            except ssl.SSLWantReadError:
                for byte in sent.read():
                    client.sendall(bytes([byte]))
                piece = client.recv(16384)
                came.write(piece) if piece else came.write_eof()

    with harness.connect(port) as client:
        client.settimeout(20 * harness.SLOWNESS)
        step(tls.do_handshake, client)
        step(lambda: tls.write(request), client)
        answer = b""
        with contextlib.suppress(ssl.SSLError):
            while piece := step(lambda: tls.read(65536), client):
                answer += piece
        return answer, tls.getpeercert(binary_form=True)


def test_each_chain_has_its_tls(proxy, certificates):
    """Names choose the certificate and the manager; the hello comes byte by byte and is decrypted where it ends."""
    port = harness.free_port()
    made = {"name": "names", "address": address(port), "listener_filters": [TLS_INSPECTOR], "filter_chains": []}
    for name, shown in (("a.test", "server"), ("*.b.test", "client")):
        answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": f"this is {name}"}}}
        one = downstream(http_listener(0, [answer], name=shown), common(certificates, shown), timeout="5s")["filter_chains"][0]
        made["filter_chains"].append({"filter_chain_match": {"server_names": [name]}, **one})
    running = proxy([made], [])
    request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    for name, shown, body in (("a.test", "server", b"this is a.test"), ("c.b.test", "client", b"this is *.b.test")):
        answer, certificate = slow_tls(port, name, request)
        assert answer.endswith(body)
        assert certificate == ssl.PEM_cert_to_DER_cert((certificates / f"{shown}.pem").read_text())
    with pytest.raises((ConnectionResetError, ssl.SSLError, BrokenPipeError)):
        slow_tls(port, "b.test", request)
    assert running.stat(f"listener.127.0.0.1_{port}.no_filter_chain_match") == 1
    assert running.stat(f"listener.127.0.0.1_{port}.ssl.handshake") == 2
    assert (running.stat("http.server.downstream_cx_ssl_total"), running.stat("http.client.downstream_cx_ssl_total")) == (1, 1)


def test_a_large_request_behind_the_first_bytes(proxy, origin):
    """What was held and what comes later stay in order, and credit adds up."""
    server = origin(lambda message: ok(message.body[-10:]))
    port = harness.free_port()
    made = http_listener(port, [route()])
    made |= {"listener_filters": FILTERS["inspect"], "per_connection_buffer_limit_bytes": 4096}
    proxy([made], [cluster("origin", server.port)])
    body = bytes(range(256)) * 4000
    with harness.connect(port) as client:
        client.settimeout(20 * harness.SLOWNESS)
        client.sendall(b"PO")
        time.sleep(0.05)
        client.sendall(b"ST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert b"200 OK" in answer and answer.endswith(body[-10:])
    assert server.seen[-1].body == body


def test_http2_behind_an_inspection(proxy, certificates):
    """In plain by its preface, in TLS by ALPN: one port, and what was looked at is not lost."""
    port = harness.free_port()
    answers = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "answer"}}}]
    plain = http_listener(port, answers, name="plain")
    encrypted = downstream(http_listener(port, answers, name="encrypted"), common(certificates, "server", alpn_protocols=["h2", "http/1.1"]))
    plain["filter_chains"] = [{"filter_chain_match": {"transport_protocol": "raw_buffer", "application_protocols": ["h2c"]}, **plain["filter_chains"][0]},
                              {"filter_chain_match": {"transport_protocol": "tls"}, **encrypted["filter_chains"][0]}]
    running = proxy([plain | {"listener_filters": FILTERS["inspect"]}], [])
    for words in (["--http2-prior-knowledge", f"http://127.0.0.1:{port}/"], ["--http2", "-k", f"https://127.0.0.1:{port}/"]):
        done = subprocess.run(["curl", "-s", "-w", " %{http_version}", *words], capture_output=True, text=True, timeout=60)
        assert done.stdout == "answer 2", done
    assert (running.stat("http.plain.downstream_cx_http2_total"), running.stat("http.encrypted.downstream_cx_http2_total")) == (1, 1)
    assert running.stat("http_inspector.http2_found") == 1
