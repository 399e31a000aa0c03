"""Bodies of every size both ways, compared by hash, and many connections at once whose bytes must never mix."""

import hashlib
import random
import threading

import harness
import pytest
from harness import cluster, connect, http_listener, receive_response, route
from origin import chunked, chunks

SIZES = [64 * 1024, 1024 * 1024, 50 * 1024 * 1024]


def noise(size, seed):
    return random.Random(seed).randbytes(size)


NOISE = noise(SIZES[-1], 1)


def in_pieces(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


def respond(message):
    """/<size>/<framing> -> a body of that size; /hash -> the hash of what came; /echo -> what came."""
    parts = message.target.split("/")
    if parts[1] == "echo":
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(message.body) + message.body
    if parts[1] == "hash":
        digest = hashlib.sha256(message.body).hexdigest().encode()
        return harness.ok(digest, b"x-length: %d\r\n" % len(message.body))
    body = NOISE[:int(parts[1])]
    if parts[2] == "chunked":
        return chunked(*in_pieces(body, 70001))
    return harness.ok(body)


@pytest.fixture(scope="module")
def origin(module_origin):
    return module_origin(respond)


@pytest.fixture(scope="module")
def port(module_proxy, origin):
    # Large bodies on one machine may take longer than the default route timeout in a sanitized build.
    running = module_proxy([http_listener(harness.free_port(), [route(timeout="0s")])], [cluster("origin", origin.port)])
    return running.listen_ports["http"]


def body_framing(body, framing):
    if framing == "chunked":
        return b"transfer-encoding: chunked\r\n", chunks(*in_pieces(body, 65537))
    return b"content-length: %d\r\n" % len(body), body


def read_body(stream):
    """Status and body of one response off a buffered stream: fast enough for large ones."""
    status = int(stream.readline().split(b" ")[1])
    length, is_chunked = None, False
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        is_chunked |= name.lower() == b"transfer-encoding"
    body = harness.read_chunks(stream) if is_chunked else stream.read(length)
    return status, body


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_upload(port, origin, size, framing):
    origin.forget()
    fields, body = body_framing(NOISE[:size], framing)
    with connect(port, 60) as client:
        client.sendall(b"POST /hash HTTP/1.1\r\nhost: a\r\n" + fields + b"\r\n")
        client.sendall(body)
        response = receive_response(client)
    assert response.body.decode() == hashlib.sha256(NOISE[:size]).hexdigest(), response.header("x-length")
    assert origin.last.framing == framing
    origin.forget()  # 50 MB each


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_download(port, size, framing):
    with connect(port, 60) as client:
        client.sendall(b"GET /%d/%s HTTP/1.1\r\nhost: a\r\n\r\n" % (size, framing.encode()))
        status, body = read_body(client.makefile("rb"))
    assert status == 200 and len(body) == size
    assert hashlib.sha256(body).digest() == hashlib.sha256(NOISE[:size]).digest()


def test_both_ways_at_once(port, origin):
    """The origin reads all before it answers, the client writes in a thread: nothing may depend on one side being idle."""
    data = NOISE[:5 * 1024 * 1024]
    with connect(port, 60) as client:
        def send():
            for _ in range(3):
                client.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(data))
                client.sendall(data)

        sender = threading.Thread(target=send)
        sender.start()
        stream = client.makefile("rb")
        for _ in range(3):
            assert read_body(stream) == (200, data)
        sender.join()
    origin.forget()


def stream_of_one(port, number, errors):
    """Twenty echoes whose bodies only this connection sends."""
    dice = random.Random(number)
    try:
        with connect(port, 60) as client:
            stream = client.makefile("rb")
            for turn in range(20):
                marker = b"<%d:%d>" % (number, turn)
                body = marker * (dice.choice((1, 10, 1000, 9000)) + turn)
                fields, wire = body_framing(body, dice.choice(("length", "chunked")))
                client.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\nx-marker: " + marker + b"\r\n" + fields + b"\r\n" + wire)
                status, seen = read_body(stream)
                if (status, seen) != (200, body):
                    errors.append(f"connection {number} turn {turn}: {status}, {len(seen)} bytes for {len(body)}: {seen[:60]}")
                    return
    except Exception as error:  # noqa: BLE001  (whatever ends a client is a failure)
        errors.append(f"connection {number}: {error!r}")


def test_no_byte_of_one_stream_in_another(port, origin):
    errors = []
    clients = [threading.Thread(target=stream_of_one, args=(port, number, errors)) for number in range(64)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert not errors, errors[:5]
    for message in origin.seen:
        marker = message.header("x-marker")
        if marker:
            assert message.body.startswith(marker.encode()) and message.body.replace(marker.encode(), b"") == b""
    origin.forget()
