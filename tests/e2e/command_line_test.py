"""The command line and --mode validate: texts and exit codes that scripts and operators know."""

import json
import re
import subprocess

import harness
import pytest
from harness import cluster, http_listener, route, tcp_listener


def run(binary, *arguments, **options):
    return subprocess.run([str(binary), *map(str, arguments)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          **options)


def bootstrap(**changes):
    listener = http_listener(harness.free_port(), [route()])
    return {**harness.bootstrap([listener], [cluster("origin", 1)], harness.free_port()), **changes}


@pytest.fixture
def config(tmp_path):
    def write(content, name="bootstrap.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    return write


def test_valid_file(binary, config):
    path = config(bootstrap())
    done = run(binary, "-c", path, "--mode", "validate")
    assert (done.returncode, done.stdout) == (0, f"configuration '{path}' OK\n")


def test_validate_binds_nothing(binary, config):
    with harness.socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        content = harness.bootstrap([tcp_listener(port, "origin")], [cluster("origin", 1)], port)
        assert run(binary, "-c", config(content), "--mode", "validate").returncode == 0


def test_config_yaml_alone(binary):
    done = run(binary, "--config-yaml", json.dumps(bootstrap()), "--mode", "validate")
    assert done.returncode == 0 and "OK" in done.stdout


def test_config_yaml_is_merged_over_the_file(binary, config):
    base = bootstrap()
    path = config(base)
    assert run(binary, "-c", path, "--config-yaml", "node: {id: other}", "--mode", "validate").returncode == 0
    done = run(binary, "-c", path, "--config-yaml", "static_resources: {clusters: [{name: second, tpye: STATIC}]}", "--mode", "validate")
    assert done.returncode == 1 and "tpye" in done.stderr


def test_yaml_with_anchors_and_norway(binary, config):
    path = config("""
node: {id: n, cluster: no}
admin: {address: &where {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  clusters:
  - &first
    name: origin
    type: STATIC
    load_assignment:
      cluster_name: origin
      endpoints: [{lb_endpoints: [{endpoint: {address: *where}}]}]
  - <<: *first
    name: second
""", "bootstrap.yaml")
    # Port 0 of an endpoint is as Envoy takes it; what counts here is that the text is understood.
    done = run(binary, "-c", path, "--mode", "validate")
    assert done.returncode == 0, done.stderr


def test_all_errors_at_once_with_their_places(binary, config):
    path = config("""
static_resources:
  listeners:
  - name: http
    address: {socket_address: {address: 127.0.0.1, port_value: 99999}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefx: tcp
          cluster: nowhere
  clusters:
  - name: origin
    connect_timeout: 1
""", "broken.yaml")
    done = run(binary, "-c", path, "--mode", "validate")
    assert done.returncode == 1
    places = re.findall(rf"{re.escape(str(path))}:(\d+):(\d+): ", done.stderr)
    assert len(places) >= 3, done.stderr
    assert {"5", "11", "15"} <= {line for line, _ in places}, done.stderr
    assert "stat_prefx" in done.stderr and "stat_prefix" in done.stderr


@pytest.mark.parametrize("content, words", [
    ("", []), ("{", [":1:"]), ("a: [b", [":1:"]), ("static_resources: 5", ["static_resources"]), ("sttaic_resources: {}", ["static_resources"]),
    ("admin: {address: {socket_address: {address: 1.2.3, port_value: 1}}}", ["1.2.3"]),
])
def test_broken_files(binary, config, content, words):
    path = config(content, "broken.yaml")
    done = run(binary, "-c", path, "--mode", "validate")
    if not content:
        assert done.returncode in (0, 1)  # an empty bootstrap is a bootstrap
        return
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr
    assert "terminate" not in done.stderr and "Sanitizer" not in done.stderr


def test_serving_a_broken_file_fails_the_same_way(binary, config):
    done = run(binary, "-c", config({"static_resources": {"clusters": [{"nmae": "x"}]}}))
    assert done.returncode == 1 and "nmae" in done.stderr


def test_missing_file(binary, tmp_path):
    done = run(binary, "-c", tmp_path / "none.yaml", "--mode", "validate")
    assert done.returncode == 1 and "none.yaml" in done.stderr


@pytest.mark.parametrize("arguments, code, text", [
    ([], 1, "At least one of --config-path or --config-yaml"),
    (["--no-such-flag"], 1, "Couldn't find match for argument"),
    (["positional"], 1, "Couldn't find match for argument"),
    (["--mode", "x", "-c", "f"], 1, "error: unknown mode 'x'"),
    (["--concurrency", "many", "-c", "f"], 1, "Couldn't read argument value"),
    (["-l", "loud", "-c", "f"], 1, "error: invalid log level specified 'loud'"),
    (["--ring", "square", "-c", "f"], 1, "unknown ring 'square'"),
])
def test_bad_command_lines(binary, arguments, code, text):
    done = run(binary, *arguments)
    assert done.returncode == code and text in done.stdout + done.stderr


def test_version(binary):
    done = run(binary, "--version")
    assert done.returncode == 0
    assert re.fullmatch(r"\n\S+  version: \w+/\d+\.\d+\.\d+/\w+/\w+/\w+\n\n", done.stdout), done.stdout


def test_help(binary):
    done = run(binary, "--help")
    assert done.returncode == 0 and "--config-path" in done.stdout and "--drain-on-sigterm" in done.stdout


@pytest.mark.parametrize("arguments", [
    ["--max-obj-name-len", "189"], ["--max-stats", "1000"], ["--v2-config-only"], ["--disable-hot-restart"], ["--restart-epoch", "0"],
    ["--drain-time-s", "45", "--drain-strategy", "immediate", "--local-address-ip-version", "v4", "--file-flush-interval-msec", "1000",
     "--disable-hot-restart", "--allow-unknown-static-fields", "-l", "warning", "--component-log-level", "misc:error",
     "--concurrency", "2", "--service-node", "n", "--service-cluster", "c"]])
def test_flags_of_old_and_present_agents(binary, config, arguments):
    done = run(binary, "-c", config(bootstrap()), "--mode", "validate", *arguments)
    assert done.returncode == 0, done.stderr


def test_log_goes_to_stderr_in_the_chosen_format(binary, config):
    content = bootstrap()
    done = subprocess.Popen([str(binary), "-c", str(config(content)), "--concurrency", "1", "--log-format", "<%l> %v"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = content["admin"]["address"]["socket_address"]["port_value"]

    def ready():
        assert done.poll() is None
        try:
            return b"LIVE" in harness.exchange(port, b"GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        except OSError:
            return False

    harness.wait_until(ready, "it is live", 30)
    done.terminate()
    out, err = done.communicate(timeout=20)
    assert done.returncode == 0 and out == ""
    assert any(line.startswith("<info> ") for line in err.splitlines()), err


def test_ring_is_chosen_and_said(binary, config):
    """Which ring runs is in the log and on the admin page."""
    content = bootstrap()
    folder = config(content).parent
    running = harness.Proxy(folder, content, ["--ring", "epoll"])
    try:
        running.ready()
        assert "epoll" in running.log
    finally:
        running.check_end()


def test_fields_that_are_not_acted_on_are_refused(binary, config):
    content = bootstrap()
    manager = content["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["tracing"] = {}
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["hash_policy"] = [{"header": {"header_name": "x"}}]
    done = run(binary, "-c", config(content), "--mode", "validate")
    assert done.returncode == 1 and "tracing" in done.stderr and "hash_policy" in done.stderr


def test_unknown_fields_may_be_allowed(binary, config):
    content = bootstrap()
    content["static_resources"]["clusters"][0]["not_a_field"] = 1
    path = config(content)
    assert run(binary, "-c", path, "--mode", "validate").returncode == 1
    assert run(binary, "-c", path, "--mode", "validate", "--allow-unknown-static-fields").returncode == 0
