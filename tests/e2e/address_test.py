"""Every kind of address, on both sides: IPv6, unix sockets, names."""

import contextlib
import hashlib
import os
import socket
import subprocess
import threading

import harness
import pytest
from harness import address, cluster, connect, http_listener, ok, parse_response, read_to_end, route, tcp_listener

CLOSING = b"GET /where HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n"


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def ask(family, where):
    with socket.socket(family) as client:
        client.settimeout(20 * harness.SLOWNESS)
        client.connect(where)
        client.sendall(CLOSING)
        return parse_response(read_to_end(client))


def on_pipe(listener, path):
    return {**listener, "address": {"pipe": {"path": str(path)}}}


def endpoint_cluster(name, where, **fields):
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": where}}]}]}, **fields}


class UnixUpstream(harness.Upstream):
    """The same on a unix socket."""

    def __init__(self, path, serve):
        self.serve, self.accepted, self.connections, self.port = serve, 0, [], 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(100)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.accepted += 1
                self.connections.append(connection)
                threading.Thread(target=self.run, args=(connection,), daemon=True).start()


def test_unix_sockets_on_both_sides(proxy, tmp_path):
    server = UnixUpstream(tmp_path / "up", harness.answering(lambda head, body: ok(head)))
    try:
        port = harness.free_port()
        running = proxy([on_pipe(http_listener(0, [route()]), tmp_path / "down"), http_listener(port, [route()], name="tcp-side"),
                         on_pipe(tcp_listener(0, "origin", name="raw"), tmp_path / "raw")],
                        [endpoint_cluster("origin", {"pipe": {"path": str(tmp_path / "up")}})])
        assert b"GET /where" in ask(socket.AF_UNIX, str(tmp_path / "down")).body
        assert b"GET /where" in ask(socket.AF_INET, ("127.0.0.1", port)).body
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "raw"))
            client.sendall(CLOSING)
            client.shutdown(socket.SHUT_WR)
            assert b"GET /where" in read_to_end(client)
        assert running.stat("cluster.origin.upstream_rq_200") == 2
        done = subprocess.run(["curl", "-sf", "--unix-socket", tmp_path / "down", "http://a.example/where"], capture_output=True,
                              timeout=20)
        assert done.returncode == 0 and b"GET /where" in done.stdout
    finally:
        server.close()


def test_unix_socket_left_by_a_dead_program(proxy, tmp_path):
    """A killed proxy leaves its socket file; the next one starts all the same."""
    direct = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    listener = on_pipe(http_listener(0, [direct]), tmp_path / "down")
    first = proxy([listener], [], expect_exit=-9)
    assert ask(socket.AF_UNIX, str(tmp_path / "down")).status == 200
    first.stop(harness.signal.SIGKILL)
    assert os.path.exists(tmp_path / "down")
    proxy([listener], [])
    assert ask(socket.AF_UNIX, str(tmp_path / "down")).status == 200


def test_unix_upstream_that_is_not_there(proxy, tmp_path):
    running = proxy([http_listener(harness.free_port(), [route()])],
                    [endpoint_cluster("origin", {"pipe": {"path": str(tmp_path / "none")}})])
    response = ask(socket.AF_INET, ("127.0.0.1", running.listen_ports["http"]))
    assert response.status == 503 and b"remote connection failure" in response.body


@needs_ipv6
def test_ipv6_on_both_sides(proxy):
    class V6Upstream(UnixUpstream):
        def __init__(self, serve):
            self.serve, self.accepted, self.connections = serve, 0, []
            self.listener = socket.socket(socket.AF_INET6)
            self.listener.bind(("::1", 0))
            self.listener.listen(100)
            self.port = self.listener.getsockname()[1]
            self.thread = threading.Thread(target=self.accept, daemon=True)
            self.thread.start()

    server = V6Upstream(harness.answering(lambda head, body: ok(head)))
    try:
        port = harness.free_port()
        running = proxy([http_listener(port, [route()], host="::1", use_remote_address=True)],
                        [endpoint_cluster("origin", address(server.port, "::1"))])
        response = ask(socket.AF_INET6, ("::1", port))
        assert response.status == 200 and b"x-forwarded-for: " in response.body
        assert f"http::[::1]:{port}" in running.admin("/listeners")[1]
        assert f"origin::[::1]:{server.port}::cx_total::1" in running.admin("/clusters")[1]
    finally:
        server.close()


