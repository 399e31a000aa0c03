"""How the program starts, is told things by signals, drains and ends."""

import contextlib
import hashlib
import http.client
import signal
import socket
import threading
import time

import harness
import pytest
from harness import answering, cluster, connect, exchange, file_access_log, http_listener, ok, parse_response, receive_response, route, \
    tcp_listener

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
BODY = bytes(range(256)) * 4096


def direct(text="direct"):
    return {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}


def refused(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "quitquitquit"])
def test_orderly_ends(proxy, upstream, how):
    """At once and with 0, whatever is open: an idle client, one that waits for its upstream, a TCP relay."""

    def silent(connection):
        while connection.recv(65536):
            pass

    server = upstream(silent)
    running = proxy([http_listener(harness.free_port(), [route()]), tcp_listener(harness.free_port(), "origin")],
                    [cluster("origin", server.port)])
    with connect(running.listen_ports["http"]) as waiting, connect(running.listen_ports["http"]), \
            connect(running.listen_ports["tcp"]) as relayed:
        waiting.sendall(GET)
        relayed.sendall(b"hello")
        harness.wait_until(lambda: server.accepted == 2, "both are upstream")
        if how == "quitquitquit":
            assert running.admin("/quitquitquit", "POST") == (200, "OK\n")
        else:
            running.process.send_signal(getattr(signal, how))
        assert running.process.wait(timeout=15 * harness.SLOWNESS) == 0
    assert refused(running.listen_ports["http"])


def test_several_workers(proxy, upstream):
    """Each connection belongs to one of them; the kernel spreads them."""
    server = upstream(answering(lambda head, body: ok(b"answer")))
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", server.port)], concurrency=3)
    port = running.listen_ports["http"]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(60)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            assert receive_response(client).body == b"answer"
        shares = [running.stat(f"listener.127.0.0.1_{port}.worker_{worker}.downstream_cx_active") for worker in range(3)]
        assert sum(shares) == 60 and min(shares) > 0
    assert running.stat("http.http.downstream_cx_total") == 60
    assert running.stat("server.concurrency") == 3


def test_hup_is_ignored(proxy):
    running = proxy([http_listener(harness.free_port(), [direct()])], [])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(GET)
        assert receive_response(client).status == 200
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        client.sendall(GET)
        assert receive_response(client).status == 200
    assert running.process.poll() is None


def test_usr1_reopens_the_access_log(proxy, tmp_path):
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    running = proxy([http_listener(harness.free_port(), [direct()], access_log=[file_access_log(path)])], [])
    port = running.listen_ports["http"]

    def lines(where):
        return where.read_text().count("\n") if where.exists() else 0

    exchange(port, CLOSING)
    harness.wait_until(lambda: lines(path) == 1, "the first line")
    path.rename(rotated)
    running.process.send_signal(signal.SIGUSR1)
    harness.wait_until(path.exists, "a new file")
    exchange(port, CLOSING)
    harness.wait_until(lambda: lines(path) == 1, "the second line is in the new file")
    assert lines(rotated) == 1
    path.rename(tmp_path / "access.log.2")
    assert running.admin("/reopen_logs", "POST") == (200, "OK\n")
    harness.wait_until(path.exists, "a new file again")


def test_access_log_survives_the_end(proxy, tmp_path):
    """What was served is in the log, however soon the program ends."""
    path = tmp_path / "access.log"
    running = proxy([http_listener(harness.free_port(), [direct()], access_log=[file_access_log(path)])], [])
    for _ in range(50):
        exchange(running.listen_ports["http"], CLOSING)
    assert running.stop() == 0
    assert path.read_text().count("\n") == 50


@pytest.mark.parametrize("what", ["listener", "admin"])
def test_busy_port(proxy, what):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = http_listener(port if what == "listener" else harness.free_port(), [direct()])
        if what == "listener":
            running = proxy([listener], [], wait=False, expect_exit=1)
        else:
            config = harness.bootstrap([listener], [], port)
            folder = proxy.folder / "busy"
            folder.mkdir()
            running = harness.Proxy(folder, config, proxy.arguments, expect_exit=1)
            proxy.started.append(running)
        assert running.process.wait(timeout=30 * harness.SLOWNESS) == 1
        assert f"cannot bind '127.0.0.1:{port}': Address already in use" in running.log


