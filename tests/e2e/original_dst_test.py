"""Connections that the kernel redirected: the listener asks where they went. In a network of the test's own, with rules of nftables."""

import ctypes
import os
import shutil
import subprocess
import threading

import harness
import peers
import pytest
from filter_chain_test import FILTER, chain, decision, say
from harness import address, cluster

CLONE_NEWNET = 0x40000000
ORIGINAL_DST = {"name": "original", "typed_config": {"@type": FILTER + "original_dst.v3.OriginalDst"}}
RULES = """table ip here {{
  chain out {{ type nat hook output priority -100; tcp dport {{ 9100, 9200, 9300 }} redirect to :{port}; }}
}}"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"), reason="needs root, nft and ip")


def in_own_network(work):
    """Runs `work` in a thread that has a network of its own, as has all that it starts."""
    failures = []

    def run():
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
                return failures.append(pytest.skip.Exception("no network namespaces here"))
            for words in (["link", "set", "lo", "up"], ["address", "add", "10.1.1.1/32", "dev", "lo"]):
                subprocess.run(["ip", *words], check=True, timeout=20)
            work()
        except BaseException as failure:  # noqa: B902 (it goes on in the test's own thread)
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def listeners_on(port):
    """One that all rules lead to, and one without a socket that takes what went to its address."""
    return [{"name": "all", "address": address(port, "0.0.0.0"), "listener_filters": [ORIGINAL_DST], "use_original_dst": True,
             "filter_chains": [chain("chain0", {"destination_port": 9100})], "default_filter_chain": chain("default")},
            {"name": "own", "address": address(9200, "10.1.1.1"), "bind_to_port": False, "filter_chains": [chain("chain1")]}]


def decisions(port):
    rules = RULES.format(port=port)
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=20)
    try:
        return {(to, target): decision(target, {"to": to, "send": b"hello"})
                for to, target in (("127.0.0.1", port), ("127.0.0.1", 9100), ("10.1.1.1", 9100), ("10.1.1.1", 9200), ("127.0.0.1", 9200), ("10.1.1.1", 9300))}
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "here"], check=True, timeout=20)


def with_servers(work):
    servers = {name: harness.Upstream(say(name)) for name in ("chain0", "chain1", "default")}
    try:
        work([cluster(name, server.port) for name, server in servers.items()])
    finally:
        for server in servers.values():
            server.close()


def expected(port):
    return {("127.0.0.1", port): "default", ("127.0.0.1", 9100): "chain0", ("10.1.1.1", 9100): "chain0", ("10.1.1.1", 9200): "chain1",
            ("127.0.0.1", 9200): "default", ("10.1.1.1", 9300): "default"}


def test_redirected_connections_are_known(proxy):
    port = harness.free_port()

    def work(clusters):
        running = proxy(listeners_on(port), clusters)
        assert decisions(port) == expected(port)
        running.stop()  # its end is looked at from outside, where its admin port is not

    in_own_network(lambda: with_servers(work))


@pytest.mark.skipif(not peers.envoy_path(), reason="Envoy is not installed")
def test_envoy_does_the_same(tmp_path):
    port = harness.free_port()

    def work(clusters):
        running = peers.Envoy(tmp_path, listeners_on(port), clusters)
        try:
            assert decisions(port) == expected(port)
        finally:
            running.stop()

    in_own_network(lambda: with_servers(work))
