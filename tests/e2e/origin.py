"""Scripted HTTP origins that remember what reached them: the judge of every test that asks what a proxy forwards."""

import dataclasses
import re
import threading

from harness import Upstream, ok


@dataclasses.dataclass
class Message:
    """A request as it stood on the wire, field names in lower case."""

    head: bytes
    start: str
    headers: list  # of (name, value)
    body: bytes
    trailers: list
    framing: str  # "none", "length" or "chunked"

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def header(self, name):
        return ", ".join(self.all(name))

    def has(self, name):
        return bool(self.all(name))


class Broken(ValueError):
    """What came is not a request that a careful reader would take."""


def read_line(stream):
    line = stream.readline(1 << 20)
    if line and not line.endswith(b"\r\n"):
        raise Broken(line)
    return line[:-2]


def read_fields(stream):
    fields, raw = [], b""
    while line := read_line(stream):
        raw += line + b"\r\n"
        match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*", line)
        if not match:
            raise Broken(line)
        fields.append((match[1].decode().lower(), match[2].decode("latin-1")))
    return fields, raw


def read_exactly(stream, count):
    data = stream.read(count)
    if len(data) < count:
        raise EOFError(f"{len(data)} of {count} bytes")
    return data


def read_chunked(stream):
    pieces = []
    while True:
        line = read_line(stream)
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", line.split(b";")[0]):
            raise Broken(line) if line else EOFError("no chunk size")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            return b"".join(pieces), read_fields(stream)[0]
        pieces.append(read_exactly(stream, size))
        if read_exactly(stream, 2) != b"\r\n":
            raise Broken("no line end after a chunk")


def read_request(stream, on_head=None):
    """A Message, or None at an orderly end. Strict: what is ambiguous raises Broken."""
    start = read_line(stream)
    if not start:
        return None
    headers, raw = read_fields(stream)
    message = Message(start + b"\r\n" + raw + b"\r\n", start.decode("latin-1"), headers, b"", [], "none")
    if on_head:
        on_head(message)
    lengths, codings = message.all("content-length"), message.all("transfer-encoding")
    if len(lengths) + len(codings) > 1 or (codings and codings != ["chunked"]):
        raise Broken(message.head)
    if codings:
        message.framing = "chunked"
        message.body, message.trailers = read_chunked(stream)
    elif lengths:
        message.framing = "length"
        message.body = read_exactly(stream, int(lengths[0]))
    return message


CLOSE = object()  # as the last piece of a response: the connection is closed behind it


def closing(*pieces):
    """A response after which the origin closes."""
    return [*pieces, CLOSE]


class Origin(Upstream):
    """Answers complete requests with the bytes of respond(message), or with its pieces one after the other when it is iterable;
    None closes the connection. `seen` has what came complete, `heads` every head, `raw` every byte if `record` is set."""

    def __init__(self, respond=None, record=False, **options):
        self.respond = respond or (lambda message: ok(message.body))
        self.seen, self.heads, self.broken, self.raw = [], [], [], bytearray()
        self.lock = threading.Lock()
        self.record = record
        super().__init__(self.converse, **options)

    def converse(self, connection):
        stream = connection.makefile("rb")
        if self.record:
            stream = Recording(stream, self.raw)
        try:
            while message := read_request(stream, self.heads.append):
                with self.lock:
                    self.seen.append(message)
                response = self.respond(message)
                if response is None:
                    return
                for piece in [response] if isinstance(response, bytes) else response:
                    if piece is CLOSE:
                        return
                    connection.sendall(piece)
        except Broken as error:
            self.broken.append(error)
        except EOFError:
            pass

    @property
    def last(self):
        return self.seen[-1]

    def forget(self):
        self.seen.clear()
        self.heads.clear()
        self.broken.clear()
        self.raw.clear()


class Recording:
    """A stream that keeps a copy of what was read from it."""

    def __init__(self, stream, into):
        self.stream, self.into = stream, into

    def readline(self, limit=-1):
        data = self.stream.readline(limit)
        self.into += data
        return data

    def read(self, count):
        data = self.stream.read(count)
        self.into += data
        return data


def chunked(*pieces, headers=b"", trailers=b""):
    """A chunked response."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + headers + b"\r\n" + body + b"0\r\n" + trailers + b"\r\n"


def chunks(*pieces, trailers=b""):
    """The body alone."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"
