"""One request at a time through a proxy to an origin with a script: what the client, the origin, the counters and the access log
see of it. The same for Envoy and for Ringside, so that the two can be compared."""

import contextlib
import re
import threading
import time

import harness
from harness import connect, exchange, read_message

FORMAT = ("%RESPONSE_CODE%~%RESPONSE_FLAGS%~%RESPONSE_CODE_DETAILS%~%BYTES_SENT%~%UPSTREAM_HOST%~%UPSTREAM_CLUSTER%~%ROUTE_NAME%~"
          "%UPSTREAM_TRANSPORT_FAILURE_REASON%~%REQ(X-ENVOY-ATTEMPT-COUNT)%~%RESP(GRPC-STATUS)%~%RESP(GRPC-MESSAGE)%")
NAMES = [re.sub(r"[%()]", "", name.replace("REQ(", "req.").replace("RESP(", "resp.")).lower() for name in FORMAT.split("~")]
# How connections are pooled is not what these events are about.
UNCOMPARED = re.compile(r"_active$|buffered$|bytes_total$|worker|circuit_breakers|flow_control|membership|version|max_host_weight|"
                        r"update_|\.admin\.|_cx_|\.http[12]\.|rx_reset$|rq_pending_total$")
SHOWN = ("x-envoy-attempt-count", "x-envoy-is-timeout-retry", "x-envoy-expected-rq-timeout-ms", "x-envoy-max-retries",
         "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
         "x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-hedge-on-per-try-timeout", "grpc-timeout")
SILENCE = 5 * harness.SLOWNESS


def request(target="/", *lines, method="GET", body=b"", host="a"):
    """A request that ends its connection."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *lines, "connection: close"]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send(*arguments, **options):
    return lambda ports: shown_answer(exchange(ports["http"], request(*arguments, **options)))


def shown_answer(answer):
    answer = re.sub(rb"date: [^\r]*", b"date: *", answer)
    answer = re.sub(rb"service-time: \d+", b"service-time: *", answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    start_line, *fields = head.decode("latin-1").split("\r\n")
    return [start_line, *sorted(fields), body.decode("latin-1")]


class Script:
    """serve() of an origin that reads what to do off the last segment of the path: steps separated by dots, one for each attempt,
    the last one for all that follow. `attempts` has what came."""

    def __init__(self):
        self.lock = threading.Lock()
        self.attempts = []

    def forget(self):
        with self.lock:
            self.attempts = []

    def __call__(self, connection):
        stream = connection.makefile("rb")
        while message := read_message(stream):
            head, body = message
            lines = head.decode("latin-1").split("\r\n")
            steps = lines[0].split(" ")[1].rsplit("/", 1)[-1].split("?")[0].split(".")
            fields = sorted(line for line in lines[1:] if line.split(":")[0] in SHOWN)
            with self.lock:
                step = steps[min(len(self.attempts), len(steps) - 1)]
                # What is left of a timeout when the next attempt begins depends on the moment.
                fields = [re.sub(r"(rq-timeout-ms: )\d+", r"\1*", field) if self.attempts else field for field in fields]
                self.attempts.append([lines[0].split(" ")[1], f"{len(body)} bytes", *fields])
            if not self.play(connection, step):
                return

    @staticmethod
    def play(connection, step):
        """Whether the connection goes on."""
        wait = re.fullmatch(r"(\w+)-after-(\d+)", step)
        if wait:
            time.sleep(int(wait[2]) / 1000)
            step = wait[1]
        if step == "close":
            return False
        if step == "silence":
            connection.settimeout(SILENCE)
            with contextlib.suppress(OSError):
                connection.recv(1)
            return False
        if step == "nonsense":
            connection.sendall(b"nonsense\r\n\r\n")
            return False
        if step == "half":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            return False
        if step == "stall":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            return Script.play(connection, "silence")
        if step == "hint":
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            return False
        fields = b""
        if grpc := re.fullmatch(r"grpc(\d+)", step):
            step, fields = "200", b"content-type: application/grpc\r\ngrpc-status: %s\r\n" % grpc[1].encode()
        elif tagged := re.fullmatch(r"(\d+)([a-z-]+)(\d*)", step):
            step, fields = tagged[1], b"%s: %s\r\n" % (tagged[2].encode(), tagged[3].encode() or b"yes")
        connection.sendall(b"HTTP/1.1 %s X\r\ncontent-length: 2\r\n%s\r\nok" % (step.encode() if step.isdigit() else b"200", fields))
        return True


def access_log(path):
    return {"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path),
        "log_format": {"text_format_source": {"inline_string": FORMAT + "\n"}}}}


def moved(before, after):
    """{name: by how much} of what the event moved."""
    changes = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    return {name: value for name, value in changes.items() if name.startswith(("http.http.", "cluster.")) and not UNCOMPARED.search(name)}


def masked(line, ports):
    values = dict(zip(NAMES, line.split("~")))
    assert len(values) == len(NAMES), line
    for name, port in ports.items():
        values = {key: value.replace(f":{port}", f":<{name}>") for key, value in values.items()}
    values["response_flags"] = ",".join(sorted(values["response_flags"].split(",")))  # Envoy: in the order of what happened
    if len(values["bytes_sent"]) > 6:
        values["bytes_sent"] = "<many>"
    return {name: value for name, value in values.items() if value != "-"}


def run(running, ports, log, script, events, lines=None):
    """{event: what became of it}. `events` are functions of the ports; `lines` says how many access log lines one has, if not 1."""
    seen, read = {}, 0
    for name, act in events.items():
        script.forget()
        before = running.stats()
        answer = act(ports)
        active = re.compile(r"(http\.http\.downstream_cx_active|cluster\..*upstream_rq_active)$")
        harness.wait_until(lambda: not any(value for stat, value in running.stats("_active$").items() if active.match(stat)), name)  # noqa: B023
        wanted = read + (lines or {}).get(name, 1)
        with contextlib.suppress(AssertionError):
            harness.wait_until(lambda: log.exists() and log.read_text().count("\n") >= wanted, name, 0.5)  # noqa: B023
        time.sleep(0.06)
        logged = log.read_text().splitlines() if log.exists() else []
        seen[name] = {"counters": moved(before, running.stats()), "log": sorted((masked(line, ports) for line in logged[read:]), key=str),
                      "attempts": script.attempts, "answer": answer}
        read = len(logged)
    return seen


def stays(make):
    """An action with a connection of its own, which is closed behind it."""
    def act(ports):
        with connect(ports["http"]) as client:
            return make(client)
    return act
