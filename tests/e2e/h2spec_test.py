"""h2spec, the strict cases included: with and without TLS, in front of both protocols, for the codec types that take HTTP/2."""

import re
import subprocess

import harness
import pytest
from h2_peer import H2Origin
from harness import cluster, http_listener, ok, route
from http2_test import upstream_http2
from tls_proxy_test import common, downstream, folder  # noqa: F401  (a fixture)

# Without TLS, what does not begin like HTTP/2 is HTTP/1 under AUTO, and refused in its words, as Envoy does: no frame for h2spec.
HTTP1_UNDER_AUTO = ["Sends invalid connection preface"]


@pytest.fixture(params=["h1", "h2"])
def upstream_cluster(request, origin):
    if request.param == "h1":
        yield cluster("origin", origin(lambda m: ok(b"hello")).port)
        return
    server = H2Origin(lambda stream: stream.answer(200, b"hello"))
    yield cluster("origin", server.port, **upstream_http2())
    server.close()


def failures(output):
    """The names of the cases that failed, after all of them ran."""
    tally = re.search(r"^(\d+) tests, (\d+) passed, 0 skipped, (\d+) failed", output, re.MULTILINE)
    assert tally and int(tally[1]) > 90, output
    failed = re.findall(r"^\s*× \d+: (.*)$", output.partition("\nFailures:")[2], re.MULTILINE)
    assert len(failed) == int(tally[3]), output
    print(output.partition("\nFailures:")[2])
    return failed


def test_h2spec(proxy, go_tool, folder, upstream_cluster):  # noqa: F811
    tool = go_tool("h2spec", "github.com/summerwind/h2spec/cmd/h2spec")
    kinds = [(codec, layer) for codec in ("HTTP2", "AUTO") for layer in ("plain", "tls")]
    listeners = [http_listener(harness.free_port(), [route(timeout="0s")], name=f"{codec}-{layer}", codec_type=codec,
                               http2_protocol_options={"max_concurrent_streams": 100})  # one case opens as many at once
                 for codec, layer in kinds]
    for listener in listeners[1::2]:
        downstream(listener, common(folder, "server", alpn_protocols=["h2", "http/1.1"]))
    running = proxy(listeners, [upstream_cluster])

    def start(codec, layer, *words):
        port = str(running.listen_ports[f"{codec}-{layer}"])
        words = [*words, *(["-t", "-k"] if layer == "tls" else [])]
        return subprocess.Popen([tool, "-h", "127.0.0.1", "-p", port, "-o", str(2 * harness.SLOWNESS), *words],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    runs = {(*kind, strict): start(*kind, *strict) for kind in kinds for strict in ([("-S",), ()] if kind == kinds[0] else [("-S",)])}
    seen = {kind: failures(run.communicate(timeout=100 * harness.SLOWNESS)[0]) for kind, run in runs.items()}
    assert seen == {kind: HTTP1_UNDER_AUTO if kind[:2] == ("AUTO", "plain") else [] for kind in runs}
    assert running.stat("http.HTTP2-plain.downstream_cx_http2_total") > 90


def test_what_begins_like_the_preface_is_http2(proxy, origin):
    """As Envoy: twelve bytes decide, and what follows them is judged as HTTP/2."""
    running = proxy([http_listener(harness.free_port(), [route()])], [cluster("origin", origin(lambda m: ok(b"hello")).port)])
    with harness.connect(running.listen_ports["http"]) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        answer = harness.read_to_end(client)
    assert b"HTTP/1.1" not in answer and answer.endswith(b"invalid preface")
    assert running.stat("http.http.downstream_cx_http2_total") == 1
    assert running.stat("http.http.downstream_cx_protocol_error") == 1
