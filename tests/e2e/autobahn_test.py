"""The Autobahn test suite (its fuzzing client) against a server of websockets, without the proxy and through it: same verdicts.

It runs on Python 2.7 alone, which Debian 12 does not have; docs/testing.md says how to make one. RINGSIDE_WSTEST names its program."""

import contextlib
import json
import os
import subprocess
import threading

import harness
import pytest
from harness import cluster, http_listener, route, wait_until

pytest.importorskip("websockets", reason="a package of tests/e2e/requirements.txt is not installed")
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.server import serve  # noqa: E402

WSTEST = os.environ.get("RINGSIDE_WSTEST", "")
CASES = os.environ.get("RINGSIDE_WSTEST_CASES", "1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.1.*,9.2.*,9.7.*,9.8.*,10.*,12.1.1,12.1.3,13.1.1,13.3.1,13.7.1").split(",")

pytestmark = [
    pytest.mark.skipif(not WSTEST, reason="RINGSIDE_WSTEST does not name the wstest of an autobahntestsuite, which needs Python 2.7 (docs/testing.md)"),
    pytest.mark.timeout(1200 * harness.SLOWNESS),
]


@pytest.fixture(scope="module")
def echo():
    def handle(connection):
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                connection.send(message)

    server = serve(handle, "127.0.0.1", 0, max_size=None, ping_interval=None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.socket.getsockname()[1]
    server.shutdown()


def verdicts(folder, servers):
    """{name: {case: (behaviour, behaviour at the close, the close code that came)}}. Whether a server that fails fast is OK or
    NON-STRICT is a matter of what reached the client before, with the proxy or without: both are OK here."""
    reports = folder / "reports"
    spec = {"outdir": str(reports), "cases": CASES, "exclude-cases": [], "exclude-agent-cases": {},
            "servers": [{"agent": name, "url": f"ws://127.0.0.1:{port}"} for name, port in servers.items()]}
    (folder / "spec.json").write_text(json.dumps(spec))
    done = subprocess.run([WSTEST, "-m", "fuzzingclient", "-s", folder / "spec.json"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    index = json.loads((reports / "index.json").read_text())
    keys = ("behavior", "behaviorClose", "remoteCloseCode")
    return {name: {case: tuple("OK" if seen.get(key) == "NON-STRICT" else seen.get(key) for key in keys) for case, seen in cases.items()} for name, cases in index.items()}


def test_verdicts_are_those_without_the_proxy(proxy, echo, tmp_path):
    port = harness.free_port()
    running = proxy([http_listener(port, [route(timeout="0s")], upgrade_configs=[{"upgrade_type": "websocket"}])], [cluster("origin", echo)])
    seen = verdicts(tmp_path, {"direct": echo, "ringside": port})
    assert len(seen["direct"]) >= len(CASES)
    assert seen["ringside"] == seen["direct"]
    assert sum(behaviour == "OK" for behaviour, _, _ in seen["ringside"].values()) > len(seen["ringside"]) * 0.8
    wait_until(lambda: running.stat("http.http.downstream_cx_upgrades_active") == 0, "none is left")
    assert running.stat("http.http.downstream_cx_upgrades_total") >= len(seen["ringside"])
