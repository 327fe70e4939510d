"""One `codeq serve` process on a free loopback port with a data folder of its own, configured by environment alone."""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import time

from . import net

SCOPES = ["codeq:claim", "codeq:heartbeat", "codeq:abandon", "codeq:nack", "codeq:result", "codeq:subscribe"]
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")


def find_binary():
    if os.environ.get("CODEQ_BINARY"):
        return os.environ["CODEQ_BINARY"]
    root = pathlib.Path(__file__).resolve().parents[3]
    for preset in ("release", "debug"):
        candidate = root / "build" / preset / "codeq"
        if candidate.exists():
            return str(candidate)
    raise FileNotFoundError("no codeq binary: build one, or set CODEQ_BINARY")


class Tokens:
    """Fresh random bearer tokens: two tenants; acme has two workers, globex one of the same name as acme's first."""

    def __init__(self):
        self.acme_producer = "prod-" + secrets.token_hex(12)
        self.acme_admin = "admi-" + secrets.token_hex(12)
        self.globex_admin = "admi-" + secrets.token_hex(12)
        self.globex_producer = "prod-" + secrets.token_hex(12)
        self.acme_worker = "work-" + secrets.token_hex(12)
        self.acme_worker2 = "work-" + secrets.token_hex(12)
        self.globex_worker = "work-" + secrets.token_hex(12)
        self.narrow_worker = "work-" + secrets.token_hex(12)

    def all(self):
        return list(vars(self).values())

    def environment(self):
        def one(token, subject, tenant, event_types=None, scopes=None, **claims):
            config = {"token": token, "subject": subject, "raw": {"tenantId": tenant, **claims}}
            if event_types is not None:
                config |= {"eventTypes": event_types, "scopes": SCOPES if scopes is None else scopes}
            return {"type": "static", "config": config}

        return {
            "PRODUCER_AUTH_PROVIDER": "multi",
            "PRODUCER_AUTH_CONFIG": json.dumps({"providers": [
                one(self.acme_producer, "producer-1", "acme"), one(self.globex_producer, "producer-1", "globex"),
                one(self.acme_admin, "admin-1", "acme", role="ADMIN"),
                one(self.globex_admin, "admin-1", "globex", role="ADMIN")]}),
            "WORKER_AUTH_PROVIDER": "multi",
            "WORKER_AUTH_CONFIG": json.dumps({"providers": [
                one(self.acme_worker, "worker-1", "acme", ["*"]), one(self.acme_worker2, "worker-2", "acme", ["*"]),
                one(self.globex_worker, "worker-1", "globex", ["*"]),
                one(self.narrow_worker, "worker-3", "acme", ["NARROW"], ["codeq:claim"])]}),
        }


class Broker:
    def __init__(self, folder, tokens, otlp_endpoint=None, tls=None, **settings):
        """`tls`: the SSLContext with which to speak to it, where `settings` give it a certificate."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tokens = tokens
        self.tls = tls
        self.stream_credentials = None  # grpcio's, for streams over TLS
        self.data = self.folder / "data"
        self.log_file = self.folder / "output.log"
        self.port = self.producer_stream_port = self.worker_stream_port = None
        self.process = None
        self.settings = {
            "LISTEN_HOST": "127.0.0.1",
            "PERSISTENCE_CONFIG": json.dumps({"path": str(self.data)}),
            "LOCAL_ARTIFACTS_DIR": str(self.folder / "artifacts"),
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BACKOFF_POLICY": "fixed",
            "BACKOFF_BASE_SECONDS": "1",
            "RESULT_WEBHOOK_BASE_BACKOFF_SECONDS": "1",
            "RESULT_WEBHOOK_MAX_BACKOFF_SECONDS": "1",
            "TRACING_ENABLED": "true" if otlp_endpoint else "false",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "LOG_LEVEL": "debug",
            **tokens.environment(),
        }
        if otlp_endpoint:
            self.settings["TRACING_OTLP_ENDPOINT"] = otlp_endpoint
        self.settings |= {key: str(value) for key, value in settings.items()}

    def start(self, deadline_seconds=30, wrapper=(), port=None, poll_seconds=0.005):
        """Returns once the broker says that it is ready. A port that was snatched meanwhile is replaced."""
        for attempt in range(3):
            free, self.producer_stream_port, self.worker_stream_port = net.free_ports(3)
            self.port = port or free  # a client that is to find it again needs the old one
            # Nothing of the tester's own environment may configure the broker.
            environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
            environment |= {key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}
            environment |= self._stream_addresses() | self.settings | {"PORT": str(self.port)}
            with open(self.log_file, "ab") as output:
                self.process = subprocess.Popen([*wrapper, find_binary(), "serve"], env=environment, cwd=self.folder,
                                                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            try:
                net.wait_for_port(self.port, deadline_seconds, self.process, poll_seconds)
            except AssertionError as error:
                if self.process.poll() == 77 and attempt < 2:  # the address was taken
                    continue
                raise AssertionError(f"codeq serve did not start: {error}\n{self.log()[-4000:]}") from None
            ready = self.get("/readyz")
            assert ready.status == 200, f"it listens but is not ready: {ready}"
            return self
        raise AssertionError("unreachable")

    def _stream_addresses(self):
        """Both listeners, but not one whose users nobody could check: the broker refuses that."""
        ports = {"PRODUCER": self.producer_stream_port, "WORKER": self.worker_stream_port}
        return {f"{side}_STREAM_ADDR": f"127.0.0.1:{port}" for side, port in ports.items() if self.settings.get(f"{side}_AUTH_PROVIDER")}

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def kill(self):
        """As the kernel's OOM killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, deadline_seconds=20):
        """The exit status and the seconds it took."""
        begin = time.monotonic()
        return self.process.wait(deadline_seconds), time.monotonic() - begin

    def stop(self):
        if self.running:
            self.terminate()
            try:
                status, _ = self.wait_exit()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("SIGTERM did not end the broker within 20 s") from None
            assert status == 0, f"exit status {status}\n{self.log()[-4000:]}"
        for word in SANITIZER_WORDS:
            assert word not in self.log(), self.log()[-8000:]

    def restart(self, **start):
        self.kill()
        return self.start(**start)

    def get(self, path, headers=()):
        return net.exchange(self.port, "GET", path, headers=headers, tls=self.tls)

    def metrics(self):
        """{'name{labels}': value} of one scrape."""
        answer = self.get("/metrics")
        assert answer.status == 200
        values = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                key, value = line.split(" # ")[0].rsplit(" ", 1)
                values[key] = float(value)
        return values

    def wait_for_metric(self, key, at_least, deadline_seconds=10):
        """Counters are only to be asked for, so this asks."""
        deadline = time.monotonic() + deadline_seconds
        while self.metrics().get(key, 0) < at_least:
            assert time.monotonic() < deadline, f"{key} stays below {at_least}: {self.metrics()}"
            time.sleep(0.02)
