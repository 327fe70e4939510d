#!/usr/bin/env python3
"""The demo's webhook receiver: answers 200 to every POST and writes its trace headers and body as one JSON line.

    demo-webhook.py PORT FILE
"""

import http.server
import json
import sys


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # noqa: N802 (the library's name)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = {name: self.headers[name] for name in ("traceparent", "tracestate") if self.headers[name]}
        line["body"] = json.loads(body)
        with open(sys.argv[2], "a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
