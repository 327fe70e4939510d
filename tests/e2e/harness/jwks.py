"""An identity service: keys, tokens made by PyJWT, and a JWKS server whose manners can be chosen.

PyJWT and python3-cryptography stand in for the issuer, so that nothing of the broker judges its own signatures.
"""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://id.example"
AUDIENCE = "codeq"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    def __init__(self, alg, kid, bits=2048):
        self.alg, self.kid = alg, kid
        if alg == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65537, bits)

    @property
    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM,
                                                      serialization.PublicFormat.SubjectPublicKeyInfo)

    def jwk(self, **more):
        public = self.private.public_key()
        if self.alg == "ES256":
            point = public.public_numbers()
            what = {"kty": "EC", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)}
        elif self.alg == "EdDSA":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            what = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        else:
            numbers = public.public_numbers()
            what = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        return {"kid": self.kid, "use": "sig", **what, **more}

    def token(self, alg=None, headers=None, without=(), **claims):
        now = int(time.time())
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "tid": "acme", "iat": now, "exp": now + 600, **claims}
        for name in without:
            del body[name]
        return jwt.encode(body, self.private, alg or self.alg, headers={"kid": self.kid, **(headers or {})})

    def worker_token(self, **claims):
        return self.token(**{"sub": "worker-1", "eventTypes": ["*"],
                             "scope": "codeq:claim codeq:heartbeat codeq:abandon codeq:nack codeq:result", **claims})


class JwksServer:
    """Answers GET /keys with `keys`; `manners`: "ok", "error" (500), "hang", "huge", "trickle", "redirect", "nonsense"."""

    def __init__(self, *keys):
        self.keys = [key if isinstance(key, dict) else key.jwk() for key in keys]
        self.manners = "ok"
        self.fetches = 0
        self._changed = threading.Condition()
        self._let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.serve(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # The broker hangs up on what is too long or too slow.

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/keys"

    def config(self, **more):
        return json.dumps({"jwksUrl": self.url, "issuer": ISSUER, "audience": AUDIENCE, **more})

    def serve(self, request):
        with self._changed:
            self.fetches += 1
            manners = self.manners
            self._changed.notify_all()
        if manners == "hang":
            self._let_go.wait(60)
        body = json.dumps({"keys": self.keys}).encode()
        if manners == "nonsense":
            body = b"<html>sorry</html>"
        if manners == "huge":
            body = b" " * (32 << 20) + body
        status = {"error": 500, "redirect": 302}.get(manners, 200)
        request.send_response(status)
        if status == 302:
            request.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if manners == "trickle":
            for byte in body:
                request.wfile.write(bytes([byte]))
                if self._let_go.wait(0.2):
                    return
        request.wfile.write(body)

    def wait_for_fetches(self, at_least, deadline_seconds=15):
        with self._changed:
            assert self._changed.wait_for(lambda: self.fetches >= at_least, deadline_seconds), \
                f"{self.fetches} fetches, {at_least} were expected"

    def let_go(self):
        self.manners = "ok"
        self._let_go.set()

    def stop(self):
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
