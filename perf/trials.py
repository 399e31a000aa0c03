"""One trial: a peer, a scenario, a fresh start. Returns a dict of plain numbers, or raises TrialError."""

import json
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import measure
from askers import H1Asker, H2Asker, MongoAsker, WsAsker, tls_client
from certificates import BACKEND_NAME, Certificates
from kinds import KINDS, SAMPLE_PORTS, Ports
from measure import LineReader, Program, TrialError, ask
from proxies import ANSWER_HEADER, REQUEST_HEADER, ROUTES, route_prefix

# Of the window: so long proxy or generator may wait for a core on which something else runs.
DISTURBED = 0.1


@dataclass(frozen=True)
class Bench:
    """What all trials of a run share."""

    tools: Path         # the folder of ringside-load and its like
    folder: Path        # for configurations and logs of the trial
    proxy_core: int
    load_core: int
    warm_up_ms: float
    duration_ms: float
    idle_connections: int
    idle_pairs: int     # where each has one of its own to the backend
    certificates: Certificates

    def tool(self, name):
        return self.tools / name


# --- Does it do the work at all? ---------------------------------------------------------------------------------------------


def expect(condition, what):
    if not condition:
        raise TrialError(f"not a fair trial: {what}")


def open_asker(scenario, port, certificates):
    kind = KINDS[scenario.kind]
    wrap = tls_client(certificates, client="client" if kind.mutual else None) if kind.tls else None
    return H2Asker(port, wrap) if kind.clients == "h2" else H1Asker(port, wrap)


def verify_http(asker, backend_port, paths, upload_path=None):
    """200, the backend's bytes, the header that we asked for, the headers that the backend must see, keep-alive."""
    for path in paths:
        status, headers, body = asker.ask(path)
        expect(status == 200, f"{path} answers {status}")
        expect(headers.get(ANSWER_HEADER) == "1", f"{path} has no header {ANSWER_HEADER}")
        expect(body == ask(backend_port, path)[2], f"{path} has another body than the backend sent")
        expect(headers.get("connection", "").lower() != "close", f"{path} closes the connection")
    if upload_path:
        upload = ask(backend_port, "/any/1000")[2]  # the backend checks that it gets its own bytes
        expect(asker.ask(upload_path, upload)[0] == 200, "a POST fails")
    seen = [asker.ask(paths[0].rsplit("/", 1)[0] + "/head")[2].decode().lower() for _ in range(2)]
    expect(asker.kept(), "the connection was not kept")
    for text in seen:
        expect(f"{REQUEST_HEADER}: 1" in text, f"the backend does not see {REQUEST_HEADER}")
        expect("x-forwarded-for: " in text, "the backend does not see x-forwarded-for")
        expect("host: bench.test" in text or ":authority: bench.test" in text, "the backend does not see the host")
        expect("x-request-id: " in text, "the backend does not see x-request-id")
    ids = [text.split("x-request-id: ")[1].split("\r\n")[0] for text in seen]
    expect(len(ids[0]) >= 16 and ids[0] != ids[1], f"request ids are not unique: {ids}")


def verify_grpc(asker, backend_port):
    call = b"\0\0\0\0\x20" + ask(backend_port, "/any/32")[2]
    fields = (("content-type", "application/grpc"), ("te", "trailers"))
    status, headers, body, trailers = asker.exchange("/bench.Echo/Unary", call, fields)
    expect(status == 200 and body == call, f"a call answers {status} with {len(body)} bytes")
    expect(headers.get("content-type") == "application/grpc", "a call has another content type")
    expect(trailers.get("grpc-status") == "0", f"a call has the trailers {trailers}")


def verify_certificates(listen, backend_port, certificates):
    """Neither proxy nor backend lets in who shows no certificate."""
    for port, name in ((listen, "proxy"), (backend_port, "backend")):
        wrap = tls_client(certificates, *([BACKEND_NAME] if name == "backend" else []))
        try:  # with TLS 1.3 the client learns of it when it reads
            with socket.create_connection(("127.0.0.1", port), 5) as plain, wrap(plain) as over:
                over.sendall(b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n")
                got = over.recv(100)
        except ssl.SSLError:
            continue
        except ConnectionError:
            continue
        expect(not got.startswith(b"HTTP/1.1 200"), f"the {name} lets clients in without a certificate")


def verify_tcp(kind, port, backend_port):
    def first_bytes(target, count):
        with socket.create_connection(("127.0.0.1", target), 5) as connection:
            got = b""
            while len(got) < count:
                piece = connection.recv(count - len(got))
                expect(piece, "the stream ends early")
                got += piece
            return got

    if kind == "tcp-source":
        expect(first_bytes(port, 100_000) == first_bytes(backend_port, 100_000), "the stream has other bytes than the backend's")
    elif kind == "tcp-echo":
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"ping" * 100)
            connection.shutdown(socket.SHUT_WR)
            got = b""
            while piece := connection.recv(4096):
                got += piece
            expect(got == b"ping" * 100, "no echo, or half-close is not carried through")
    else:
        socket.create_connection(("127.0.0.1", port), 5).close()