@needs_ipv6
def test_any_address_of_ipv6_takes_ipv4_when_told(proxy):
    port = harness.free_port()
    listener = http_listener(port, [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}], host="::")
    listener["address"]["socket_address"]["ipv4_compat"] = True
    proxy([listener], [])
    assert ask(socket.AF_INET, ("127.0.0.1", port)).status == 200
    assert ask(socket.AF_INET6, ("::1", port)).status == 200


def dns_cluster(name, host, port, **fields):
    return {**endpoint_cluster("origin", address(port, host)), "type": "STRICT_DNS", **fields}


def test_name_of_the_upstream(proxy, upstream):
    server = upstream(harness.answering(lambda head, body: ok(head)))
    running = proxy([http_listener(harness.free_port(), [route()])],
                    [dns_cluster("origin", "localhost", server.port, dns_lookup_family="V4_ONLY")])
    response = ask(socket.AF_INET, ("127.0.0.1", running.listen_ports["http"]))
    assert response.status == 200 and b"GET /where" in response.body
    clusters = running.admin("/clusters")[1]
    assert f"origin::127.0.0.1:{server.port}::hostname::localhost" in clusters
    assert running.stat("cluster.origin.membership_total") == 1
    assert running.stat("cluster.origin.update_success") >= 1


def test_name_that_does_not_exist(proxy):
    running = proxy([http_listener(harness.free_port(), [route()])],
                    [dns_cluster("origin", "does-not-exist.invalid", 80, dns_lookup_family="V4_ONLY")])
    response = ask(socket.AF_INET, ("127.0.0.1", running.listen_ports["http"]))
    assert (response.status, response.body) == (503, b"no healthy upstream")
    assert running.stat("cluster.origin.membership_total") == 0


def test_address_as_a_name(proxy, upstream):
    server = upstream(harness.answering(lambda head, body: ok(head)))
    running = proxy([http_listener(harness.free_port(), [route()])], [dns_cluster("origin", "127.0.0.1", server.port)])
    assert ask(socket.AF_INET, ("127.0.0.1", running.listen_ports["http"])).status == 200


def test_round_robin(proxy, upstream):
    servers = [upstream(harness.answering(lambda head, body, number=number: ok(b"%d" % number))) for number in range(3)]
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", *(server.port for server in servers))])
    with connect(running.listen_ports["http"]) as client:
        answers = []
        for _ in range(9):
            client.sendall(CLOSING.replace(b"connection: close\r\n", b""))
            answers.append(harness.receive_response(client).body)
    assert sorted(answers) == [b"0"] * 3 + [b"1"] * 3 + [b"2"] * 3
    assert answers[:3] * 3 == answers



def test_bulk_over_unix_sockets(proxy, tmp_path):
    """Large enough that what is only passed on goes through pipes of the kernel, on sockets that are not TCP."""

    def echo(connection):
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    server = UnixUpstream(tmp_path / "up", echo)
    try:
        running = proxy([on_pipe(tcp_listener(0, "origin", name="raw"), tmp_path / "raw")],
                        [endpoint_cluster("origin", {"pipe": {"path": str(tmp_path / "up")}})])
        sent = os.urandom(8 * 1024 * 1024)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "raw"))
            writer = threading.Thread(target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR)))
            writer.start()
            got = read_to_end(client)
            writer.join()
        assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
        harness.wait_until(lambda: running.stat("ringside.piped_bytes") > 0, "bytes went through pipes")
    finally:
        server.close()
