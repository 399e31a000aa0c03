"""The part of the benchmark that needs no proxy: medians, ratios, targets, the report, the configurations."""

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "perf"))

import certificates  # noqa: E402
import kinds  # noqa: E402
import measure  # noqa: E402
import plots  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402
import summary  # noqa: E402
import trials  # noqa: E402


def trial(scenario, peer, round_number, **values):
    if "cpu_us" in values:
        values.setdefault("efficiency", 1e6 / values["cpu_us"])
    return {"scenario": scenario, "peer": peer, "round": round_number, **values}


def run_of(found, rounds=5):
    chosen = {entry["scenario"] for entry in found}
    return {
        "time": "2024-01-01 00:00:00", "versions": {"ringside": "Ringside <1>"},
        "machine": {"cpu": "a <cpu>", "virtual_machine": True, "kernel": "6.1"},
        "settings": {"rounds": rounds, "quick": False, "duration_ms": 1600, "idle_connections": 10000},
        "scenarios": {s.name: {} for s in scenarios.SCENARIOS if s.name in chosen},
        "configurations": {"http": {"ringside": "a: <b>"}}, "trials": found,
    }


def small_run():
    """The machine halves its speed in rounds 2 and 4; ringside is 4 times as fast as envoy all the time."""
    found = []
    for round_number in range(1, 6):
        slow = 2 if round_number % 2 == 0 else 1
        for peer, cost in (("ringside", 10), ("envoy", 40), ("haproxy", 20), ("nginx", 25), ("limit", 8)):
            found.append(trial("http1-small", peer, round_number, cpu_us=cost * slow))
            found.append(trial("http1-resp-64k", peer, round_number, cpu_us=cost * slow * 3))
            found.append(trial("openloop-5k", peer, round_number, cpu_us=cost * slow, histogram_us=[[100, 10, 90], [1000, 100, 10]],
                               latency_us={"p50": 100 + cost, "p90": 150, "p99": 1000 + cost, "p99.9": 1100}))
    found.append(trial("start", "ringside", 1, rss_mb=7.5, ready_ms=20))
    found.append(trial("start-1000", "ringside", 1, rss_mb=16.5, ready_ms=20))
    found.append(trial("http1-small", "ringside-epoll", 1, error="it <broke>"))
    return run_of(found)


def test_ratios_are_taken_within_a_round():
    results = summary.Results(small_run())
    assert results.ratios("http1-small", "efficiency", "ringside", "envoy") == pytest.approx([4.0] * 5)
    assert results.ratios("http1-resp-64k", "efficiency", "ringside", "best") == pytest.approx([2.0] * 5)
    assert results.ratios("http1-small", "cpu_us", "ringside", "limit") == pytest.approx([1.25] * 5)
    assert results.median("http1-small", "ringside", "cpu_us") == 10


def test_best_of_three_needs_all_three():
    data = run_of([trial("http1-resp-64k", peer, 1, cpu_us=10) for peer in ("ringside", "envoy", "nginx")])
    assert summary.Results(data).ratios("http1-resp-64k", "efficiency", "ringside", "best") == []


def test_another_scenario_is_compared_within_a_round():
    found = []
    for number, slower in ((1, 1), (2, 10)):
        found += [trial("ws-echo", "ringside", number, cpu_us=4.0 * slower), trial("ws-echo", "nginx", number, cpu_us=1.0),
                  trial("ws-echo-inspected", "ringside", number, cpu_us=4.4 * slower)]
    found += [trial("ws-echo-inspected", "ringside", 3, cpu_us=100.0)]  # a round that was interrupted
    results = summary.Results(run_of(found))
    assert results.ratios("ws-echo-inspected", "cpu_us", "ringside", "ws-echo") == pytest.approx([1.1, 1.1])
    assert [check["passed"] for check in results.checks() if check["target"].scenario == "ws-echo-inspected"] == [True]


def test_targets():
    checks = {(c["target"].scenario, c["target"].metric, c["target"].against): c["passed"] for c in summary.Results(small_run()).checks()}
    assert checks["http1-small", "efficiency", "envoy"] is True
    assert checks["http1-small", "cpu_us", "limit"] is True
    assert checks["openloop-5k", "p99", "haproxy"] is True
    assert checks["start", "rss_mb", ""] is True
    assert checks["start-1000", "rss_mb", ""] is False
    assert "scale-1000" not in {scenario for scenario, _, _ in checks}


def test_a_failed_trial_counts_nowhere():
    results = summary.Results(small_run())
    assert results.values("http1-small", "ringside-epoll", "cpu_us") == []
    assert [entry["peer"] for entry in results.errors()] == ["ringside-epoll"]
    assert "1 trials failed" in summary.targets_text(results.data)


def test_table_has_every_scenario():
    text = summary.table(small_run())
    for name in ("http1-small", "http1-resp-64k", "openloop-5k", "start"):
        assert re.search(rf"^{name} ", text, re.MULTILINE), text


