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


@pytest.mark.parametrize("options", [("--depth", "1"), ("--message", "200", "--depth", "7"), ("--message", "300000", "--depth", "2")])
def test_websocket(port, options):
    result = load(port, "--mode", "ws", "--backend-http", f"127.0.0.1:{port}", *options)
    assert result["failures"] == 0 and result["backend_bad_messages"] == 0, result["first_failure"]
    assert result["requests"] > 20


def test_idle_websockets(port):
    result = load(port, "--mode", "ws-idle", "--backend-http", f"127.0.0.1:{port}")
    assert result["failures"] == 0 and result["backend_connections"] == 4, result["first_failure"]


@pytest.mark.parametrize("options", [(), ("--depth", "20"), ("--find", "query")])
def test_mongo(port, options):
    result = load(port, "--mode", "mongo", "--backend-mongo", f"127.0.0.1:{port}", *options)
    assert result["failures"] == 0 and result["backend_bad_messages"] == 0, result["first_failure"]
    assert result["requests"] > 20


# --- The backend, asked by others --------------------------------------------------------------------------------------------


@pytest.fixture
def backend(keys, tmp_path):
    ports = dict(zip(("http", "h2", "https", "mongo"), measure.free_ports(4)))
    command = [TOOLS / "ringside-backend", "--backend-http", f"127.0.0.1:{ports['http']}", "--backend-h2", f"127.0.0.1:{ports['h2']}",
               "--backend-mongo", f"127.0.0.1:{ports['mongo']}", *https(keys, ports["https"])]
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


def test_backend_speaks_websocket(backend):
    trials.verify_websocket(backend["http"])
    asker = askers.WsAsker(backend["http"])
    asker.send(b"\x81\x01x")  # not masked
    assert asker.agreed and asker.at_end()
    asker.close()


def test_backend_speaks_mongo(backend):
    asker = askers.MongoAsker(backend["mongo"])
    op, body = asker.query("admin.$cmd", {"hello": 1})
    assert op == 1 and b"maxWireVersion\0" in body
    op, body = asker.command({"find": "things", "filter": {"_id": 7}, "$db": "store"})
    assert op == 2013 and b"\x10_id\0\x07\0\0\0" in body and b"store.things\0" in body
    assert asker.query("store.things", {"_id": 7})[1][20:] in body
    assert b"no such command: 'nonsense'" in asker.command({"nonsense": 1, "$db": "store"})[1]
    asker.send(b"\xff" * 16)
    assert asker.at_end()
    asker.close()


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


# --- The generator, answered wrongly on WebSockets and by MongoDB ----------------------------------------------------------------


class Altered:
    """Passes bytes between the generator and the backend, and lets `alter(bytes)` change those of the backend after the first."""

    def __init__(self, backend_port, alter):
        self.backend_port, self.alter, self.listener = backend_port, alter, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.backend_port))
            threading.Thread(target=self._pass, args=(client, server, lambda data: data), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, self.alter), daemon=True).start()

    def _pass(self, source, sink, alter):
        try:
            sink.sendall(source.recv(1 << 16))  # the greeting, of the answers
            while piece := source.recv(1 << 16):
                sink.sendall(alter(piece))
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def at(index, value):
    return lambda data: data[:index] + bytes([value]) + data[index + 1:]


def masked(data):
    return bytes([data[0], data[1] | 128]) + b"\0\0\0\0" + data[2:]


WS, MONGO = ("--mode", "ws"), ("--mode", "mongo")


@pytest.mark.parametrize("options, service, kind, alter", [
    (WS, "http", "bad_message", masked),
    (WS, "http", "bad_message", at(0, 0x01)),                       # a fragment
    (WS, "http", "bad_message", at(0, 0x8a)),                       # a pong
    (WS, "http", "bad_body", at(1, 63)),                            # another length
    (WS, "http", "bad_body", at(40, 0)),                            # another byte
    (WS, "http", "bad_body", lambda data: data + data),             # twice: not the next one
    (WS, "http", "stalled", lambda data: data[:-1]),
    (MONGO, "mongo", "bad_message", at(8, 0xee)),                   # responseTo
    (MONGO, "mongo", "bad_message", at(3, 0xff)),                   # length
    (MONGO, "mongo", "bad_body", at(12, 1)),                        # opcode
    (MONGO, "mongo", "bad_body", at(300, 0xee)),                    # a byte of the document
    (MONGO, "mongo", "bad_body", lambda data: data.replace(b"ringside", b"outrange")),  # another _id
    (MONGO, "mongo", "stalled", lambda data: data[:-1]),
])
def test_generator_sees_what_was_altered(backend, options, service, kind, alter):
    patience = ("--patience-ms", "50") if kind == "stalled" else ()
    with Altered(backend[service], alter) as altered:
        result = load(altered.port, *options, *patience)
    assert result["failures_by_kind"][kind] > 0, result
    assert result["failures"] == result["failures_by_kind"][kind], result


def test_generator_sees_a_refused_handshake(backend):
    """By ports that speak other protocols."""
    for options, port in ((WS, backend["mongo"]), (MONGO, backend["h2"])):
        result = load(port, *options)
        assert result["event"] == "error" or result["failures"] > 0, result