def verify_websocket(port):
    """Messages of every size come back, a ping is answered by the backend, and the close ends the connection."""
    asker = WsAsker(port)
    try:
        expect(asker.agreed, f"the handshake is answered with {asker.status} {asker.headers}")
        for size in (0, 125, 126, 65535, 65536, 1 << 20):
            payload = bytes(range(256)) * (size // 256 + 1)
            expect(asker.echo(asker.BINARY, payload[:size]) == (asker.BINARY, payload[:size]), f"a message of {size} bytes is not echoed")
        expect(asker.echo(asker.PING, b"?") == (asker.PONG, b"?"), "a ping is not answered")
        expect(asker.echo(asker.CLOSE, b"\x03\xe8") == (asker.CLOSE, b"\x03\xe8") and asker.at_end(), "the close is not carried through")
    finally:
        asker.close()


def verify_mongo(port, backend_port):
    """By both opcodes, the answers that the backend gives."""
    def answers(target):
        asker = MongoAsker(target)
        try:
            find = {"find": "things", "filter": {"_id": "seven"}, "limit": 1, "$db": "verify"}
            return [asker.query("admin.$cmd", {"isMaster": 1}), asker.query("verify.things", {"_id": 7}), asker.command(find),
                    asker.command({"ping": 1, "$db": "admin"}), asker.command(find)]
        finally:
            asker.close()

    found = answers(port)
    expect(found == answers(backend_port), "other answers than the backend's")
    expect(b"seven" in found[2][1] and b"verify.things" in found[2][1], "a find does not find")


def paths_to_verify(scenario):
    if scenario.shape == "idle":  # only what the load itself does: buffers for large bodies would stay
        return ["/api/items/1024"]
    if KINDS[scenario.kind].many:
        return [f"{route_prefix(index)}items/1024" for index in (0, 1, ROUTES // 2, ROUTES - 1)]
    return ["/api/items/1024", "/static/a/1024", "/other/1024", "/api/items/65536", "/api/items/1048576"]


def verify(bench, scenario, ports):
    kind = KINDS[scenario.kind]
    if kind.service == "mongo":
        return verify_mongo(ports.listen, ports.mongo)
    if kind.clients == "tcp":
        return verify_tcp(scenario.kind, ports.listen, ports.upstream(scenario.kind))
    asker = open_asker(scenario, ports.listen, bench.certificates)
    try:
        uploads = not kind.many and scenario.shape != "idle"
        verify_http(asker, ports.http, paths_to_verify(scenario), "/api/upload/16" if uploads else None)
        if kind.grpc:
            verify_grpc(asker, ports.http)
        if kind.websocket and scenario.shape != "idle":
            verify_websocket(ports.listen)
    finally:
        asker.close()
    if kind.mutual:
        verify_certificates(ports.listen, ports.https, bench.certificates)


# --- Trials ------------------------------------------------------------------------------------------------------------------


def new_ports():
    return Ports(*measure.free_ports(8))


def backend_options(bench, kind, ports):
    options = []
    for service in ("http", "echo", "source", "sink", "h2", "mongo"):
        options += [f"--backend-{service}", f"127.0.0.1:{getattr(ports, service)}"]
    if not KINDS[kind].mutual:
        return options
    found = bench.certificates
    return options + ["--backend-https", f"127.0.0.1:{ports.https}", "--backend-certificate", found.chain("backend"), "--backend-key",
                      found.key("backend"), "--backend-client-ca", found.authority]


def load_program(bench, scenario, ports, listen, connections):
    kind, found = KINDS[scenario.kind], bench.certificates
    shown = ["--certificate", found.chain("client"), "--key", found.key("client")] if kind.mutual else []
    command = [bench.tool("ringside-load"), "--hold", "--target", f"127.0.0.1:{listen}", "--connections", connections,
               "--warm-up-ms", bench.warm_up_ms, "--duration-ms", bench.duration_ms * scenario.stretch, *scenario.load,
               *shown, *backend_options(bench, scenario.kind, ports)]
    return Program(command, bench.load_core, bench.folder, "load", stdin=True, stdout=subprocess.PIPE)


def say_go(load, pids=()):
    load.process.stdin.write((" ".join(["go", *map(str, pids)]) + "\n").encode())
    load.process.stdin.flush()


def proxy_program(bench, peer, setup):
    return Program(setup.command, bench.proxy_core, bench.folder, peer.name, stdout=setup.log if setup.log_is_stdout else None)


def run_window(bench, scenario, peer):
    ports = new_ports()
    if peer.name == "direct":
        return run_direct(bench, scenario, ports)
    setup = peer.setup(scenario.kind, ports, bench.folder, bench.certificates)
    with load_program(bench, scenario, ports, ports.listen, scenario.connections) as load:
        reader = LineReader(load.process.stdout)
        expect_event(reader.next(10), "listening")
        with proxy_program(bench, peer, setup) as proxy:
            measure.wait_listening(ports.listen, proxy)
            verify(bench, scenario, ports)
            pids = proxy.pids(peer.processes)
            say_go(load, pids)
            result = read_result(reader, bench, scenario)
            proxy.check_alive()
            result["rss_bytes"] = measure.rss_bytes(pids)
    if setup.log:
        check_log(setup.log, result)
    expect(result["proxy"]["cpu_ns"] > 0, "the proxy used no CPU time")
    return digest(result, scenario)


def run_direct(bench, scenario, ports):
    with load_program(bench, scenario, ports, getattr(ports, scenario.service), scenario.connections) as load:
        reader = LineReader(load.process.stdout)
        expect_event(reader.next(10), "listening")
        say_go(load)
        return digest(read_result(reader, bench, scenario), scenario)


def expect_event(message, event):
    if message.get("event") != event:
        raise TrialError(f"the load generator says {message.get('error', message)}")


def read_result(reader, bench, scenario):
    result = reader.next(40 + (bench.warm_up_ms + bench.duration_ms * scenario.stretch) / 1000)
    expect_event(result, "result")
    if result["failures"] or result["backend_bad_messages"]:
        raise TrialError(f"{result['failures']} failures, {result['backend_bad_messages']} at the backend: {result['first_failure']}")
    check_handshakes(result["handshakes"], scenario)
    if not result["bytes"]:
        used = {who: result[who]["cpu_ns"] / 1e6 for who in ("proxy", "generator")}
        raise TrialError(f"not one byte moved; CPU in the window: proxy {used['proxy']:.1f} ms, generator {used['generator']:.1f} ms")
    return result


def check_handshakes(handshakes, scenario):
    """Full ones where no session may be resumed; where each one must be, full ones until each connection has had a ticket."""
    if not KINDS[scenario.kind].tickets:
        expect(not handshakes["resumed"], f"{handshakes['resumed']} sessions were resumed")
    else:
        expect(handshakes["full"] <= 4 * scenario.connections, f"{handshakes['full']} handshakes were full, {handshakes['resumed']} resumed")


def check_log(log, result):
    expect(log.exists(), "no access log was written")
    lines = log.read_bytes().count(b"\n")
    expect(lines >= result["requests"], f"{lines} lines in the access log after {result['requests']} requests")
    log.unlink()


def digest(result, scenario):
    """From what the generator saw to what is compared."""
    units = result["bytes"] / 1e6 if scenario.unit == "MB" else result["requests"]
    proxy, seconds = result["proxy"], result["seconds"]
    trial = {
        "requests": result["requests"], "bytes": result["bytes"], "seconds": seconds, "per_second": units / seconds,
        "generator_busy": result["generator"]["cpu_ns"] / 1e9 / seconds, "generator_ring": result["ring"],
        "latency_us": result.get("latency_us"), "histogram_us": result.get("histogram_us"),
    }
    if proxy["cpu_ns"] > 0:
        ticks = proxy["user_ticks"] + proxy["kernel_ticks"]
        trial |= {
            "cpu_us": proxy["cpu_ns"] / 1e3 / units, "efficiency": units / (proxy["cpu_ns"] / 1e9),
            "busy": proxy["cpu_ns"] / 1e9 / seconds, "waited": proxy["cpu_wait_ns"] / 1e9 / seconds,
            "disturbed": max(proxy["cpu_wait_ns"], result["generator"]["cpu_wait_ns"]) / 1e9 / seconds > DISTURBED,
            "kernel_share": proxy["kernel_ticks"] / ticks if ticks else None, "wakeups": proxy["timeslices"] / units,
            "rss_mb": result["rss_bytes"] / 1e6,
        }
    return trial


def run_idle(bench, scenario, peer):
    ports = new_ports()
    connections = min(scenario.connections, bench.idle_pairs if KINDS[scenario.kind].websocket else bench.idle_connections)
    setup = peer.setup(scenario.kind, ports, bench.folder, bench.certificates)
    with load_program(bench, scenario, ports, ports.listen, connections) as load:
        reader = LineReader(load.process.stdout)
        expect_event(reader.next(10), "listening")
        with proxy_program(bench, peer, setup) as proxy:
            measure.wait_listening(ports.listen, proxy)
            verify(bench, scenario, ports)
            before = measure.settled_rss_bytes(proxy.pids(peer.processes))
            say_go(load)
            expect_event(reader.next(60), "idle")
            after = measure.settled_rss_bytes(proxy.pids(peer.processes))
            proxy.check_alive()
            load.process.stdin.close()
            load.process.stdin = None
            read_idle_end(reader)
    return {"connections": connections, "rss_before_mb": before / 1e6, "rss_mb": after / 1e6,
            "idle_bytes": (after - before) / connections}


def read_idle_end(reader):
    result = reader.next(20)
    expect_event(result, "result")
    if result["failures"]:
        raise TrialError(f"idle connections were lost: {result['first_failure']}")


def run_start(bench, scenario, peer):
    ports = new_ports()
    setup = peer.setup(scenario.kind, ports, bench.folder, bench.certificates)
    path = f"{route_prefix(ROUTES - 1)}items/1024" if scenario.kind == "scale" else "/api/items/1024"
    command = [bench.tool("ringside-backend"), "--backend-http", f"127.0.0.1:{ports.http}"]
    with Program(command, bench.load_core, bench.folder, "backend", stdin=True, stdout=subprocess.PIPE) as backend:
        expect_event(LineReader(backend.process.stdout).next(10), "listening")
        with proxy_program(bench, peer, setup) as proxy:
            ready = measure.wait_answering(ports.listen, path, proxy)
            rss = measure.settled_rss_bytes(proxy.pids(peer.processes))
            verify(bench, scenario, ports)
    return {"ready_ms": ready * 1e3, "rss_mb": rss / 1e6}


def run_limit(bench, scenario):
    command = [bench.tool("ringside-limit"), "--connections", scenario.connections, "--core", bench.proxy_core,
               "--peer-core", bench.load_core, "--warm-up-ms", bench.warm_up_ms / 2, "--duration-ms", bench.duration_ms / 2]
    try:
        output = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise TrialError("ringside-limit does not end") from None
    if output.returncode != 0:
        raise TrialError(output.stderr.strip())
    found = json.loads(output.stdout)
    return {"requests": found["relay"]["requests"], "cpu_us": found["relay"]["cpu_us"],
            "efficiency": 1e6 / found["relay"]["cpu_us"], "one_core_cpu_us": found["one_core"]["cpu_us"]}


def run_trial(bench, scenario, peer_name, peers):
    begin = time.monotonic()
    if peer_name == "limit":
        trial = run_limit(bench, scenario)
    else:
        run = {"window": run_window, "idle": run_idle, "start": run_start}[scenario.shape]
        try:
            trial = run(bench, scenario, peers[peer_name])
        except OSError as error:
            raise TrialError(f"{type(error).__name__}: {error}") from None
    return trial | {"trial_seconds": time.monotonic() - begin}


def configurations(scenarios, peers, certificates):
    """{kind: {peer: text}} with sample ports, for the record."""
    found = {}
    for kind in dict.fromkeys(scenario.kind for scenario in scenarios):
        with measure.scratch_folder() as folder:
            for name, peer in peers.items():
                setup = None if peer.supports(kind) else peer.setup(kind, SAMPLE_PORTS, folder, certificates)
                if setup is None:
                    continue
                command = " ".join(Path(str(word)).name if "/" in str(word) else str(word) for word in setup.command)
                text = setup.config.replace(str(folder), "DIR").replace(str(certificates.folder), "CERTIFICATES")
                found.setdefault(kind, {})[name] = f"# {command}\n{shorten(text)}"
    return found


def shorten(text, lines_max=220):
    lines = text.splitlines()
    if len(lines) <= lines_max:
        return text
    return "\n".join(lines[:lines_max - 20] + [f"... {len(lines) - lines_max} lines more of the same kind ..."] + lines[-20:])
