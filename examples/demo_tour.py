#!/usr/bin/env python3
"""Sends a few requests through examples/sidecar.yaml and shows what became of them. Part of `./dev run`.

  demo_tour.py ports-free           exit code 1, with the port's name, when another program holds one
  demo_tour.py tour [--access-log FILE]
"""

import argparse
import http.client
import json
import re
import socket
import sys
import time

PORTS = {18080: "the proxy's listener", 19901: "its admin interface", 18081: "the web service",
         18082: "the api service", 18083: "the api service"}
REQUESTS = [
    ("GET", "/", None), ("GET", "/hello?name=you", None), ("GET", "/api/books", None), ("GET", "/api/books/7", None),
    ("POST", "/api/books", b'{"title": "Ringside"}'), ("GET", "/a/..//status/404", None), ("GET", "/down", None),
    ("GET", "/slow", None),
]
NOTES = {"/down": "nothing listens there", "/slow": "the route's timeout is 1 s", "/a/..//status/404": "path normalized"}


def ports_free():
    busy = 0
    for port, use in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                print(f"port {port} ({use}) cannot be used: {error.strerror}", file=sys.stderr)
                busy += 1
    return 1 if busy else 0


def send(connection, method, path, body):
    """One request on the kept-alive connection: (status, milliseconds, headers, parsed body or None)."""
    begin = time.perf_counter()
    connection.request(method, path, body)
    response = connection.getresponse()
    content = response.read()
    elapsed_ms = (time.perf_counter() - begin) * 1000
    headers = {name.lower(): value for name, value in response.getheaders()}
    try:
        reply = json.loads(content)
    except ValueError:
        reply = None
    return response.status, elapsed_ms, headers, reply


def admin(path):
    connection = http.client.HTTPConnection("127.0.0.1", 19901, timeout=5)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def show_requests():
    connection = http.client.HTTPConnection("127.0.0.1", 18080, timeout=10)
    print(f"    {'request':<26}{'status':<8}{'latency':>10}  {'route':<7}{'answered by':<18}")
    for method, path, body in REQUESTS:
        status, elapsed_ms, headers, reply = send(connection, method, path, body)
        endpoint = reply["endpoint"] if reply else "ringside itself"
        note = NOTES.get(path, "")
        print(f"    {method + ' ' + path:<26}{status:<8}{elapsed_ms:>7.2f} ms  {headers.get('x-demo-route', '-'):<7}"
              f"{endpoint:<18}{note}".rstrip())
    times = sorted(send(connection, "GET", "/", None)[1] for _ in range(200))
    connection.close()
    print(f"\n    200 more on the same connection, one after the other: median {times[100]:.2f} ms, p99 {times[197]:.2f} ms"
          "\n    (most of it is the demo service, which is Python)")


def show_stats():
    wanted = re.compile(r"^(http\.inbound\.downstream_(rq_total|rq_[245]xx|cx_total)"
                        r"|cluster\.(api|web|down)\.(upstream_rq_total|upstream_cx_total|upstream_cx_connect_fail|upstream_rq_timeout)): ")
    print("\n    from the admin interface (/stats):")
    for line in admin("/stats").splitlines():
        if wanted.match(line) and not line.endswith(": 0"):
            print(f"      {line}")


def show_access_log(path):
    """The proxy writes its log in batches: wait until the last line is there."""
    deadline = time.monotonic() + 12
    lines = []
    while len(lines) < len(REQUESTS) + 200 and time.monotonic() < deadline:
        time.sleep(0.1)
        with open(path, encoding="utf-8", errors="replace") as log:
            lines = log.read().splitlines()
    print("\n    from the access log (Envoy's default format; the last word is the upstream):")
    for line in lines[:len(REQUESTS)]:
        print(f"      {line}")


def tour(access_log):
    show_requests()
    show_stats()
    if access_log:
        show_access_log(access_log)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ports-free", "tour"])
    parser.add_argument("--access-log")
    arguments = parser.parse_args()
    return ports_free() if arguments.what == "ports-free" else tour(arguments.access_log)


if __name__ == "__main__":
    sys.exit(main())
