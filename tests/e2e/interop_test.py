"""Programs that people really use, on either side: curl, Python, Go, Node as clients; nginx, HAProxy, Envoy as neighbours."""

import concurrent.futures
import hashlib
import http.client
import random
import shutil
import subprocess

import harness
import peers
import pytest
from harness import cluster, http_listener, route

SIZE = 20 * 1024 * 1024
CONTENT = random.Random(7).randbytes(SIZE)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def gateway(start, port, listen=None, **manager):
    listener = http_listener(listen or harness.free_port(), [route(timeout="60s")], **manager)
    return start([listener], [cluster("origin", port)])


def curl(*arguments, data=None):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *map(str, arguments)], capture_output=True, timeout=90, input=data)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def nginx(tmp_path, peer):
    """nginx with a large file, a redirect, a status and an upload place; keep-alive."""
    folder = tmp_path / "nginx"
    (folder / "root").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "root" / "large").write_bytes(CONTENT)
    (folder / "root" / "small").write_bytes(b"small file\n")
    port = harness.free_port()
    return peer(peers.nginx, folder, port, f"""
    default_type application/octet-stream;
    server {{
      listen 127.0.0.1:{port};
      location / {{ root {folder}/root; }}
      location /redirect {{ return 302 /small; }}
      location /gone {{ return 410 "gone\\n"; }}
      location /empty {{ return 204; }}
      location /compressed {{ gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *; alias {folder / "root" / "small"}; }}
    }}""")


def test_curl_and_nginx(proxy, nginx, tmp_path):
    running = gateway(proxy, nginx.port)
    base = f"http://127.0.0.1:{running.listen_ports['http']}"
    assert hashlib.sha256(curl(f"{base}/large")).hexdigest() == DIGEST
    assert curl(f"{base}/small", f"{base}/small", f"{base}/small") == b"small file\n" * 3
    assert curl("-r", "100-199", f"{base}/large") == CONTENT[100:200]
    assert curl("-I", f"{base}/large").lower().count(b"content-length: %d" % SIZE) == 1
    assert curl("-L", f"{base}/redirect") == b"small file\n"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{base}/missing") == b"404"
    assert curl("-w", " %{http_code}", f"{base}/gone") == b"gone\n 410"
    assert curl("-w", "%{http_code}", f"{base}/empty") == b"204"
    assert curl("--compressed", f"{base}/compressed") == b"small file\n"
    tag = next(line for line in curl("-I", f"{base}/small").decode().splitlines() if line.lower().startswith("etag:")).split()[1]
    assert curl("-H", f"if-none-match: {tag}", "-w", "%{http_code}", f"{base}/small") == b"304"
    # curl waits for 100 before a large body, and sends a pipe in chunks.
    upload = tmp_path / "upload"
    upload.write_bytes(CONTENT)
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-T", upload, f"{base}/small") == b"405"
    assert running.stat("cluster.origin.upstream_cx_protocol_error") == 0


def test_curl_uploads(proxy, origin, tmp_path):
    server = origin(lambda message: harness.ok(f"{message.framing} {hashlib.sha256(message.body).hexdigest()}".encode()))
    running = gateway(proxy, server.port)
    base = f"http://127.0.0.1:{running.listen_ports['http']}"
    upload = tmp_path / "upload"
    upload.write_bytes(CONTENT)
    assert curl("-T", upload, f"{base}/put").decode() == f"length {DIGEST}"
    assert curl("--data-binary", f"@{upload}", f"{base}/post").decode() == f"length {DIGEST}"
    assert curl("-T", "-", f"{base}/pipe", data=CONTENT).decode() == f"chunked {DIGEST}"
    assert curl("-F", f"file=@{upload}", f"{base}/form").startswith(b"length ")


def test_python_client_in_parallel(proxy, nginx):
    running = gateway(proxy, nginx.port)
    port = running.listen_ports["http"]

    def fetch(number):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            for turn in range(20):
                client.request("GET", "/small" if turn % 4 else "/missing")
                response = client.getresponse()
                body = response.read()
                assert (response.status == 200 and body == b"small file\n") if turn % 4 else response.status == 404
        finally:
            client.close()
        return number

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(fetch, range(32))) == list(range(32))
    assert running.stat("http.http.downstream_rq_total") == 640


GO_CLIENT = """
package main

import ("crypto/sha256"; "fmt"; "io"; "net/http"; "os"; "strings"; "sync")

func main() {
	base := os.Args[1]
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for turn := 0; turn < 20; turn++ {
				response, err := http.Get(base + "/small")
				if err != nil { panic(err) }
				body, err := io.ReadAll(response.Body)
				if err != nil || string(body) != "small file\\n" { panic(fmt.Sprint(err, string(body))) }
				response.Body.Close()
			}
		}()
	}
	all.Wait()
	response, err := http.Get(base + "/large")
	if err != nil { panic(err) }
	hash := sha256.New()
	if _, err := io.Copy(hash, response.Body); err != nil { panic(err) }
	fmt.Printf("%x\\n", hash.Sum(nil))
	request, _ := http.NewRequest("PUT", base + "/small", io.MultiReader(strings.NewReader("a"), strings.NewReader("b")))
	response, err = http.DefaultClient.Do(request)
	if err != nil { panic(err) }
	fmt.Println(response.StatusCode)
}
"""


