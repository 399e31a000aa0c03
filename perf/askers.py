"""Clients that look at a proxy once, before the load: HTTP/1 and HTTP/2, with TLS or without, WebSocket, MongoDB, each on one
connection.
"""

import base64
import hashlib
import http.client
import os
import socket
import ssl
import struct

from certificates import CLIENT_SIDE_NAME


def tls_client(certificates, name=CLIENT_SIDE_NAME, client=None):
    """A function that wraps a socket: the other end must be `name`; `client` is the certificate that is shown."""
    context = ssl.create_default_context(cafile=certificates.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if client:
        context.load_cert_chain(certificates.chain(client), certificates.key(client))
    return lambda plain: context.wrap_socket(plain, server_hostname=name)


class H1Asker:
    def __init__(self, port, wrap=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        plain = socket.create_connection(("127.0.0.1", port), 10)
        self.connection.sock = self.opened = wrap(plain) if wrap else plain

    def ask(self, path, body=None):
        """(status, headers, body)"""
        try:
            self.connection.request("POST" if body is not None else "GET", path, body=body, headers={"Host": "bench.test"})
            answer = self.connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from None

    def kept(self):
        """All went over the first connection, and it is open."""
        return self.connection.sock is self.opened

    def close(self):
        self.connection.close()


class H2Asker:
    """One request at a time, by prior knowledge."""

    WINDOW = 1 << 24

    def __init__(self, port, wrap=None):
        import h2.config  # a package; who only renders a report does not need it
        import h2.connection
        import h2.settings

        plain = socket.create_connection(("127.0.0.1", port), 10)
        self.socket = wrap(plain) if wrap else plain
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.WINDOW})
        self.h2.increment_flow_control_window(self.WINDOW)
        self.ended = False

    def ask(self, path, body=None):
        status, headers, got, _ = self.exchange(path, body)
        return status, headers, got

    def exchange(self, path, body=None, extra=()):
        """(status, headers, body, trailers)"""
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", "POST" if body is not None else "GET"), (":scheme", "http"), (":path", path), (":authority", "bench.test")]
        self.h2.send_headers(stream, [*head, *extra], end_stream=body is None)
        if body is not None:  # as much as fits into the windows that every server gives
            size = self.h2.max_outbound_frame_size
            for at in range(0, len(body), size):
                self.h2.send_data(stream, body[at:at + size], end_stream=at + size >= len(body))
        return self._read(stream)

    def _read(self, stream):
        import h2.events
        import h2.exceptions

        headers, trailers, body = {}, {}, b""
        while True:
            self.socket.sendall(self.h2.data_to_send())
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise OSError("the connection ended before the answer")
            try:
                events = self.h2.receive_data(piece)
            except h2.exceptions.ProtocolError as error:
                raise OSError(f"no HTTP/2 answer: {error!r}") from None
            for event in events:
                if isinstance(event, h2.events.ResponseReceived):
                    headers = dict(event.headers)
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamReset):
                    raise OSError(f"RST_STREAM with code {event.error_code}")
                elif isinstance(event, h2.events.ConnectionTerminated):
                    self.ended = True
                elif isinstance(event, h2.events.StreamEnded):
                    self.socket.sendall(self.h2.data_to_send())
                    return int(headers.get(":status", 0)), headers, body, trailers

    def kept(self):
        return not self.ended

    def close(self):
        self.socket.close()


class Stream:
    """Bytes of a socket that are read to a length or a mark."""

    def __init__(self, port):
        self.socket, self.kept = socket.create_connection(("127.0.0.1", port), 10), b""

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise OSError("the connection ended before the answer")
        self.kept += piece

    def take(self, size):
        while len(self.kept) < size:
            self.more()
        found, self.kept = self.kept[:size], self.kept[size:]
        return found

    def take_head(self):
        while b"\r\n\r\n" not in self.kept:
            self.more()
        return self.take(self.kept.index(b"\r\n\r\n") + 4).decode()

    def at_end(self):
        """The other end closes, and nothing is left."""
        return not self.kept and self.socket.recv(1) == b""

    def close(self):
        self.socket.close()


class WsAsker(Stream):
    TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

    def __init__(self, port, path="/api/socket"):
        super().__init__(port)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send((f"GET {path} HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        status, *lines = self.take_head().strip().split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.agreed = self.status == 101 and self.headers.get("sec-websocket-accept") == base64.b64encode(digest).decode()

    def say(self, opcode, payload):
        size, mask = len(payload), os.urandom(4)
        length = bytes([128 | size]) if size < 126 else struct.pack(">BH", 254, size) if size < 65536 else struct.pack(">BQ", 255, size)
        whole = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
        self.send(bytes([128 | opcode]) + length + mask + masked)

    def hear(self):
        """(opcode, payload) of a frame that is a message of its own"""
        first, size = self.take(2)
        if not first & 128 or size & 128:
            raise OSError("a fragment, or a masked frame from a server")
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        return first & 15, self.take(size)

    def echo(self, opcode, payload):
        self.say(opcode, payload)
        return self.hear()


def bson(fields):
    """A document; text, whole numbers and documents only."""
    out = b""
    for name, value in fields.items():
        kind, data = ((b"\x03", bson(value)) if isinstance(value, dict) else (b"\x10", struct.pack("<i", value)) if isinstance(value, int)
                      else (b"\x02", struct.pack("<i", len(value) + 1) + value.encode() + b"\0"))
        out += kind + name.encode() + b"\0" + data
    return struct.pack("<i", len(out) + 5) + out + b"\0"


class MongoAsker(Stream):
    OP_QUERY, OP_MSG = 2004, 2013

    def __init__(self, port):
        super().__init__(port)
        self.last_id = 0

    def exchange(self, op, body):
        """(op, body) of the answer, which names the request."""
        self.last_id += 1
        self.send(struct.pack("<4i", 16 + len(body), self.last_id, 0, op) + body)
        size, _, answered, answer_op = struct.unpack("<4i", self.take(16))
        if answered != self.last_id:
            raise OSError(f"the answer is to {answered}, not to {self.last_id}")
        return answer_op, self.take(size - 16)

    def query(self, name_space, fields):
        return self.exchange(self.OP_QUERY, struct.pack("<i", 0) + name_space.encode() + b"\0" + struct.pack("<2i", 0, -1) + bson(fields))

    def command(self, fields):
        return self.exchange(self.OP_MSG, struct.pack("<iB", 0, 0) + bson(fields))