def restart(proxy, running):
    """The same configuration again, at once."""
    again = harness.Proxy(running.folder, running.config_path.read_text(), proxy.arguments)
    again.admin_port, again.listen_ports = running.admin_port, running.listen_ports
    proxy.started.append(again)
    return again.ready()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_restart_at_once(proxy, upstream, how):
    """The ports are free again although connections of the old program are still being forgotten by the kernel."""
    server = upstream(answering(lambda head, body: ok(b"answer")))
    running = proxy([http_listener(harness.free_port(), [route()], delayed_close_timeout="0s")], [cluster("origin", server.port)],
                    expect_exit=0 if how == signal.SIGTERM else -9)
    port = running.listen_ports["http"]
    for _ in range(20):
        exchange(port, CLOSING)
    with connect(port) as open_client:
        open_client.sendall(GET)
        receive_response(open_client)
        running.stop(how)
        again = restart(proxy, running)
        assert parse_response(exchange(port, CLOSING)).body == b"answer"
        assert again.pid != running.pid


class Load:
    """Clients that keep asking; `cut` has every request that was sent and not answered whole."""

    def __init__(self, port, clients):
        self.port, self.stop, self.cut, self.served = port, threading.Event(), [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stop.is_set():
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                client.connect()
            except OSError:
                return  # closed for new ones
            if not self.converse(client):
                return

    def converse(self, client):
        """Requests until the answer says close."""
        first = True
        with contextlib.closing(client):
            while True:
                try:
                    client.request("GET", "/quick")
                    response = client.getresponse()
                    response.read()
                except (OSError, http.client.HTTPException) as error:
                    # Accepted by the kernel when the listener was closed already: never a connection of the proxy's.
                    if not first:
                        self.cut.append(repr(error))
                    return not first
                first = False
                with self.lock:
                    self.served += 1
                if response.headers["connection"] == "close":
                    return True

    def join(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_drain_on_sigterm_cuts_no_request(proxy, upstream):
    def answer(head, body):
        return ok(BODY) if b"/large" in head else ok(b"quick")

    server = upstream(answering(answer))
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", server.port)],
                    ["--drain-on-sigterm", "--drain-time-s", "20"])
    port = running.listen_ports["http"]
    load = Load(port, 8)
    with socket.socket() as download:
        download.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        download.settimeout(20)
        download.connect(("127.0.0.1", port))
        download.sendall(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        data = download.recv(8192)
        harness.wait_until(lambda: load.served > 100, "the load runs")
        running.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: refused(port), "the listener is closed")
        load.join()
        assert running.process.poll() is None, "it waits for the download"
        assert running.admin("/ready") == (503, "DRAINING\n")
        while piece := download.recv(8192):
            data += piece
            time.sleep(0.0005)
    response = parse_response(data)
    assert response.complete and hashlib.sha256(response.body).digest() == hashlib.sha256(BODY).digest()
    assert running.process.wait(timeout=20) == 0
    assert load.cut == []


def test_drain_ends_after_its_time(proxy, upstream):
    server = upstream(lambda connection: connection.recv(100) and threading.Event().wait(8))
    running = proxy([http_listener(harness.free_port(), [route(timeout="0s")])], [cluster("origin", server.port)],
                    ["--drain-on-sigterm", "--drain-time-s", "1"])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(GET)
        harness.wait_until(lambda: server.accepted == 1, "the request is upstream")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30 * harness.SLOWNESS) == 0


def test_a_second_signal_does_not_wait(proxy, upstream):
    server = upstream(lambda connection: connection.recv(100) and threading.Event().wait(8))
    running = proxy([http_listener(harness.free_port(), [route(timeout="0s")])], [cluster("origin", server.port)],
                    ["--drain-on-sigterm", "--drain-time-s", "60"])
    with connect(running.listen_ports["http"]) as client:
        client.sendall(GET)
        harness.wait_until(lambda: server.accepted == 1, "the request is upstream")
        running.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: refused(running.listen_ports["http"]), "the listener is closed")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=20 * harness.SLOWNESS) == 0


def test_idle_connections_are_told_to_close_while_draining(proxy):
    running = proxy([http_listener(harness.free_port(), [direct()], drain_timeout="0.5s")], [], ["--drain-on-sigterm"])
    with connect(running.listen_ports["http"]) as busy, connect(running.listen_ports["http"]) as idle:
        for client in (busy, idle):
            client.sendall(GET)
            assert "connection" not in receive_response(client).headers
        running.process.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: refused(running.listen_ports["http"]), "the listener is closed")
        busy.sendall(GET)
        response = receive_response(busy)
        assert (response.status, response.header("connection")) == (200, "close")
        assert busy.recv(1) == b"" and idle.recv(1) == b""
    assert running.process.wait(timeout=30 * harness.SLOWNESS) == 0


def test_drain_listeners(proxy):
    running = proxy([http_listener(harness.free_port(), [direct()])], [])
    assert running.admin("/drain_listeners", "POST") == (200, "OK\n")
    harness.wait_until(lambda: refused(running.listen_ports["http"]), "the listener is closed")
    assert running.process.poll() is None
