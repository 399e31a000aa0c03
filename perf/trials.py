"""One trial: a peer, a scenario, a fresh start. Returns a dict of plain numbers, or raises TrialError."""

import http.client
import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import LineReader, Program, TrialError, ask
from proxies import ANSWER_HEADER, REQUEST_HEADER, ROUTES, Ports, route_prefix

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

    def tool(self, name):
        return self.tools / name


# --- Does it do the work at all? ---------------------------------------------------------------------------------------------


def expect(condition, what):
    if not condition:
        raise TrialError(f"not a fair trial: {what}")


def verify_http(port, backend_port, paths, upload_path=None):
    """200, the backend's bytes, the header that we asked for, the headers that the backend must see, keep-alive."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for path in paths:
            status, headers, body = ask(port, path, connection=connection)
            expect(status == 200, f"{path} answers {status}")
            expect(headers.get(ANSWER_HEADER) == "1", f"{path} has no header {ANSWER_HEADER}")
            expect(body == ask(backend_port, path)[2], f"{path} has another body than the backend sent")
            expect(headers.get("connection", "").lower() != "close", f"{path} closes the connection")
        local_port = connection.sock.getsockname()[1]
        if upload_path:
            upload = ask(backend_port, "/any/1000")[2]  # the backend checks that it gets its own bytes
            expect(ask(port, upload_path, body=upload, connection=connection)[0] == 200, "a POST fails")
        seen = [ask(port, paths[0].rsplit("/", 1)[0] + "/head", connection=connection)[2].decode().lower() for _ in range(2)]
        expect(connection.sock is not None and connection.sock.getsockname()[1] == local_port, "the connection was not kept")
    finally:
        connection.close()
    for text in seen:
        expect(f"{REQUEST_HEADER}: 1" in text, f"the backend does not see {REQUEST_HEADER}")
        expect("x-forwarded-for: " in text, "the backend does not see x-forwarded-for")
        expect("host: bench.test" in text, "the backend does not see the host")
        expect("x-request-id: " in text, "the backend does not see x-request-id")
    ids = [text.split("x-request-id: ")[1].split("\r\n")[0] for text in seen]
    expect(len(ids[0]) >= 16 and ids[0] != ids[1], f"request ids are not unique: {ids}")


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


def verify(scenario, ports, listen):
    if scenario.shape == "idle":  # only what the load itself does: buffers for large bodies would stay
        verify_http(listen, ports.http, ["/api/items/1024"])
    elif scenario.kind.startswith("tcp"):
        verify_tcp(scenario.kind, listen, ports.upstream(scenario.kind))
    elif scenario.kind == "scale":
        verify_http(listen, ports.http, [f"{route_prefix(index)}items/1024" for index in (0, 1, ROUTES // 2, ROUTES - 1)])
    else:
        paths = ["/api/items/1024", "/static/a/1024", "/other/1024", "/api/items/65536", "/api/items/1048576"]
        verify_http(listen, ports.http, paths, upload_path="/api/upload/16")


# --- Trials ------------------------------------------------------------------------------------------------------------------


def new_ports():
    return Ports(*measure.free_ports(5))


def load_program(bench, scenario, ports, listen, connections):
    command = [bench.tool("ringside-load"), "--hold", "--target", f"127.0.0.1:{listen}", "--connections", connections,
               "--warm-up-ms", bench.warm_up_ms, "--duration-ms", bench.duration_ms * scenario.stretch, *scenario.load]
    for service in ("http", "echo", "source", "sink"):
        command += [f"--backend-{service}", f"127.0.0.1:{getattr(ports, service)}"]
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
    setup = peer.setup(scenario.kind, ports, bench.folder)
    with load_program(bench, scenario, ports, ports.listen, scenario.connections) as load:
        reader = LineReader(load.process.stdout)
        expect_event(reader.next(10), "listening")
        with proxy_program(bench, peer, setup) as proxy:
            measure.wait_listening(ports.listen, proxy)
            verify(scenario, ports, ports.listen)
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
    if not result["bytes"]:
        used = {who: result[who]["cpu_ns"] / 1e6 for who in ("proxy", "generator")}
        raise TrialError(f"not one byte moved; CPU in the window: proxy {used['proxy']:.1f} ms, generator {used['generator']:.1f} ms")
    return result


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
    ports, connections = new_ports(), bench.idle_connections
    setup = peer.setup(scenario.kind, ports, bench.folder)
    with load_program(bench, scenario, ports, ports.listen, connections) as load:
        reader = LineReader(load.process.stdout)
        expect_event(reader.next(10), "listening")
        with proxy_program(bench, peer, setup) as proxy:
            measure.wait_listening(ports.listen, proxy)
            verify(scenario, ports, ports.listen)
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
    setup = peer.setup(scenario.kind, ports, bench.folder)
    path = f"{route_prefix(ROUTES - 1)}items/1024" if scenario.kind == "scale" else "/api/items/1024"
    command = [bench.tool("ringside-backend"), "--backend-http", f"127.0.0.1:{ports.http}"]
    with Program(command, bench.load_core, bench.folder, "backend", stdin=True, stdout=subprocess.PIPE) as backend:
        expect_event(LineReader(backend.process.stdout).next(10), "listening")
        with proxy_program(bench, peer, setup) as proxy:
            ready = measure.wait_answering(ports.listen, path, proxy)
            rss = measure.settled_rss_bytes(proxy.pids(peer.processes))
            verify(scenario, ports, ports.listen)
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


def configurations(scenarios, peers):
    """{kind: {peer: text}} with sample ports, for the record."""
    found = {}
    for kind in dict.fromkeys(scenario.kind for scenario in scenarios):
        with measure.scratch_folder() as folder:
            for name, peer in peers.items():
                setup = peer.setup(kind, Ports(10000, 10001, 10002, 10003, 10004), folder)
                if setup is None:
                    continue
                command = " ".join(Path(str(word)).name if "/" in str(word) else str(word) for word in setup.command)
                text = setup.config.replace(str(folder), "DIR")
                found.setdefault(kind, {})[name] = f"# {command}\n{shorten(text)}"
    return found


def shorten(text, lines_max=220):
    lines = text.splitlines()
    if len(lines) <= lines_max:
        return text
    return "\n".join(lines[:lines_max - 20] + [f"... {len(lines) - lines_max} lines more of the same kind ..."] + lines[-20:])
