"""A client and an origin of HTTP/2 on the `h2` package, for tests that look at single streams and frames."""

import contextlib
import socket
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from harness import SLOWNESS


class ClientStream:
    """What a client has seen of one response. `reset` is the code of a RST_STREAM."""

    def __init__(self, stream_id, greedy):
        self.id, self.greedy = stream_id, greedy
        self.status, self.headers, self.trailers = None, {}, {}
        self.body, self.held = b"", 0
        self.ended, self.reset = False, None


class H2Client:
    """One connection to the proxy, read only while a method runs. Windows of streams have 65535 bytes and are renewed at once."""

    def __init__(self, port, connection_window=None, slowly=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30 * SLOWNESS)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        # For the package a first GOAWAY is the end of everything; in truth, streams go on.
        machine = self.connection.state_machine
        going = (h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY)
        machine._transitions = {**machine._transitions, going: (None, h2.connection.ConnectionState.CLIENT_OPEN)}
        self.connection.initiate_connection()
        if connection_window:
            self.connection.increment_flow_control_window(connection_window)
        self.streams, self.goaways, self.closed = {}, [], False
        data = self.connection.data_to_send()
        for piece in [data[at:at + 1] for at in range(len(data))] if slowly else [data]:
            self.socket.sendall(piece)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def flush(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self.connection.data_to_send())

    def request(self, method, path, body=b"", end=True, trailers=None, greedy=True, headers=()):
        """Begins one; bodies are for tests that fit into a window."""
        stream = ClientStream(self.connection.get_next_available_stream_id(), greedy)
        self.streams[stream.id] = stream
        fields = [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path), *headers]
        self.connection.send_headers(stream.id, fields, end_stream=end and not body and not trailers)
        if body:
            self.connection.send_data(stream.id, body, end_stream=end and not trailers)
        if trailers:
            self.connection.send_headers(stream.id, trailers, end_stream=True)
        self.flush()
        return stream

    def get(self, path):
        stream = self.request("GET", path)
        self.run_until(lambda: stream.ended or stream.reset is not None)
        return stream

    def cancel(self, stream):
        self.connection.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def read_on(self, stream):
        stream.greedy = True
        self.connection.increment_flow_control_window(stream.held, stream.id)
        self.flush()

    def run_until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds * SLOWNESS
        while not condition():
            assert time.monotonic() < deadline and not self.closed, "waited in vain"
            data = self.socket.recv(65536)
            self.closed = not data
            for event in self.connection.receive_data(data):
                self.on_event(event)
            self.flush()

    def on_event(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(event.last_stream_id)
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
            stream.status = int(stream.headers[":status"])
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if not event.flow_controlled_length:
                return
            self.connection.increment_flow_control_window(event.flow_controlled_length)
            if not stream.greedy:
                stream.held += event.flow_controlled_length
            elif event.stream_ended is None:
                with contextlib.suppress(h2.exceptions.StreamClosedError):  # by a frame behind this one
                    self.connection.increment_flow_control_window(event.flow_controlled_length, stream.id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)


class OriginStream:
    """One request at the origin, and the way to answer it from any thread."""

    def __init__(self, owner, stream_id, headers):
        self.owner, self.id = owner, stream_id
        self.headers = dict(headers)
        self.method, self.path = self.headers[":method"], self.headers[":path"]
        self.body, self.trailers, self.queue, self.last, self.ended = b"", {}, b"", None, False

    def answer(self, status, body, trailers=None):
        with self.owner.lock:
            self.owner.connection.send_headers(self.id, [(":status", str(status)), ("content-length", str(len(body)))])
            self.queue, self.last = body, trailers or []
            self.owner.pump(self)
            self.owner.flush()

    def begin(self, status):
        """The head alone."""
        with self.owner.lock:
            self.owner.connection.send_headers(self.id, [(":status", str(status))])
            self.owner.flush()

    def send(self, data, end=False):
        """Behind begin(), and small enough for the windows."""
        with self.owner.lock:
            self.owner.connection.send_data(self.id, data, end_stream=end)
            self.owner.flush()

    def refuse(self, code=h2.errors.ErrorCodes.REFUSED_STREAM):
        with self.owner.lock:
            self.owner.connection.reset_stream(self.id, code)
            self.owner.flush()

    def goaway(self):
        """By hand: the package would take it for the end of everything."""
        with self.owner.lock:
            payload = self.id.to_bytes(4, "big") + bytes(4)
            self.owner.socket.sendall(len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload)


class OriginConnection:
    def __init__(self, server, connected):
        self.server, self.socket, self.lock = server, connected, threading.RLock()
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        if server.settings:
            self.connection.local_settings = h2.settings.Settings(client=False, initial_values=server.settings)
        self.streams = {}

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def pump(self, stream):
        """As much of the answer as the windows take."""
        while stream.last is not None:
            room = min(self.connection.local_flow_control_window(stream.id), self.connection.max_outbound_frame_size)
            if room <= 0 and stream.queue:
                return
            piece, stream.queue = stream.queue[:room], stream.queue[room:]
            done = not stream.queue
            self.connection.send_data(stream.id, piece, end_stream=done and not stream.last)
            if done and stream.last:
                self.connection.send_headers(stream.id, stream.last, end_stream=True)
            if done:
                stream.last = None

    def run(self):
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), self.socket:
            with self.lock:
                self.connection.initiate_connection()
                self.flush()
            while data := self.socket.recv(65536):
                with self.lock:
                    for event in self.connection.receive_data(data):
                        self.on_event(event)
                    for stream in list(self.streams.values()):
                        self.pump(stream)
                    self.flush()

    def on_event(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = OriginStream(self, event.stream_id, event.headers)
            if self.server.at == "head":
                self.server.respond(stream)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamReset):
            self.server.resets.append(int(event.error_code))
            self.streams.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
            if self.server.at == "end":
                self.server.respond(stream)


class H2Origin:
    """A server of HTTP/2 by prior knowledge; respond(stream) is called when the request is whole, or at its "head".
    `settings` are those that it announces beside the usual ones."""

    def __init__(self, respond, at="end", settings=None):
        self.settings = settings
        self.respond, self.at, self.accepted, self.resets, self.sockets = respond, at, 0, [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self.sockets.append(connected)
            threading.Thread(target=OriginConnection(self, connected).run, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connected in self.sockets:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
