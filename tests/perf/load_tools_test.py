"""The generator and the backend as programs: against each other, and each against an HTTP/2 or TLS of other people's."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "perf"))

import askers  # noqa: E402
import certificates  # noqa: E402
import measure  # noqa: E402
import trials  # noqa: E402

TOOLS = Path(os.environ.get("RINGSIDE_BUILD", ROOT / "build/release")) / "perf"
pytestmark = pytest.mark.skipif(not (TOOLS / "ringside-load").exists(), reason=f"{TOOLS} has no ringside-load")


def load(port, *options):
    """What the generator says at the end of a short run."""
    command = [TOOLS / "ringside-load", "--target", f"127.0.0.1:{port}", "--warm-up-ms", "20", "--duration-ms", "150", "--connections", "4",
               *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return certificates.Certificates(tmp_path_factory.mktemp("keys")).make()


@pytest.fixture
def port():
    return measure.free_ports(1)[0]


def https(keys, port, *more):
    return ("--backend-https", f"127.0.0.1:{port}", "--backend-certificate", keys.chain("backend"), "--backend-key", keys.key("backend"), *more)


# --- Against each other ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    ("--streams", "50", "--path", "/items/1024"),
    ("--streams", "50", "--path", "/items/0"),
    ("--streams", "10", "--path", "/items/1048576"),
    ("--streams", "10", "--path", "/items/16", "--body", "300000"),
    ("--streams", "300", "--grpc"),  # more than the backend allows at a time
])
def test_http2(port, options):
    result = load(port, "--protocol", "h2", "--backend-h2", f"127.0.0.1:{port}", *options)
    assert result["failures"] == 0 and result["backend_bad_messages"] == 0, result["first_failure"]
    assert result["requests"] > 20


def test_tls(port, keys):
    result = load(port, "--tls", "--path", "/items/300000", *https(keys, port))
    assert result["failures"] == 0 and result["requests"] > 10, result["first_failure"]
    assert result["handshakes"] == {"full": 4, "resumed": 0}


def test_each_handshake_is_full_or_each_is_resumed(port, keys):
    result = load(port, "--tls", "--mode", "http-churn", *https(keys, port))
    assert result["failures"] == 0 and result["handshakes"]["full"] > 10 and result["handshakes"]["resumed"] == 0, result
    result = load(port, "--tls", "--mode", "http-churn", "--resume", "always", *https(keys, port))
    assert result["failures"] == 0 and result["handshakes"]["full"] <= 4 and result["handshakes"]["resumed"] > 10, result


def test_client_certificates(port, keys):
    demands = https(keys, port, "--backend-client-ca", keys.authority)
    result = load(port, "--tls", "--certificate", keys.chain("client"), "--key", keys.key("client"), *demands)
    assert result["failures"] == 0 and result["requests"] > 10, result["first_failure"]
    # With TLS 1.3 a client learns after its handshake that its certificate is missing.
    result = load(port, "--tls", *demands)
    assert result["event"] == "error" or result["failures_by_kind"]["reset"] > 0, result


# --- The backend, asked by others --------------------------------------------------------------------------------------------


@pytest.fixture
def backend(keys, tmp_path):
    ports = dict(zip(("http", "h2", "https"), measure.free_ports(3)))
    command = [TOOLS / "ringside-backend", "--backend-http", f"127.0.0.1:{ports['http']}", "--backend-h2", f"127.0.0.1:{ports['h2']}",
               *https(keys, ports["https"])]
    with measure.Program(command, min(os.sched_getaffinity(0)), tmp_path, "backend", stdin=True, stdout=subprocess.PIPE) as program:
        measure.LineReader(program.process.stdout).next(10)
        yield ports


def test_backend_speaks_http2(backend):
    asker = askers.H2Asker(backend["h2"])
    for size in (0, 1, 1024, 65536, 1048576):
        status, headers, body = asker.ask(f"/items/{size}")
        assert (status, headers["content-length"], len(body)) == (200, str(size), size)
        assert body == measure.ask(backend["http"], f"/items/{size}")[2]
    assert asker.ask("/items/5", measure.ask(backend["http"], "/any/50000")[2])[0] == 200
    assert ":authority: bench.test\r\n" in asker.ask("/any/head")[2].decode()
    trials.verify_grpc(asker, backend["http"])
    assert asker.kept()
    asker.close()


def test_backend_speaks_tls(backend, keys):
    asker = askers.H1Asker(backend["https"], askers.tls_client(keys, name="backend.test"))
    assert asker.ask("/items/1048576")[::2] == measure.ask(backend["http"], "/items/1048576")[::2]
    assert asker.kept() and asker.opened.version() == "TLSv1.3" and asker.opened.cipher()[0] == "TLS_AES_128_GCM_SHA256"
    asker.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        askers.H1Asker(backend["https"], askers.tls_client(keys))  # another name than the certificate's


# --- The generator, answered by others ---------------------------------------------------------------------------------------


class Server:
    """HTTP/2 by the package h2; `answer(h2, stream_id)` says what each request gets."""

    def __init__(self, answer):
        self.answer, self.listener = answer, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        end = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        end.initiate_connection()
        try:
            while True:
                connection.sendall(end.data_to_send())
                piece = connection.recv(1 << 16)
                if not piece:
                    return
                for event in end.receive_data(piece):
                    if isinstance(event, h2.events.DataReceived):
                        end.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if isinstance(event, h2.events.StreamEnded):
                        self.answer(end, event.stream_id)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            connection.close()


MESSAGE = b"LqsvNZ9Eea8WTonNl199Qje2f9k2aqzE"  # the first bytes of every body
PATTERN = MESSAGE[:16]


def answer_200(end, stream_id, body=PATTERN):
    end.send_headers(stream_id, [(":status", "200"), ("a-field", "that is indexed"), ("server", "another")])
    end.send_data(stream_id, body, end_stream=True, pad_length=3)


def answer_call(end, stream_id, grpc_status="0"):
    end.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
    end.send_data(stream_id, b"\0\0")  # a message in pieces
    end.send_data(stream_id, b"\0\0\x20" + MESSAGE)
    end.send_headers(stream_id, [("grpc-status", grpc_status), ("grpc-message", "")], end_stream=True)


@pytest.mark.parametrize("answer, options", [(answer_200, ("--path", "/items/16")), (answer_call, ("--grpc",))])
def test_generator_speaks_http2(answer, options):
    with Server(answer) as server:
        result = load(server.port, "--protocol", "h2", "--streams", "5", *options)
    assert result["failures"] == 0 and result["requests"] > 10, result["first_failure"]


def unavailable(end, stream_id):
    end.send_headers(stream_id, [(":status", "503")], end_stream=True)


def short(end, stream_id):
    answer_200(end, stream_id, PATTERN[:15])


def wrong(end, stream_id):
    answer_200(end, stream_id, PATTERN[1:17])


def reset(end, stream_id):
    end.reset_stream(stream_id, 2)


def goodbye(end, _):
    end.close_connection(2)


def silent(end, stream_id):
    end.send_headers(stream_id, [(":status", "200")])


def refused_call(end, stream_id):
    answer_call(end, stream_id, "13")


def no_trailers(end, stream_id):
    answer_200(end, stream_id, b"\0\0\0\0\x20" + MESSAGE)


@pytest.mark.parametrize("answer, kind, options", [
    (unavailable, "bad_status", ()), (short, "bad_body", ()), (wrong, "bad_body", ()), (reset, "reset", ()), (goodbye, "reset", ()),
    (silent, "stalled", ("--patience-ms", "50")), (refused_call, "bad_status", ("--grpc",)), (no_trailers, "bad_message", ("--grpc",)),
])
def test_generator_sees_what_is_wrong(answer, kind, options):
    with Server(answer) as server:
        result = load(server.port, "--protocol", "h2", "--streams", "5", "--path", "/items/16", *options)
    assert result["failures_by_kind"][kind] > 0, result
    assert result["requests"] == 0


def test_generator_goes_on_after_goaway_without_error():
    def answer(end, stream_id):
        answer_200(end, stream_id)
        if stream_id == 5:  # by hand: the package answers nothing any more after a GOAWAY of its own
            end._data_to_send += b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0"

    with Server(answer) as server:
        result = load(server.port, "--protocol", "h2", "--streams", "1", "--path", "/items/16")
    assert result["failures"] == 0 and result["requests"] > 10, result["first_failure"]