class Balanced(HTMLParser):
    """Notes what is opened and not closed, of the elements that must be."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag in ("svg", "div", "details", "table", "style", "pre"):
            self.open.append(tag)
        for name, value in attributes:
            assert name not in ("src", "href"), f"<{tag} {name}={value}>: the report stands alone"

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_report_stands_alone_and_escapes():
    text = report.render(small_run())
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert text.count("<svg") >= 5
    assert "a &lt;cpu&gt;" in text and "it &lt;broke&gt;" in text and "a: &lt;b&gt;" in text
    assert "prefers-color-scheme: dark" in text


def test_report_of_an_interrupted_run():
    assert "Ringside beside" in report.render(run_of([]))
    one = run_of([trial("http1-small", "envoy", 1, cpu_us=40)], rounds=1)
    assert "http1-small" in report.render(one)
    assert summary.targets_text(one) == ""


def test_quantile_of_a_histogram():
    cells = [(0, 10, 50), (100, 100, 50)]
    assert plots.quantile(cells, 0.25) == pytest.approx(5)
    assert plots.quantile(cells, 0.75) == pytest.approx(150)
    assert plots.quantile(cells, 1.0) == pytest.approx(200)


def test_scenarios_by_name():
    assert [s.name for s in scenarios.by_name("tcp-pp-*")] == ["tcp-pp-100", "tcp-pp-1k"]
    assert len(scenarios.by_name(None)) == len(scenarios.SCENARIOS)
    with pytest.raises(ValueError, match="no scenario"):
        scenarios.by_name("http1-smal")
    assert {target.scenario for target in scenarios.TARGETS} <= {s.name for s in scenarios.SCENARIOS}


def test_every_kind_has_a_configuration(tmp_path):
    ports = kinds.Ports(*measure.free_ports(8))
    keys = certificates.Certificates(tmp_path / "keys")
    for kind in dict.fromkeys(s.kind for s in scenarios.SCENARIOS):
        bootstrap = proxies.envoy_bootstrap(kind, ports, tmp_path / "log", keys)
        clusters = bootstrap["static_resources"]["clusters"]
        assert len(clusters) == (proxies.ROUTES if kind == "scale" else 1)
        assert json.dumps(ports.upstream(kind)) in json.dumps(clusters[0])
        assert ("typed_extension_protocol_options" in clusters[0]) == (kinds.KINDS[kind].backend == "h2")
        assert ("transport_socket" in clusters[0]) == kinds.KINDS[kind].mutual
        assert ("transport_socket" in bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]) == kinds.KINDS[kind].tls
        for peer in (proxies.Haproxy(), proxies.Nginx()):
            setup = peer.setup(kind, ports, tmp_path, keys)
            assert f":{ports.listen}" in setup.config and f":{ports.upstream(kind)}" in setup.config
            assert (str(keys.folder) in setup.config) == kinds.KINDS[kind].tls
    assert {scenario.kind for scenario in scenarios.SCENARIOS} == set(kinds.KINDS)


def test_certificates_are_for_their_names(tmp_path):
    keys = certificates.Certificates(tmp_path).make()

    def openssl(*words):
        return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)

    for name, purpose, host in (("proxy", "sslserver", "bench.test"), ("backend", "sslserver", "backend.test"),
                                ("client", "sslclient", "client.test"), ("upstream", "sslclient", "proxy.test")):
        check = ("verify", "-CAfile", keys.authority, "-purpose", purpose, "-verify_hostname")
        assert openssl(*check, host, keys.chain(name)).returncode == 0
        assert openssl(*check, "other.test", keys.chain(name)).returncode != 0
        assert "prime256v1" in openssl("x509", "-in", keys.both(name), "-noout", "-text").stdout
    assert openssl("verify", "-CAfile", keys.authority, "-purpose", "sslserver", keys.chain("client")).returncode != 0


def test_handshakes_must_be_of_the_kind_that_is_measured():
    full, resumed = (scenarios.by_name(name)[0] for name in ("tls-handshake", "tls-resume"))
    trials.check_handshakes({"full": 900, "resumed": 0}, full)
    with pytest.raises(measure.TrialError, match="1 sessions were resumed"):
        trials.check_handshakes({"full": 900, "resumed": 1}, full)
    trials.check_handshakes({"full": 40, "resumed": 900}, resumed)
    with pytest.raises(measure.TrialError, match="900 handshakes were full"):
        trials.check_handshakes({"full": 900, "resumed": 40}, resumed)


def test_a_program_ends_with_its_block(tmp_path):
    with measure.Program(["/bin/sh", "-c", "sleep 60 & exec sleep 60"], 0, tmp_path, "sleeper") as program:
        pids = program.pids(least=2)
        assert measure.rss_bytes(pids) > 0
    deadline = time.monotonic() + 10  # the kill has been sent; when it works is up to the scheduler
    while any(Path(f"/proc/{pid}/cwd").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_program_that_ends_early_is_told(tmp_path):
    with measure.Program(["/bin/sh", "-c", "echo it is broken; exit 3"], 0, tmp_path, "broken") as program:
        program.process.wait(10)
        with pytest.raises(measure.TrialError, match="broken ended with 3: it is broken"):
            program.check_alive()


def test_digest_of_a_result():
    scenario = scenarios.by_name("http1-small")[0]
    result = {"requests": 1000, "bytes": 1024000, "seconds": 2.0, "ring": "io_uring", "latency_us": {"p50": 1}, "rss_bytes": 5_000_000,
              "generator": {"cpu_ns": 1_000_000_000, "cpu_wait_ns": 0},
              "proxy": {"cpu_ns": 20_000_000, "cpu_wait_ns": 0, "timeslices": 500, "user_ticks": 1, "kernel_ticks": 3}}
    found = trials.digest(result, scenario)
    assert (found["cpu_us"], found["per_second"], found["busy"], found["kernel_share"]) == (20.0, 500.0, 0.01, 0.75)
    assert found["efficiency"] == pytest.approx(50_000)
    assert not found["disturbed"]
