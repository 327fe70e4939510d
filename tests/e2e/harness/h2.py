"""HTTP/2 frames made by hand, for what no client library would send: RFC 9113, with header blocks of literals only (RFC 7541 6.2.2).

Header blocks of the broker are not decoded: tests that need a status ask with grpcio.
"""

import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 3, 4, 5
CANCEL, ENHANCE_YOUR_CALM = 8, 11


def frame(kind, stream=0, payload=b"", flags=0, length=None):
    """`length`: what the head says, where that is to differ from what follows."""
    return struct.pack(">I", len(payload) if length is None else length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    """settings(INITIAL_WINDOW_SIZE=0)"""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", globals()[name], value) for name, value in values.items()))


def _integer(value, bits):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    out, value = bytes([limit]), value - limit
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def block(headers):
    """Literals without indexing, names included."""
    out = b""
    for name, value in headers:
        name, value = name.encode(), value.encode()
        out += b"\0" + _integer(len(name), 7) + name + _integer(len(value), 7) + value
    return out


def request_headers(method, extra=()):
    return [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "broker"),
            ("content-type", "application/grpc"), ("te", "trailers"), *extra]


def message(data, compressed=0, length=None):
    """gRPC's prefix and the message. `length`: what the prefix says, where that is to differ."""
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data


class Connection:
    """A client's end. What the broker sends is kept as frames; nothing is answered by itself but SETTINGS, whose values count
    for the broker only once they are acknowledged."""

    def __init__(self, port, preface=True, timeout=10, receive_buffer=None, **first_settings):
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect(("127.0.0.1", port))
        self._rest = b""
        self.frames = []  # (kind, flags, stream, payload) not taken yet
        self._bodies = {}  # stream -> bytes of DATA not cut into messages yet
        self._granted = {0: 65535}  # stream -> what it may still send; 0: the connection
        self._first_grant = 65535
        if preface:
            self.send(PREFACE + settings(**first_settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def half_close(self):
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The broker was first.

    def reset(self):
        """As a crashed client: RST instead of FIN."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def send(self, data):
        """True unless the broker has hung up."""
        try:
            self._socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def send_some(self, data, seconds=0.2):
        """As much as is taken within that time without anybody reading; the number of bytes, or None once hung up."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.send(data)
        except (TimeoutError, socket.timeout):
            return 0
        except OSError:
            return None
        finally:
            self._socket.settimeout(10)

    def open(self, stream, method, end=False, extra=()):
        return self.send(frame(HEADERS, stream, block(request_headers(method, extra)), END_HEADERS | (END_STREAM if end else 0)))

    def event(self, stream, event):
        data = message(event.SerializeToString())
        self._spend(stream, len(data))
        return self.send(b"".join(frame(DATA, stream, part) for part in _parts(data)))

    def _more(self, seconds):
        self._socket.settimeout(max(seconds, 0.001))
        try:
            data = self._socket.recv(1 << 20)
        except (TimeoutError, socket.timeout):
            return None
        except OSError:
            return False
        finally:
            try:
                self._socket.settimeout(10)
            except OSError:
                pass
        self._rest += data
        return bool(data)

    def pump(self, seconds=0.0):
        """Reads what there is, waits at most so long for the first byte. False: the broker has hung up."""
        alive = True
        while (got := self._more(seconds)) is not None:
            seconds = 0.0
            if not got:
                alive = False
                break
        while len(self._rest) >= 9:
            length = int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < 9 + length:
                break
            kind, flags, stream = struct.unpack(">BBI", self._rest[3:9])
            payload, self._rest = self._rest[9:9 + length], self._rest[9 + length:]
            if kind == WINDOW_UPDATE:
                self._granted[stream] = self._window(stream) + int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                self._settings(payload)
            else:
                self.frames.append((kind, flags, stream & 0x7FFFFFFF, payload))
        return alive

    def _window(self, stream):
        return self._granted.get(stream, self._first_grant)

    def _spend(self, stream, size):
        self._granted[stream], self._granted[0] = self._window(stream) - size, self._window(0) - size

    def _settings(self, payload):
        for at in range(0, len(payload), 6):
            name, value = struct.unpack(">HI", payload[at:at + 6])
            if name == INITIAL_WINDOW_SIZE:
                for stream in self._granted.keys() - {0}:
                    self._granted[stream] += value - self._first_grant
                self._first_grant = value
        self.send(frame(SETTINGS, flags=ACK))

    def offer(self, stream, data, seconds=1.0, within=15.0):
        """Sends as much of `data` as the broker grants, and waits `seconds` for more; the bytes sent. Reads all but grants nothing."""
        sent, deadline, idle_at = 0, time.monotonic() + within, time.monotonic() + seconds
        while sent < len(data) and time.monotonic() < min(deadline, idle_at):
            if not self.pump(0 if self._window(stream) > 0 and self._window(0) > 0 else 0.01):
                break
            size = min(self._window(stream), self._window(0), 16384, len(data) - sent)
            if size <= 0:
                continue
            if not self.send(frame(DATA, stream, data[sent:sent + size])):
                break
            sent += size
            self._spend(stream, size)
            idle_at = time.monotonic() + seconds
        return sent

    def wait(self, kind, match=lambda frame: True, seconds=10):
        """The payload of the first such frame, or None if the broker hung up or nothing came."""
        deadline = time.monotonic() + seconds
        while True:
            for at, (k, flags, stream, payload) in enumerate(self.frames):
                if k == kind and match((k, flags, stream, payload)):
                    del self.frames[at]
                    return payload
            left = deadline - time.monotonic()
            if left <= 0 or not self.pump(left) and not any(f[0] == kind for f in self.frames):
                return None

    def messages(self, stream, answer_type, count, seconds=10):
        """The next `count` gRPC messages of a stream."""
        found, deadline = [], time.monotonic() + seconds
        while len(found) < count:
            body = self._bodies.get(stream, b"")
            if len(body) >= 5 and len(body) >= 5 + int.from_bytes(body[1:5], "big"):
                end = 5 + int.from_bytes(body[1:5], "big")
                found.append(answer_type.FromString(body[5:end]))
                self._bodies[stream] = body[end:]
                continue
            data = self.wait(DATA, lambda f: f[2] == stream, deadline - time.monotonic())
            assert data is not None, f"{len(found)} of {count} messages came"
            self._bodies[stream] = body + data
        return found

    def ended_by(self, seconds=10):
        """"goaway <error>", "reset <error>", "closed", or "" if the broker goes on for so long."""
        deadline = time.monotonic() + seconds
        while True:
            alive = self.pump(max(deadline - time.monotonic(), 0))
            for kind, _, _, payload in self.frames:
                if kind == GOAWAY:
                    return f"goaway {int.from_bytes(payload[4:8], 'big')}"
            if not alive:
                return "closed"
            if time.monotonic() >= deadline:
                return ""


def _parts(data, size=16384):
    return [data[at:at + size] for at in range(0, len(data), size)] or [b""]
