"""The same bytes through Envoy and through Ringside, and what became of them: at the client and at the origin.

What Envoy did is recorded in golden/<subject>.json, so that the comparison runs where Envoy is not installed; what Ringside does
otherwise is listed, case by case, in golden/<subject>_differences.json. `pytest --rewrite-golden` writes both anew.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import socket
from pathlib import Path

import harness
from harness import connect, parse_response

GOLDEN = Path(__file__).parent / "golden"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    listener: str
    request: bytes


# What differs from run to run.
MASKED = {"x-request-id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
          "date": r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
          "x-envoy-upstream-service-time": r"\d+"}


# Both write the address of the machine in place of a loopback peer's.
OWN_ADDRESS = "|".join(re.escape(address) for address in sorted(
    set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", Path("/proc/net/fib_trie").read_text()))))


def masked(name, value):
    pattern = MASKED.get(name)
    if name == "x-forwarded-for":
        value = re.sub(rf"(?<![\d.])({OWN_ADDRESS})\Z", "<this machine>", value)
    value = re.sub(rf"\A{pattern}\Z", "*", value) if pattern else value
    return value if len(value) < 200 else f"{value[:40]}... {len(value)} bytes"


def fields(headers):
    return sorted(f"{name}: {masked(name, value)}" for name, value in headers)


def short(body):
    """A body as text, or what identifies a long one."""
    if len(body) > 100:
        return f"{len(body)} bytes {hashlib.sha256(body).hexdigest()[:12]}"
    return body.decode("latin-1")


def is_over(data, is_head):
    """Whether a final response stands complete in `data`."""
    while b"\r\n\r\n" in data:
        response = parse_response(data, is_head)
        if response.status >= 200:
            delimited = is_head or response.status in (204, 304) or response.headers.keys() & {"content-length", "transfer-encoding"}
            return bool(delimited and response.complete)
        data = response.rest
    return False


def converse(port, request, settle_seconds):
    """(bytes of the answer, "open" | "closed" | "more" | "waits"): sends it all, reads one response, looks what follows."""
    is_head = request.startswith(b"HEAD ")
    data, state = b"", "open"
    with connect(port) as client:
        try:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(request)
            client.settimeout(4 * harness.SLOWNESS)
            while not is_over(data, is_head):
                piece = client.recv(65536)
                if not piece:
                    return data, "closed"
                data += piece
            # A second answer may have come with the first.
            answers = [found.start() for found in re.finditer(rb"HTTP/1\.1 [2-5]\d\d ", data)]
            if len(answers) > 1:
                return data[:answers[1]], "more"
            # Whoever says that he closes is waited for; of the others it is enough that they stay a moment.
            closes = b"connection: close" in data.partition(b"\r\n\r\n")[0].lower()
            client.settimeout(20 * harness.SLOWNESS if closes else settle_seconds)
            if client.recv(65536) == b"":
                state = "closed"
            else:
                state = "more"  # answered twice: the request was read as two
        except socket.timeout:
            state = "open" if is_over(data, is_head) else "waits"
        except ConnectionResetError:
            state = "closed"
    return data, state


def outcome(port, origin, request, settle_seconds=0.03):
    origin.forget()
    data, state = converse(port, request, settle_seconds)
    seen = [{"start": message.start, "headers": fields(message.headers), "body": short(message.body),
             "trailers": fields(message.trailers)} for message in origin.seen]
    result = {"connection": state, "upstream": seen}
    if origin.broken:
        result["broken"] = [str(error) for error in origin.broken]
    if data:
        response = parse_response(data, request.startswith(b"HEAD "))
        headers = [(name, value) for name, values in response.headers.items() for value in values]
        result |= {"status": response.status, "client": fields(headers), "body": short(response.body)}
    return result


def observe(ports, origin, cases, settle_seconds=0.03):
    """{case: outcome} of a running proxy whose listeners have these ports."""
    return {case.name: outcome(ports[case.listener], origin, case.request, settle_seconds) for case in cases}


class Recorded:
    """The golden files of one subject."""

    def __init__(self, folder, subject, rewrite):
        self.expected_path = folder / f"{subject}.json"
        self.differences_path = folder / f"{subject}_differences.json"
        self.rewrite = rewrite

    def write(self, path, data):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")

    @property
    def envoy(self):
        return json.loads(self.expected_path.read_text())

    @property
    def differences(self):
        return json.loads(self.differences_path.read_text()) if self.differences_path.exists() else {}

    def check_envoy(self, seen):
        if self.rewrite:
            self.write(self.expected_path, seen)
        changed = unlike(seen, self.envoy)
        assert not changed, f"Envoy is not what was recorded:\n{show(changed)}"

    def check(self, seen):
        """What Ringside did, against Envoy and the list of known differences."""
        envoy = self.envoy
        assert seen.keys() == envoy.keys(), "cases were added or removed: run pytest with --rewrite-golden"
        if self.rewrite:
            self.write(self.differences_path, {name: seen[name] for name in seen if seen[name] != envoy[name]})
        changed = unlike(seen, envoy | self.differences)
        assert not changed, f"neither what Envoy does nor a known difference:\n{show(changed)}"


def unlike(seen, expected):
    return {name: (seen.get(name), expected.get(name)) for name in sorted(seen.keys() | expected.keys())
            if seen.get(name) != expected.get(name)}


def show(changed):
    """Only the keys that differ, so that a failure can be read."""
    lines = []
    for name, (seen, expected) in changed.items():
        lines.append(f"* {name}")
        for key in sorted((seen or {}).keys() | (expected or {}).keys()):
            mine, theirs = (seen or {}).get(key), (expected or {}).get(key)
            if mine != theirs:
                if isinstance(mine, list) and isinstance(theirs, list):
                    mine, theirs = ([item for item in mine if item not in theirs], [item for item in theirs if item not in mine])
                lines.append(f"    {key}: seen {mine!r}, expected {theirs!r}")
    return "\n".join(lines)
