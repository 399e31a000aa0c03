"""The interop suite of gRPC itself: the official client and server of grpc-go, with the proxy between them, in plain text and TLS
on either leg. A case counts only when it passes without a proxy as well."""

import concurrent.futures
import os
import shutil
import subprocess

import harness
import peers
import pytest
from harness import cluster, http_listener, route
from http2_test import upstream_http2
from tls_proxy_test import EC, common, downstream, openssl, sign, upstream_tls

VERSION = "v1.85.0"
PROGRAMS = harness.ROOT / "build" / f"grpc-interop-{VERSION}"
TIME = 60 * harness.SLOWNESS
NAME = "server.test"

# All that grpc-go offers, but for credentials of a cloud, and orca_* and pick_first_unary, which need a server of their own.
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
         "cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
         "unimplemented_method", "unimplemented_service", "rpc_soak", "channel_soak"]


@pytest.fixture(scope="session")
def programs():
    """Folder of `client` and `server`, built once."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not (PROGRAMS / "server").exists():
        if not go:
            pytest.skip("Go is not installed")
        modules = [f"google.golang.org/grpc/interop/{program}@{VERSION}" for program in ("client", "server")]
        done = subprocess.run([go, "install", *modules], env={**os.environ, "GOBIN": str(PROGRAMS)}, capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            pytest.skip(f"grpc-go cannot be had here: {done.stderr[-500:]}")
    return PROGRAMS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates: ca.pem, and by it server.pem and server.key."""
    path = tmp_path_factory.mktemp("certificates")
    openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "3",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    sign(path, "server", f"DNS:{NAME}")
    return path


@pytest.fixture(scope="module")
def servers(programs, folder, tmp_path_factory):
    """The interop server in plain text and with TLS: {False: port, True: port}."""
    started = {}
    for tls in (False, True):
        port = harness.free_port()
        options = [f"--tls_cert_file={folder}/server.pem", f"--tls_key_file={folder}/server.key"] if tls else []
        started[tls] = peers.Peer(tmp_path_factory.mktemp("server"), [programs / "server", f"--port={port}", f"--use_tls={str(tls).lower()}",
                                                                      *options], port)
    yield {tls: server.port for tls, server in started.items()}
    for server in started.values():
        server.stop()


def failures(programs, folder, port, tls):
    """{case: what the client said}, of those that failed."""
    options = [f"--ca_file={folder}/ca.pem", "--use_test_ca=true", f"--server_host_override={NAME}"] if tls else []

    def run(case):
        done = subprocess.run([programs / "client", "--server_host=127.0.0.1", f"--server_port={port}", f"--test_case={case}",
                               f"--use_tls={str(tls).lower()}", *options], capture_output=True, text=True, timeout=TIME, check=False)
        return None if done.returncode == 0 else done.stderr[-1000:]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return {case: said for case, said in zip(CASES, pool.map(run, CASES)) if said is not None}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_directly(programs, folder, servers, tls):
    """Otherwise the other tests here tell nothing about the proxy."""
    assert failures(programs, folder, servers[tls], tls) == {}


@pytest.mark.parametrize("down_tls", [False, True], ids=["plain_down", "tls_down"])
@pytest.mark.parametrize("up_tls", [False, True], ids=["plain_up", "tls_up"])
def test_through_the_proxy(proxy, programs, folder, servers, down_tls, up_tls):
    listener = http_listener(harness.free_port(), [route(timeout="0s")])
    fields = upstream_http2()
    if down_tls:
        listener = downstream(listener, common(folder, "server", alpn_protocols=["h2"]))
    if up_tls:
        fields |= upstream_tls(common(folder, ca="ca", sans=[("DNS", NAME)], alpn_protocols=["h2"]), sni=NAME)
    running = proxy([listener], [cluster("origin", servers[up_tls], **fields)])
    assert failures(programs, folder, running.listen_ports["http"], down_tls) == {}
    assert running.stat("cluster.origin.upstream_rq_total") > len(CASES)
    assert running.stat("cluster.origin.upstream_cx_protocol_error") == 0
    assert running.stat("http.http.downstream_cx_protocol_error") == 0
