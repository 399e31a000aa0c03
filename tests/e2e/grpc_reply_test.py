"""What a client of gRPC is told when no service answers: in the form that its library reads, as Envoy does."""

import harness
import peers
import pytest
import router_events
from differential import GOLDEN, Recorded
from h2_peer import H2Client
from harness import cluster, http_listener, limits, route
from router_events import Script, send, stays

GRPC = "content-type: application/grpc"


def direct(status, text, prefix):
    return {"match": {"prefix": prefix}, "direct_response": {"status": status, "body": {"inline_string": text}}}


def by_http2(path, content_type="application/grpc"):
    """The answer over HTTP/2, with its fields and its end."""
    def act(ports):
        with H2Client(ports["http"]) as client:
            stream = client.request("POST", path, body=b"\0\0\0\0\0", headers=[("content-type", content_type)])
            client.run_until(lambda: stream.ended or stream.reset is not None)
            fields = sorted(f"{name}: {value}" for name, value in stream.headers.items() if name not in ("date", "x-envoy-upstream-service-time"))
            return [*fields, stream.body.decode(), str(stream.trailers)]
    return act


def bad_chunk(client):
    client.sendall(b"POST /served/silence HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\nx\r\n")
    return router_events.shown_answer(harness.read_to_end(client))


EVENTS = {
    "no route": send("/nowhere", GRPC),
    "no route, not gRPC": send("/nowhere", "content-type: application/grpc-web"),
    "no route, longer name": send("/nowhere", "content-type: application/grpcx"),
    "no route, capitals": send("/nowhere", "content-type: application/GRPC"),
    "no route, format": send("/nowhere", "content-type: application/grpc+proto"),
    "no route, parameter": send("/nowhere", "content-type: application/grpc; charset=utf-8"),
    "no route, HEAD": send("/nowhere", GRPC, method="HEAD"),
    "no route, HTTP/2": by_http2("/nowhere"),
    "no route, HTTP/2, not gRPC": by_http2("/nowhere", "text/plain"),
    **{f"direct {status}": send(f"/direct/{status}", GRPC) for status in (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)},
    "direct, odd text": send("/odd", GRPC),
    "direct, odd text, HEAD": send("/odd", GRPC, method="HEAD"),
    "direct, HTTP/2": by_http2("/odd"),
    "refused upstream": send("/dead", GRPC),
    "refused upstream, HTTP/2": by_http2("/dead"),
    "no endpoint": send("/empty", GRPC),
    "overflow": send("/full", GRPC),
    "timeout": send("/served/silence", GRPC),
    "timeout, HTTP/2": by_http2("/served/silence"),
    "timeout in the middle": send("/served/stall", GRPC),
    "idle timeout": send("/idle/silence", GRPC),
    "longest duration": send("/long/silence", GRPC),
    "longest duration, not gRPC": send("/long/silence"),
    "upstream closes": send("/served/close", GRPC),
    "upstream speaks nonsense": send("/served/nonsense", GRPC),
    "upstream answers": send("/served/503", GRPC),
    "upstream answers by gRPC": send("/served/grpc14", GRPC),
    "path that is none": send("/a#b", GRPC),
    "upgrade": send("/served/200", GRPC, "upgrade: websocket"),
    "bad chunk": stays(bad_chunk),
}


def configuration(log, ports):
    routes = [*(direct(status, "text", f"/direct/{status}") for status in (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)),
              direct(418, "tea~ 100% \u00e9\ttab", "/odd"), route("dead", "/dead"), route("empty", "/empty"), route("full", "/full"),
              route("origin", "/served", timeout="0.25s"), route("origin", "/idle", timeout="0s", idle_timeout="0.25s"),
              route("origin", "/long", timeout="0s")]
    # The duration is long enough for everything else.
    listener = http_listener(ports["http"], routes, access_log=[router_events.access_log(log)], delayed_close_timeout="0.1s",
                             common_http_protocol_options={"max_stream_duration": "0.6s"})
    return [listener], [cluster("origin", ports["upstream"]), cluster("dead", ports["dead"]), cluster("empty"),
                        cluster("full", ports["upstream"], **limits(max_pending_requests=0, max_connections=1))]


def run(start, folder, upstream):
    script = Script()
    ports = {"http": harness.free_port(), "dead": harness.free_port(), "upstream": upstream(script).port}
    log = folder / "access.log"
    return router_events.run(start(*configuration(log, ports)), ports, log, script, EVENTS)


@pytest.fixture(scope="module")
def recorded(request):
    return Recorded(GOLDEN, "grpc_replies", request.config.getoption("--rewrite-golden"))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_is_as_recorded(envoy, upstream, tmp_path, recorded):
    recorded.check_envoy(run(envoy, tmp_path, upstream))


def test_replies_are_as_those_of_envoy(proxy, upstream, tmp_path, recorded):
    recorded.check(run(proxy, tmp_path, upstream))
