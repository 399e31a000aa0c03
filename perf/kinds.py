"""What the configurations of a kind have in common, whichever proxy it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    clients: str = "h1"         # protocol of the clients: h1, h2 (by prior knowledge), tcp
    backend: str = "h1"         # protocol towards the backend
    grpc: bool = False
    tls: bool = False           # of the clients
    mutual: bool = False        # and both sides show certificates, towards the backend, too
    tickets: bool = False       # sessions may be resumed
    log: bool = False           # an access log to a file
    many: bool = False          # 1,000 routes and clusters instead of one
    websocket: bool = False     # HTTP/1 connections may become WebSockets
    inspected: bool = False     # and Ringside reads their frames
    mongo: bool = False         # TCP with a filter for MongoDB, where there is one
    service: str = ""           # of the backend: http, unless it says otherwise
    buffers: int = 0            # bytes; of larger buffers than the default, where these pay


LARGE = 32768
KINDS = {
    "http": Kind(),
    "http-log": Kind(log=True),
    "http-bodies": Kind(buffers=LARGE),
    "scale": Kind(many=True),
    "h2-h2": Kind(clients="h2", backend="h2"),
    "h2-h1": Kind(clients="h2"),
    "grpc": Kind(clients="h2", backend="h2", grpc=True),
    "tls-h1": Kind(tls=True),
    "tls-resume": Kind(tls=True, tickets=True),
    "tls-bodies": Kind(tls=True, buffers=2 * LARGE),
    "mtls-h1": Kind(tls=True, mutual=True),
    "ws": Kind(websocket=True),
    "ws-inspected": Kind(websocket=True, inspected=True),
    "ws-bodies": Kind(websocket=True, buffers=LARGE),
    "tcp-echo": Kind(clients="tcp", backend="tcp", service="echo"),
    "tcp-source": Kind(clients="tcp", backend="tcp", service="source", buffers=262144),
    "tcp-sink": Kind(clients="tcp", backend="tcp", service="sink", buffers=262144),
    "mongo": Kind(clients="tcp", backend="tcp", service="mongo", mongo=True),
    "mongo-tcp": Kind(clients="tcp", backend="tcp", service="mongo"),
}


@dataclass(frozen=True)
class Ports:
    listen: int
    http: int
    echo: int
    source: int
    sink: int
    h2: int
    https: int
    mongo: int

    def upstream(self, kind):
        """Where the backend serves what this kind needs."""
        if KINDS[kind].service:
            return getattr(self, KINDS[kind].service)
        return self.https if KINDS[kind].mutual else self.h2 if KINDS[kind].backend == "h2" else self.http


SAMPLE_PORTS = Ports(*range(10000, 10008))
