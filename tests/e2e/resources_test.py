"""Descriptors and memory: the limit of open files, thousands of idle connections, tens of thousands of short ones."""

import contextlib
import itertools
import os
import resource
import socket
import time

import harness
import pytest
from harness import cluster, connect, exchange, http_listener, ok, parse_response, receive_response, route
from origin import Origin

FILES_HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
IDLE_CONNECTIONS = 9000
SHORT_CONNECTIONS = 20000
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
DIRECT = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "direct"}}}


def gateway(proxy, routes, port=1, **options):
    running = proxy([http_listener(harness.free_port(), routes)], [cluster("origin", port)], **options)
    return running, running.listen_ports["http"]


def connect_from(number, port):
    """From one of many loopback addresses: one alone has too few ports for tens of thousands of connections."""
    source = (f"127.0.{1 + number // 5000}.1", 0)
    return socket.create_connection(("127.0.0.1", port), timeout=30 * harness.SLOWNESS, source_address=source)


def serve(client, request=REQUEST):
    client.sendall(request)
    return client.recv(65536)


@pytest.fixture
def many_files():
    """Room for thousands of sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE_CONNECTIONS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"at most {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_limit_of_open_files(proxy, origin):
    """No descriptor left: those who have a connection are served, the rest wait without burning the CPU, and then it goes on."""
    server = origin(lambda message: ok(b"answer"))
    running, port = gateway(proxy, [route()], server.port)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(port))
        assert b"answer" in serve(first)
        room = 20
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (running.open_fds() + room, FILES_HARD))
        waiting = []
        for _ in range(3 * room):
            client = stack.enter_context(connect(port))
            client.sendall(REQUEST)
            waiting.append(client)
        time.sleep(0.3)
        busy = running.cpu_seconds()
        time.sleep(1)
        assert running.cpu_seconds() - busy < 0.3 * harness.SLOWNESS, "spinning at the limit of open files"
        assert b"200 OK" in serve(first)[:20], "who is connected is served"
    # Room again: whoever comes now is served.
    def served():
        with contextlib.suppress(OSError, AssertionError):
            return parse_response(exchange(port, CLOSING)).body == b"answer"
        return False

    harness.wait_until(served, "the proxy recovers", 30)
    with connect(port) as client:
        client.sendall(REQUEST)
        assert receive_response(client).body == b"answer"


def test_limit_of_open_files_lets_waiting_clients_in(proxy):
    """Those in the queue are accepted as soon as others leave."""
    running, port = gateway(proxy, [DIRECT])
    with connect(port) as one:
        assert b"direct" in serve(one)
        # Reserve: what the admin page needs while we look.
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (running.open_fds() + 5, FILES_HARD))
        clients = [connect(port) for _ in range(30)]
        for client in clients:
            client.sendall(CLOSING)
        # Each of them closes behind its answer, which makes room for the next.
        for client in clients:
            assert b"direct" in harness.read_to_end(client)
            client.close()


def next_descriptor(running):
    """The number that the proxy's next descriptor will have, once none comes or goes for a while; the limit is one of numbers."""
    samples = []

    def settled():
        samples.append(frozenset(map(int, os.listdir(f"/proc/{running.pid}/fd"))))
        return len(samples) >= 30 and len(set(samples[-30:])) == 1

    harness.wait_until(settled, "descriptors settle")
    return next(number for number in itertools.count() if number not in samples[-1])


def test_upstream_connections_fail_at_the_limit(proxy, origin):
    """A request that needs a descriptor for its upstream is answered, and later ones are served again."""
    server = origin(lambda message: ok(b"answer"))
    running, port = gateway(proxy, [route()], server.port)
    with connect(port) as client:
        # Accepted, and the admin connections of the asking gone: the next descriptor is the upstream's.
        harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 1, "the client is accepted")
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (next_descriptor(running), FILES_HARD))
        client.sendall(REQUEST)
        assert receive_response(client).status == 503
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (1000, FILES_HARD))
        client.sendall(REQUEST)
        assert receive_response(client).body == b"answer"


def test_idle_connections(proxy, many_files):
    """Thousands of clients that have been served and now rest cost little memory and no time; others do not notice them."""
    running, port = gateway(proxy, [DIRECT])
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (IDLE_CONNECTIONS + 1000, FILES_HARD))
    assert b"direct" in exchange(port, CLOSING)
    before = running.rss_bytes()
    with contextlib.ExitStack() as stack:
        idle = []
        for number in range(IDLE_CONNECTIONS):
            client = stack.enter_context(connect_from(number, port))
            assert b"direct" in serve(client)
            idle.append(client)
        assert running.stat("http.http.downstream_cx_active") == IDLE_CONNECTIONS
        each = (running.rss_bytes() - before) / IDLE_CONNECTIONS
        if harness.SLOWNESS == 1:
            assert each < 2048, f"{each:.0f} bytes per idle connection"
        busy = running.cpu_seconds()
        time.sleep(0.5)
        assert running.cpu_seconds() - busy < 0.2 * harness.SLOWNESS
        for _ in range(20):
            assert b"direct" in exchange(port, CLOSING)
        for client in idle[::100]:
            assert b"direct" in serve(client)
    harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "all are gone", 20)


def churn(port, count, start):
    """Short connections of every ending: kept open and closed by us, closed by the proxy, reset."""
    for number in range(start, start + count):
        with connect_from(number, port) as client:
            if number % 3 == 0:
                assert b"answer" in serve(client)
            elif number % 3 == 1:
                client.sendall(CLOSING)
                assert b"answer" in harness.read_to_end(client)
            elif number % 30 == 2:
                client.sendall(REQUEST[:10])
            else:
                assert b"answer" in serve(client, REQUEST + REQUEST[:5])


def test_short_connections_leave_nothing(proxy):
    server = Origin(lambda message: ok(b"answer"))
    server.seen = server.heads = Forgetful()
    try:
        running, port = gateway(proxy, [route()], server.port)
        churn(port, 2000, 0)
        quiet = lambda: running.stat("http.http.downstream_cx_active") == 0  # noqa: E731
        harness.wait_until(quiet, "all are gone")
        fds, rss = running.open_fds(), running.rss_bytes()
        churn(port, SHORT_CONNECTIONS - 2000, 2000)
        harness.wait_until(quiet, "all are gone", 20)
        harness.wait_until(lambda: running.open_fds() <= fds + 2, f"descriptors are back at {fds}")
        if harness.SLOWNESS == 1:
            assert running.rss_bytes() - rss < 1024 * 1024
        assert running.stat("http.http.downstream_cx_total") == running.stat("http.http.downstream_cx_destroy")
        assert running.stat("http.http.downstream_rq_active") == 0
    finally:
        server.close()


class Forgetful(list):
    """Keeps nothing: twenty thousand messages are not needed."""

    def append(self, item):
        pass
