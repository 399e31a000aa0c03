"""Streams of gRPC by a real library: many at once, slow and stopped readers, large ones, cancellation in both directions."""

import asyncio
import contextlib
import threading
import time

import grpc
import harness
import pytest
from grpc_origin import SERVICE, GrpcOrigin
from harness import SLOWNESS, cluster, http_listener, limits, route, wait_until
from http2_test import upstream_http2

MEGABYTE = 1024 * 1024
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture
def grpc_origin():
    server = GrpcOrigin(workers=64)
    yield server
    server.close()


def start(proxy, port, **fields):
    breaker = limits(max_requests=100000, max_pending_requests=100000)
    return proxy([http_listener(harness.free_port(), [route(timeout="0s")], **fields)],
                 [cluster("origin", port, **upstream_http2(max_concurrent_streams=4096), **breaker)])


@contextlib.contextmanager
def channel_to(running):
    with grpc.insecure_channel(f"127.0.0.1:{running.listen_ports['http']}", options=UNLIMITED) as channel:
        yield channel


def method(channel, name):
    return getattr(channel, {"Unary": "unary_unary", "Fail": "unary_unary", "Many": "unary_stream", "Hang": "unary_stream",
                             "FailLate": "unary_stream", "Sum": "stream_unary", "Chat": "stream_stream"}[name])(f"/{SERVICE}/{name}")


def test_a_thousand_streams_at_once(proxy):
    """Each has said something and heard it back before any of them ends."""
    count, most = 1000, 0

    async def chat(requests, context):
        nonlocal most
        chat.active += 1
        most = max(most, chat.active)
        async for request in requests:
            yield request
        chat.active -= 1

    chat.active = 0

    async def run():
        server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 4096), ("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {
            "Chat": grpc.stream_stream_rpc_method_handler(chat)})])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        running = start(proxy, port, http2_protocol_options={"max_concurrent_streams": 4096})
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.listen_ports['http']}") as channel:
            calls = [channel.stream_stream(f"/{SERVICE}/Chat")() for _ in range(count)]

            async def say(number, call):
                await call.write(b"%d" % number)
                assert await call.read() == b"%d" % number

            await asyncio.gather(*(say(number, call) for number, call in enumerate(calls)))
            assert running.stat("cluster.origin.upstream_rq_active") == count

            async def end(call):
                await call.write(b"bye")
                assert await call.read() == b"bye"
                await call.done_writing()
                assert await call.read() == grpc.aio.EOF and await call.code() == grpc.StatusCode.OK

            await asyncio.gather(*(end(call) for call in calls))
        await server.stop(None)
        assert running.stat("cluster.origin.upstream_rq_active") == 0
        assert running.stat("cluster.origin.upstream_cx_total") <= 2

    asyncio.run(run())
    assert most == count


@pytest.mark.release_only
def test_stopped_readers_disturb_nobody(proxy, grpc_origin):
    """Clients that read one message of 100 MB and stop hold no more than their windows, and the others go on."""
    running = start(proxy, grpc_origin.port)
    with channel_to(running) as stopped, channel_to(running) as busy:
        assert method(busy, "Unary")(b"warm", timeout=20) == b"warm"
        before = running.rss_bytes()
        calls = [method(stopped, "Many")(b"1600 65536") for _ in range(8)]
        for call in calls:
            assert len(next(call)) == 65536
        begun = time.monotonic()
        for number in range(200):
            assert method(busy, "Unary")(b"x" * 10000, timeout=20) == b"x" * 10000
            if number % 50 == 0:
                assert method(stopped, "Unary")(b"same connection", timeout=20) == b"same connection"
        assert time.monotonic() - begun < 20
        slow = method(busy, "Chat")(b"x" * 1000 for _ in range(200))
        for answer in slow:
            assert len(answer) == 1000
            time.sleep(0.002)
        assert running.rss_bytes() - before < 24 * MEGABYTE
        assert sum(len(answer) for answer in calls[0]) == 1599 * 65536  # reads on, to its end
        for call in calls[1:]:
            call.cancel()
    wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 0, "the cancelled ones are gone")


@pytest.mark.release_only
def test_streams_of_100_megabytes(proxy, grpc_origin):
    running = start(proxy, grpc_origin.port)
    with channel_to(running) as channel:
        assert method(channel, "Unary")(b"warm", timeout=20) == b"warm"
        before = running.rss_bytes()
        most = before
        for number, answer in enumerate(method(channel, "Many")(b"1600 65536", timeout=60)):
            assert len(answer) == 65536
            if number % 100 == 0:
                most = max(most, running.rss_bytes())
        assert number == 1599
        total = method(channel, "Sum")((b"y" * 65536 for _ in range(1600)), timeout=60)
        assert total == b"%d" % (1600 * 65536)
        most = max(most, running.rss_bytes())
        assert most - before < 16 * MEGABYTE
        assert method(channel, "Unary")(b"z" * 20 * MEGABYTE, timeout=60) == b"z" * 20 * MEGABYTE


def test_cancellation_goes_up_at_once(proxy, grpc_origin):
    running = start(proxy, grpc_origin.port)
    with channel_to(running) as channel:
        calls = [method(channel, "Hang")(b"") for _ in range(20)]
        for call in calls:
            assert next(call) == b"begun"
        begun = time.monotonic()
        for call in calls:
            call.cancel()
        wait_until(lambda: grpc_origin.cancelled == len(calls), "the server knows", 5)
        assert time.monotonic() - begun < 2 * SLOWNESS
        assert method(channel, "Unary")(b"alive", timeout=20) == b"alive"
    wait_until(lambda: running.stat("cluster.origin.upstream_rq_active") == 0, "nothing is left upstream")


def test_deadlines_and_failures_come_down(proxy, grpc_origin):
    running = start(proxy, grpc_origin.port)
    with channel_to(running) as channel:
        call = method(channel, "Hang")(b"", timeout=0.5)
        assert next(call) == b"begun"
        with pytest.raises(grpc.RpcError) as late:
            next(call)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: grpc_origin.cancelled == 1, "the server knows", 5)
        call = method(channel, "FailLate")(b"")
        assert next(call) == b"one"
        with pytest.raises(grpc.RpcError) as failed:
            next(call)
        assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.ABORTED, "in the middle")
        with pytest.raises(grpc.RpcError) as failed:
            method(channel, "Fail")(b"", timeout=20)
        assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.NOT_FOUND, "nothing like \u00e4 here")
        assert ("x-end", "failed") in [tuple(pair) for pair in failed.value.trailing_metadata()]


def test_a_server_that_dies_ends_its_streams(proxy):
    server = GrpcOrigin()
    running = start(proxy, server.port)
    with channel_to(running) as channel:
        call = method(channel, "Hang")(b"")
        assert next(call) == b"begun"
        threading.Thread(target=server.close, daemon=True).start()
        with pytest.raises(grpc.RpcError) as ended:
            next(call)
        assert ended.value.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