def test_go_client(proxy, nginx, tmp_path):
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        pytest.skip("Go is not installed")
    source = tmp_path / "client.go"
    source.write_text(GO_CLIENT)
    running = gateway(proxy, nginx.port)
    done = subprocess.run([go, "run", source, f"http://127.0.0.1:{running.listen_ports['http']}"], capture_output=True, text=True,
                          timeout=110 * harness.SLOWNESS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [DIGEST, "405"]


NODE_CLIENT = """
const http = require('http'), crypto = require('crypto');
const agent = new http.Agent({keepAlive: true, maxSockets: 4});
const base = process.argv[2];
function ask(method, path, body) {
  return new Promise((done, fail) => {
    const request = http.request(base + path, {method, agent}, response => {
      const hash = crypto.createHash('sha256');
      response.on('data', piece => hash.update(piece));
      response.on('end', () => done([response.statusCode, hash.digest('hex')]));
      response.on('aborted', () => fail(new Error('aborted')));
    });
    request.on('error', fail);
    request.end(body);
  });
}
(async () => {
  const many = await Promise.all(Array.from({length: 100}, () => ask('GET', '/small')));
  console.log(new Set(many.map(String)).size, many[0][0]);
  console.log((await ask('GET', '/large'))[1]);
  console.log((await ask('PUT', '/small', Buffer.alloc(100000)))[0]);
  agent.destroy();
})();
"""


def test_node_client(proxy, nginx, tmp_path):
    node = shutil.which("node")
    if not node:
        pytest.skip("Node is not installed")
    source = tmp_path / "client.js"
    source.write_text(NODE_CLIENT)
    running = gateway(proxy, nginx.port)
    done = subprocess.run([node, source, f"http://127.0.0.1:{running.listen_ports['http']}"], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "200", DIGEST, "405"]


def check_chain(base):
    """What any chain of proxies in front of that nginx must deliver."""
    assert hashlib.sha256(curl(f"{base}/large")).hexdigest() == DIGEST
    assert curl(f"{base}/small", f"{base}/small") == b"small file\n" * 2
    assert curl("-L", f"{base}/redirect") == b"small file\n"
    assert curl("-w", "%{http_code}", f"{base}/empty") == b"204"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "transfer-encoding: chunked", "-T", "-", f"{base}/small",
                data=CONTENT[:100000]) == b"405"
    assert curl("-I", f"{base}/small").lower().count(b"content-length: 11") == 1


@pytest.mark.parametrize("side", ["in front", "behind"])
def test_haproxy(proxy, nginx, tmp_path, peer, side):
    folder = tmp_path / "haproxy"
    folder.mkdir()
    port = harness.free_port()
    if side == "behind":
        peer(peers.haproxy, folder, port, f"listen a\n  bind 127.0.0.1:{port}\n  server s 127.0.0.1:{nginx.port}\n")
        running = gateway(proxy, port)
        check_chain(f"http://127.0.0.1:{running.listen_ports['http']}")
    else:
        running = gateway(proxy, nginx.port)
        peer(peers.haproxy, folder, port, f"listen a\n  bind 127.0.0.1:{port}\n  http-reuse always\n"
                                          f"  server s 127.0.0.1:{running.listen_ports['http']}\n")
        check_chain(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("side", ["in front", "behind"])
def test_envoy(proxy, nginx, envoy, side):
    if side == "behind":
        port = harness.free_port()
        gateway(envoy, nginx.port, port)
        running = gateway(proxy, port)
        check_chain(f"http://127.0.0.1:{running.listen_ports['http']}")
    else:
        running = gateway(proxy, nginx.port)
        port = harness.free_port()
        gateway(envoy, running.listen_ports["http"], port)
        check_chain(f"http://127.0.0.1:{port}")


def test_nginx_in_front(proxy, nginx, tmp_path, peer):
    """As a reverse proxy nginx speaks HTTP/1.0 to its upstreams unless told otherwise; both are tried."""
    running = gateway(proxy, nginx.port, http_protocol_options={"accept_http_10": True})
    folder = tmp_path / "front"
    folder.mkdir()
    port = harness.free_port()
    target = f"proxy_pass http://127.0.0.1:{running.listen_ports['http']}"
    front = peer(peers.nginx, folder, port, f"""
    server {{
      listen 127.0.0.1:{port};
      location /old/ {{ {target}/; }}
      location / {{ {target}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }}
    }}""")
    check_chain(f"http://127.0.0.1:{front.port}")
    assert hashlib.sha256(curl(f"http://127.0.0.1:{port}/old/large")).hexdigest() == DIGEST
