"""Loopback ports, one HTTP exchange per connection, and raw sockets for what no client would send."""

import http.client
import json
import socket
import time


def free_port():
    return free_ports(1)[0]


def free_ports(count):
    """Different ones: all are held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def wait_for_port(port, deadline_seconds, process, poll_seconds=0.005):
    """Until something listens there. Asks every 5 ms: there is no event to wait for from outside."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise AssertionError(f"the process ended with {process.returncode}") from None
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(poll_seconds)


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # list of (name, value) as they came
        self.body = body

    def header(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(values) <= 1, f"{name} stands twice"
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json.get("error")

    @property
    def code(self):
        return self.json.get("code")

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


def exchange(port, method, path, body=None, headers=(), timeout=20, tls=None):
    """One request on a connection of its own. `body`: bytes as they are, anything else as JSON. `tls`: an SSLContext."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=tls)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        elif method in ("POST", "PUT"):
            connection.putheader("Content-Length", "0")
        connection.endheaders(body)
        response = connection.getresponse()
        return Response(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


class Raw:
    """A socket that says what it is told and reads answers one at a time."""

    def __init__(self, port, timeout=10, tls=None):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="127.0.0.1")
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def send(self, data):
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The broker may hang up on the rest of what it has refused already.

    def half_close(self):
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Hang up with an RST, as a crashed client does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._socket.close()

    def _more(self):
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            return False
        self._rest += data
        return bool(data)

    def answer(self):
        """The next answer, or None where the connection ended before one."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, rest = self._rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        status = int(lines[0].split(" ")[1])
        if status == 100:
            self._rest = rest
            return Response(100, headers, b"")
        length = int(next((v for n, v in headers if n.lower() == "content-length"), "0"))
        while len(rest) < length:
            self._rest = b""
            if not self._more():
                return None
            rest += self._rest
        self._rest = rest[length:]
        return Response(status, headers, rest[:length])

    def hung_up(self):
        """True once the broker has hung up, whatever it said before; a timeout means it has not."""
        try:
            while self._more():
                pass
        except (TimeoutError, socket.timeout):
            return False
        return True

    def closed(self):
        """True once the broker has hung up and nothing more was said; a timeout means it has not."""
        try:
            while self._more():
                pass
        except (TimeoutError, socket.timeout):
            return False
        return not self._rest


def request_bytes(method, path, token=None, body=b"", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: broker"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
