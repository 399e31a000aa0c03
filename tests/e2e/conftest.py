"""Fixtures of the end-to-end tests; the programs behind them are in harness.py, origin.py and peers.py."""

import ctypes
import errno
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import harness  # noqa: E402  (found through the line above, wherever pytest is started)
import origin as origins  # noqa: E402
import peers  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/e2e/golden anew from what is seen")


def pytest_configure(config):
    config.addinivalue_line("markers", "release_only: about speed or memory, so meaningless in a sanitized build")
    # A test that hangs is a failure with a stack, not a hanging run.
    if config.pluginmanager.hasplugin("timeout") and not config.getoption("timeout"):
        config.option.timeout = 120 * harness.SLOWNESS


@pytest.fixture(scope="session")
def binary():
    """Path of the ringside binary under test."""
    if not harness.BINARY.exists():
        pytest.fail(f"{harness.BINARY} is not there: run ./dev build", pytrace=False)
    return harness.BINARY


def has_io_uring():
    """Some kernels and most containers forbid it; the program runs on epoll there, and so do its tests."""
    io_uring_setup = 425
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(io_uring_setup, 0, None)  # wrong on purpose: EINVAL or EFAULT where it exists
    return ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM)


@pytest.fixture(scope="module", params=["uring", "epoll"])
def ring(request):
    if request.param == "uring" and not has_io_uring():
        pytest.skip("io_uring is not allowed here")
    return request.param


class Starter:
    """start(listeners, clusters, arguments=..., ...) -> a ready Proxy with its own admin port; `bootstrap`: further fields of that."""

    def __init__(self, folder, arguments):
        self.folder, self.arguments, self.started = folder, arguments, []

    def __call__(self, listeners, clusters, arguments=(), wait=True, bootstrap=None, **options):
        folder = self.folder / f"proxy{len(self.started)}"
        folder.mkdir()
        config = harness.bootstrap(listeners, clusters, harness.free_port()) | (bootstrap or {})
        running = harness.Proxy(folder, config, [*self.arguments, *arguments], **options)
        self.started.append(running)
        return running.ready() if wait else running

    def end(self):
        errors = []
        for running in self.started:
            try:
                running.check_end()
            except AssertionError as error:  # the others must be stopped all the same
                errors.append(str(error))
        assert not errors, "\n".join(errors)


@pytest.fixture
def proxy(tmp_path, binary, ring):
    """A Starter of proxies for one test, which runs once on each ring. How they end is checked."""
    starter = Starter(tmp_path, ["--ring", ring])
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def module_proxy(tmp_path_factory, binary, ring):
    """The same for all the tests of a file, which then must not depend on each other's traces."""
    starter = Starter(tmp_path_factory.mktemp("proxies"), ["--ring", ring])
    yield starter
    starter.end()


@pytest.fixture
def upstream():
    """start(serve) -> an Upstream on a free port; `serve` as in harness.answering."""
    started = []

    def start(serve, **options):
        started.append(harness.Upstream(serve, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


def origin_starter():
    started = []

    def start(respond=None, **options):
        started.append(origins.Origin(respond, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def origin():
    """start(respond) -> an Origin, which answers messages and remembers them."""
    yield from origin_starter()


@pytest.fixture(scope="module")
def module_origin():
    yield from origin_starter()


@pytest.fixture(scope="module")
def envoy(tmp_path_factory):
    """start(listeners, clusters) -> a ready Envoy."""
    if not peers.envoy_path():
        pytest.skip("Envoy is not installed")
    started = []

    def start(listeners, clusters, **options):
        started.append(peers.Envoy(tmp_path_factory.mktemp("envoy"), listeners, clusters, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def golden(request):
    """golden(name, seen): what is seen must be what golden/<name>.json says; --rewrite-golden makes it so."""

    def check(name, seen):
        path = GOLDEN / f"{name}.json"
        text = json.dumps(seen, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
        if request.config.getoption("--rewrite-golden"):
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path} is missing: run pytest with --rewrite-golden and review it"
        assert json.loads(path.read_text()) == json.loads(text)

    return check


@pytest.fixture(scope="session")
def go_tool():
    """go_tool(name, package) -> a program out of tests/e2e/go, built once; skips where there is no Go, or no module of its."""
    return peers.go_tool


@pytest.fixture
def peer():
    """peer(peers.nginx, folder, port, lines) -> a running Peer, stopped when the test ends."""
    started = []

    def start(make, *arguments):
        started.append(make(*arguments))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def pytest_collection_modifyitems(items):
    """Tests of known_gaps.txt show what is not right yet: they run, and do not fail the suite. Those whose proxy does not even
    start, which no expected failure covers, are skipped."""
    lines = (Path(__file__).parent / "known_gaps.txt").read_text().splitlines()
    gaps = dict(reversed(line.split(" ", 1)) for line in lines if line and not line.startswith("#"))
    for item in items:
        how = gaps.get(item.nodeid.split("/")[-1].split("[")[0])
        if how == "xfail":
            item.add_marker(pytest.mark.xfail(reason="known_gaps.txt", strict=False))
        elif how == "skip":
            item.add_marker(pytest.mark.skip(reason="known_gaps.txt"))
