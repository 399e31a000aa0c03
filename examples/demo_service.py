#!/usr/bin/env python3
"""The service behind examples/sidecar.yaml: answers with what it was asked, so that one sees what the proxy did to a request.

One process plays three endpoints: `web` on 18081 and `api` on 18082 and 18083.
  /health   200                      /status/N  answers with status N
  /slow     answers after 3 seconds  anything else: the request, as JSON
"""

import http.server
import json
import threading
import time

ENDPOINTS = {18081: "web", 18082: "api", 18083: "api"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""
    disable_nagle_algorithm = True  # else head and body, two writes, wait 40 ms for the peer's delayed acknowledgement
    wbufsize = 65536                # and they leave together

    def answer(self):
        body_bytes = len(self.rfile.read(int(self.headers.get("content-length", 0))))
        if self.path == "/slow":
            time.sleep(3)
        status = 200
        if self.path.startswith("/status/") and self.path[8:].isdigit() and 200 <= int(self.path[8:]) <= 599:
            status = int(self.path[8:])
        port = self.server.server_address[1]
        reply = json.dumps({
            "service": ENDPOINTS[port],
            "endpoint": f"127.0.0.1:{port}",
            "request": f"{self.command} {self.path}",
            "body_bytes": body_bytes,
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }, indent=2).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that went away is no event for a demo."""


def main():
    servers = [Server(("127.0.0.1", port), Handler) for port in ENDPOINTS]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
