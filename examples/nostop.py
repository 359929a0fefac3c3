"""A web server without any graceful stop: SIGTERM ends it in the middle of what it does.

It also closes connections that were idle for a second, as many servers do. On a cluster nothing is
lost all the same, because an instance gets SIGTERM only after its last request was answered.
"""

import http.server
import os
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1  # seconds that a connection may be idle

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.5)
        self.answer(f"version {VERSION}, instance {INSTANCE}\n".encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", VERSION)
        self.send_header("X-Instance", INSTANCE)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # one line per request would be all that the log holds


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


VERSION = os.environ.get("VERSION", "dev")
INSTANCE = os.environ.get("ALOFT_TASK_ID", str(os.getpid()))

if __name__ == "__main__":
    address = (os.environ.get("ALOFT_HOST", "127.0.0.1"), int(os.environ.get("PORT_HTTP", "8000")))
    server = Server(address, Handler)
    print(f"nostop {VERSION} serves on port {server.server_port}", flush=True)
    server.serve_forever()
