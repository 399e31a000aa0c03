"""http2.* and what goes with it, one event at a time, as Envoy counts it."""

import contextlib
import socket
import time

import harness
import pytest
from harness import cluster, http_listener, ok, route
from http2_options_test import DATA, HEADERS, PING, REQUEST, RST_STREAM, frame, headers, raw_client
from http2_test import upstream_http2
from h2_peer import H2Origin

POST = [(":method", "POST"), *REQUEST[1:]]
# event: what the client sends behind its preface and SETTINGS
EVENTS = {
    "request": headers(1, REQUEST),
    "upper_case": headers(1, [*REQUEST, ("X-Up", "1")]),
    "no_path": headers(1, REQUEST[:3]),
    "connection_field": headers(1, [*REQUEST, ("connection", "close")]),
    "body_short": headers(1, [*POST, ("content-length", "5")], 4) + frame(DATA, 1, 1, b"abc"),
    "body_long": headers(1, [*POST, ("content-length", "2")], 4) + frame(DATA, 1, 1, b"abc"),
    "trailers": headers(1, POST, 4) + headers(1, [("a", "b")]),
    "trailers_bad": headers(1, POST, 4) + headers(1, [(":path", "b")]),
    "too_many_fields": headers(1, [*REQUEST, *((f"x{number}", "a") for number in range(200))]),
    "too_large": headers(1, [*REQUEST, ("x", "a" * 15000)], 1)
    + b"".join(frame(9, 4 if number == 4 else 0, 1, headers(1, [(f"x{number}", "a" * 15000)])[9:]) for number in range(5)),
    "client_resets": headers(1, POST, 4) + frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big")),
    "ping": frame(PING, 0, 0, bytes(8)),
    "ping_size": frame(PING, 0, 0, bytes(7)),
    "data_idle": frame(DATA, 1, 1, b"abc"),
    "empty_frames": headers(1, POST, 4) + frame(DATA, 0, 1) * 20,
    "priority_flood": frame(2, 0, 1, (3).to_bytes(4, "big") + b"\0") * 500,
    "window_flood": frame(8, 0, 0, (1).to_bytes(4, "big")) * 500,
    "underscore": headers(1, [*REQUEST, ("a_b", "c")]),
    "headers_on_closed": headers(1, REQUEST) + frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big")) + headers(1, REQUEST),
}
# Envoy's alone: which library it uses, its queues, limits that are one with header_overflow here.
THEIRS = {"nghttp2_downstream_connections", "nghttp2_upstream_connections", "oghttp2_downstream_connections",
          "oghttp2_upstream_connections", "outbound_frames_active", "outbound_control_frames_active",
          "cookies_total_bytes_too_large", "header_list_size_too_large", "deferred_stream_close"}
# Ours alone: floods that Envoy counts elsewhere or not at all.
OURS = {"inbound_reset_flood", "inbound_other_frames_flood", "too_many_header_frames"}

# event and name: (Envoy's, ours)
DIFFER = {
    # Its requests begin with the first field of a head, ours when the head is whole and valid.
    **{f"{event} http.http.downstream_rq_{name}": (1, 0)
       for event in ("upper_case", "no_path", "connection_field", "too_many_fields", "too_large") for name in ("http2_total", "rx_reset")},
    "trailers_bad http2.trailers": (1, 0),
    "too_large http2.header_overflow": (0, 1),
    # It closes without a word; we say GOAWAY, and why.
    **{f"{event} http2.goaway_sent": (0, 1)
       for event in ("upper_case", "no_path", "connection_field", "trailers_bad", "ping_size", "data_idle", "empty_frames",
                     "priority_flood", "window_flood")},
    # What follows a client's reset on its stream is answered here, as RFC 9113 5.1 says.
    "headers_on_closed http2.headers_cb_no_stream": (0, 1),
    "headers_on_closed http2.tx_reset": (0, 1),
}


def counted(running):
    stats = running.stats(r"^(http2|cluster\.origin\.http2)\.|^http\.http\.downstream_(cx_protocol_error|rq_http2_total|rq_rx_reset|rq_tx_reset)")
    return {name: value for name, value in stats.items() if name.rpartition(".")[2] not in THEIRS | OURS and "pending_send" not in name}


def run_events(running, port):
    seen = {}
    for name, sent in EVENTS.items():
        before = counted(running)
        with raw_client(port) as client:
            client.settimeout(0.25)
            with contextlib.suppress(OSError):
                client.sendall(sent)
                while client.recv(65536):
                    pass
        harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "it is gone")
        time.sleep(1.1 if running.stats("^ringside") else 0.1)  # ours are published each second
        seen[name] = {key: value - before.get(key, 0) for key, value in counted(running).items() if value != before.get(key, 0)}
    return seen


def setting():
    server = H2Origin(lambda stream: stream.answer(200, b"x"))
    outer = http_listener(harness.free_port(), [route(timeout="0s")], codec_type="HTTP2",
                          common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"})
    return server, outer, cluster("origin", server.port, **upstream_http2())


@pytest.fixture(scope="module")
def of_envoy(envoy):
    server, outer, upstream = setting()
    running = envoy([outer], [upstream])
    yield run_events(running, outer["address"]["socket_address"]["port_value"]), counted(running)
    server.close()


def test_events_and_names_as_envoy(proxy, of_envoy):
    theirs, names = of_envoy
    server, outer, upstream = setting()
    running = proxy([outer], [upstream])
    ours = run_events(running, running.listen_ports["http"])
    differ = {}
    for event, counts in theirs.items():
        keys = [key for key in counts | ours[event] if counts.get(key) != ours[event].get(key)]
        differ |= {f"{event} {key}": (counts.get(key, 0), ours[event].get(key, 0)) for key in keys}
    assert differ == DIFFER
    assert counted(running).keys() == names.keys()
    server.close()
