"""A webhook receiver that remembers everything and fails on request."""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Delivery:
    path: str
    headers: list
    body: bytes
    at: float  # time.time() of receipt

    def header(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)


class WebhookReceiver:
    def __init__(self):
        self._changed = threading.Condition()
        self._deliveries = []
        self._replies = {}  # path -> statuses still to be given; then 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers = outer._take(Delivery(self.path, list(self.headers.items()), body, time.time()))
                if status is None:  # hang up without an answer
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass  # A broker that was killed in the middle of a delivery is no error of ours.

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def reply(self, path, statuses, headers=()):
        """The next answers for `path`; None hangs up. Afterwards 200 again."""
        with self._changed:
            self._replies[path] = ([*statuses], list(headers))

    def _take(self, delivery):
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify_all()
            statuses, headers = self._replies.get(delivery.path, ([], []))
            return (statuses.pop(0), headers) if statuses else (200, [])

    def to(self, path):
        with self._changed:
            return [d for d in self._deliveries if d.path == path]

    def all(self):
        with self._changed:
            return list(self._deliveries)

    def wait(self, path, count=1, deadline_seconds=10):
        with self._changed:
            found = self._changed.wait_for(
                lambda: len([d for d in self._deliveries if d.path == path]) >= count, deadline_seconds)
            have = [d for d in self._deliveries if d.path == path]
        assert found, f"{len(have)} of {count} deliveries to {path} after {deadline_seconds} s"
        return have

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
