"""Clients that look at a proxy once, before the load: HTTP/1 and HTTP/2, with TLS or without, each on one connection."""

import http.client
import socket
import ssl

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
