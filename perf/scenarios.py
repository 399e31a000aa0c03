"""What is measured, and what must be reached."""

from dataclasses import dataclass

SMALL = ("--path", "/api/items/1024")
PEERS = ("envoy", "haproxy", "nginx")  # those that we are compared with


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    kind: str                 # of configuration, see kinds.py
    load: tuple = ()          # arguments of ringside-load
    unit: str = "request"     # or MB: what CPU time is divided by
    shape: str = "window"     # how it is measured: window, idle, start
    connections: int = 64
    direct: bool = False      # also without any proxy
    limit: bool = False       # also the bare loop
    stretch: float = 1.0      # of the measured window
    service: str = "http"     # of the backend that is the target when there is no proxy
    only: tuple = ()          # these proxies; all when empty

    @property
    def is_open_loop(self):
        return "http-open" in self.load


def open_loop(rate):
    return Scenario(f"openloop-{rate // 1000}k", f"open loop, {rate:,} GETs/s of 1 KB, Poisson", "http",
                    ("--mode", "http-open", "--rate", str(rate)) + SMALL, direct=True, stretch=2.0)


def ping(name, size):
    return Scenario(f"tcp-pp-{name}", f"TCP, {size} B back and forth, 64 connections", "tcp-echo",
                    ("--mode", "ping", "--message", str(size)), direct=True, service="echo")


def h2_load(streams, *more):
    return ("--protocol", "h2", "--streams", str(streams), *(more or SMALL))


OURS = ("ringside", "ringside-epoll")


def websocket(name, title, kind, message=64, **fields):
    return Scenario(name, title, kind, ("--mode", "ws", "--path", "/api/socket", "--message", str(message)), **fields)


def mongo(name, title, kind, *more, **fields):
    return Scenario(name, title, kind, ("--mode", "mongo", *more), service="mongo", **fields)


SCENARIOS = (
    Scenario("http1-small", "keep-alive GETs of 1 KB, 64 connections", "http", SMALL, direct=True, limit=True),
    Scenario("http1-small-256c", "the same over 256 connections", "http", SMALL, connections=256, direct=True, limit=True),
    Scenario("http1-small-log", "with the access log to a file", "http-log", SMALL),
    Scenario("scale-1000", "1,000 routes and clusters, all requests for the last", "scale", ("--path", "/svc-0999/items/1024")),
    Scenario("scale-1000-spread", "1,000 routes and clusters, requests over all", "scale",
             ("--path", "/svc-#/items/1024", "--path-count", "1000")),
    Scenario("http1-post-64k", "POSTs of 64 KB", "http-bodies", ("--path", "/api/upload/16", "--body", "65536"), direct=True),
    Scenario("http1-resp-64k", "responses of 64 KB", "http-bodies", ("--path", "/api/items/65536"), direct=True),
    Scenario("http1-resp-1m", "responses of 1 MB, 16 connections", "http-bodies", ("--path", "/api/items/1048576"), unit="MB",
             connections=16, direct=True),
    ping("100", 100),
    ping("1k", 1024),
    Scenario("tcp-bulk-down", "TCP, all that goes, to the client, 8 connections", "tcp-source", ("--mode", "bulk-down"), unit="MB",
             connections=8, direct=True, service="source"),
    Scenario("tcp-bulk-up", "TCP, all that goes, from the client, 8 connections", "tcp-sink", ("--mode", "bulk-up"), unit="MB",
             connections=8, direct=True, service="sink"),
    Scenario("h1-newconn", "a new connection for each GET, 32 at a time", "http", ("--mode", "http-churn") + SMALL, connections=32,
             direct=True),
    open_loop(5000),
    open_loop(10000),
    Scenario("h2-h2-small", "HTTP/2 both ways, GETs of 1 KB, 10 connections with 50 streams", "h2-h2", h2_load(50), connections=10,
             direct=True, service="h2"),
    Scenario("h2-h1-small", "HTTP/2 from the clients, HTTP/1 to the backend", "h2-h1", h2_load(50), connections=10),
    Scenario("h2-h2-1x100", "HTTP/2 both ways, one connection with 100 streams", "h2-h2", h2_load(100), connections=1, direct=True,
             service="h2"),
    Scenario("grpc-unary", "gRPC, calls with 32 bytes, 10 connections with 50 streams", "grpc", h2_load(50, "--grpc"), connections=10,
             direct=True, service="h2"),
    Scenario("tls-h1-small", "GETs of 1 KB over TLS, 64 connections", "tls-h1", ("--tls",) + SMALL),
    Scenario("tls-resp-1m", "responses of 1 MB over TLS, 16 connections", "tls-bodies", ("--tls", "--path", "/api/items/1048576"),
             unit="MB", connections=16),
    Scenario("tls-handshake", "a full handshake for each GET, 32 at a time", "tls-h1", ("--tls", "--mode", "http-churn") + SMALL,
             connections=32),
    Scenario("tls-resume", "a resumed handshake for each GET, 32 at a time", "tls-resume",
             ("--tls", "--resume", "always", "--mode", "http-churn") + SMALL, connections=32),
    Scenario("mtls-both-h1", "GETs of 1 KB, certificates on all four sides, 64 connections", "mtls-h1", ("--tls",) + SMALL),
    websocket("ws-echo", "WebSocket, 64 B back and forth, 64 connections", "ws", direct=True),
    websocket("ws-echo-inspected", "the same with the frames inspected", "ws-inspected", only=OURS),
    websocket("ws-1m", "WebSocket, messages of 1 MB back and forth, 16 connections", "ws-bodies", message=1 << 20, unit="MB",
              connections=16, direct=True),
    mongo("mongo-find", "MongoDB, finds of small documents, 64 connections", "mongo", direct=True),
    mongo("mongo-find-tcp", "the same as plain TCP", "mongo-tcp", only=(*OURS, "envoy")),
    mongo("mongo-find-legacy", "the same with OP_QUERY, which Envoy's filter can read", "mongo", "--find", "query"),
    Scenario("ws-idle-10k", "10,000 idle WebSockets that have had a message each", "ws",
             ("--mode", "ws-idle", "--path", "/api/socket"), shape="idle", connections=10000),
    Scenario("idle-10k", "10,000 idle connections that have had a request each", "http", ("--mode", "http-idle") + SMALL, shape="idle",
             connections=10000),
    Scenario("idle-h2-10k", "the same with HTTP/2", "h2-h1", ("--mode", "http-idle") + h2_load(1), shape="idle", connections=10000),
    Scenario("idle-tls-2k", "2,000 idle TLS connections that have had a request each", "tls-h1", ("--tls", "--mode", "http-idle") + SMALL,
             shape="idle", connections=2000),
    Scenario("start", "start-up: memory, time to the first answer", "http", shape="start"),
    Scenario("start-1000", "start-up with 1,000 routes and clusters", "scale", shape="start"),
)


@dataclass(frozen=True)
class Target:
    """What `ringside` must reach. Ratios are the median over the rounds of the ratio within a round."""

    scenario: str
    metric: str   # efficiency (units per CPU-second), cpu_us, p50, p99: ratios; rss_mb, ready_ms, idle_bytes: plain
    against: str  # a peer, "best" of the three, "limit", or ringside in another scenario; "" for plain values
    sign: str     # ">=" or "<="
    value: float


def at_least(value, scenario, *against):
    return [Target(scenario, "efficiency", peer, ">=", value) for peer in against]


def latency_targets(scenario):
    """p50 and p99 no worse than HAProxy's and nginx's, at less CPU."""
    no_worse = [Target(scenario, metric, peer, "<=", 1.0) for metric in ("p50", "p99") for peer in ("haproxy", "nginx")]
    return no_worse + at_least(1.0, scenario, "haproxy", "nginx")


TARGETS = (
    Target("http1-small", "cpu_us", "limit", "<=", 1.6),
    *at_least(3.0, "http1-small", "envoy"),
    *at_least(1.3, "http1-small", "haproxy", "nginx"),
    *at_least(4.0, "http1-small-256c", "envoy"),
    *at_least(3.0, "http1-small-log", "envoy"),
    *at_least(5.5, "scale-1000", "envoy"),
    *at_least(1.3, "scale-1000", "haproxy"),
    *at_least(1.3, "http1-post-64k", "best"),
    *at_least(1.3, "http1-resp-64k", "best"),
    *at_least(1.3, "http1-resp-1m", "best"),
    *at_least(1.1, "tcp-pp-100", "haproxy", "nginx"),
    *at_least(1.1, "tcp-pp-1k", "haproxy", "nginx"),
    *at_least(1.3, "tcp-bulk-down", "envoy"),
    *at_least(1.3, "tcp-bulk-up", "envoy"),
    *at_least(1.1, "h1-newconn", "nginx"),
    *at_least(3.0, "h2-h2-small", "envoy"),
    *at_least(1.5, "h2-h2-small", "haproxy"),
    *at_least(3.0, "h2-h1-small", "envoy"),
    *at_least(1.5, "h2-h1-small", "haproxy"),
    *at_least(2.2, "h2-h2-1x100", "envoy"),
    *at_least(3.0, "grpc-unary", "envoy"),
    *at_least(1.8, "grpc-unary", "haproxy"),
    *at_least(2.7, "tls-h1-small", "envoy"),
    *at_least(1.1, "tls-h1-small", "nginx"),
    *at_least(1.1, "tls-resp-1m", "haproxy"),
    *at_least(1.05, "tls-handshake", "nginx"),
    *at_least(1.0, "tls-resume", "best"),
    *at_least(2.5, "mtls-both-h1", "envoy"),
    *at_least(1.1, "mtls-both-h1", "nginx"),
    *at_least(1.05, "ws-echo", "nginx"),
    Target("ws-echo-inspected", "cpu_us", "ws-echo", "<=", 1.15),
    *at_least(1.4, "mongo-find", "envoy"),
    *at_least(0.9, "mongo-find", "mongo-find-tcp"),
    *latency_targets("openloop-5k"),
    *latency_targets("openloop-10k"),
    Target("start", "rss_mb", "", "<=", 8.0),
    Target("ws-idle-10k", "idle_bytes", "", "<=", 512.0),
    Target("idle-10k", "idle_bytes", "", "<=", 512.0),
    Target("idle-h2-10k", "idle_bytes", "", "<=", 3072.0),
    Target("idle-tls-2k", "idle_bytes", "", "<=", 12288.0),
    Target("start-1000", "rss_mb", "", "<=", 15.0),
    Target("start-1000", "ready_ms", "", "<=", 100.0),
)


def by_name(names):
    """The scenarios of a comma-separated list; a name may end with '*'."""
    if not names:
        return list(SCENARIOS)
    chosen = []
    for name in names.split(","):
        found = [s for s in SCENARIOS if s.name == name or (name.endswith("*") and s.name.startswith(name[:-1]))]
        if not found:
            raise ValueError(f"no scenario {name!r}; there are {', '.join(s.name for s in SCENARIOS)}")
        chosen += [scenario for scenario in found if scenario not in chosen]
    return chosen
