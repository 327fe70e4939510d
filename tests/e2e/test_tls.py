"""HTTPS as clients meet it: whole lives of tasks, clients' certificates, renewal under load, and handshakes that never end."""

import http.client
import inspect
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest

import test_life
from harness import BASE, Certificates, Raw, World, request_bytes
from harness.paths import HttpPaths, StreamPaths
from harness.stream import Producer, WorkerStream, channel_to

DONE, FAILED = (f'codeq_tls_{{}}_total{{{{listener="http",outcome="{outcome}"}}}}' for outcome in ("done", "failed"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def credentials_of(certificates, pair=None):
    shown = {"certificate_chain": pair[0].read_bytes(), "private_key": pair[1].read_bytes()} if pair else {}
    return grpc.ssl_channel_credentials(certificates.ca.read_bytes(), **shown)


@pytest.fixture(scope="module")
def secure(tmp_path_factory, certificates):
    """One world for all tests that need nothing special: HTTPS, no certificates of clients."""
    world = World(tmp_path_factory.mktemp("secure"), tls=certificates.client(), **certificates.settings())
    world.broker.stream_credentials = credentials_of(certificates)
    yield world
    world.stop()


@pytest.fixture(params=[HttpPaths, StreamPaths])
def secure_over(request, secure):
    """As `over` of conftest.py, through TLS."""
    paths = request.param(secure)
    yield paths
    paths.close()


@pytest.fixture
def own(new_world, tmp_path):
    """A world with certificates of its own."""
    def make(backend=False, pair=None, **settings):
        certificates = Certificates(tmp_path / "own")
        if pair:
            pair = certificates.issue(pair)
        settings = {name: str(value).format(ca=certificates.ca) for name, value in settings.items()}
        return new_world(backend=backend, tls=certificates.client(pair), **certificates.settings(**settings)), certificates

    return make


def curl(world, cafile, method, path, token, body=None, *options):
    command = ["curl", "-sS", "--max-time", "20", "--cacert", str(cafile), "-X", method, "-w", "\n%{http_code}",
               "-H", f"Authorization: Bearer {token}", *map(str, options)]
    if body is not None:
        command += ["-d", json.dumps(body)]
    done = subprocess.run([*command, f"https://localhost:{world.broker.port}{BASE}{path}"], capture_output=True, text=True)
    text, _, status = done.stdout.rpartition("\n")
    return done.returncode, int(status or 0), json.loads(text) if text else None


def hello():
    """The first bytes of a client's handshake."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def lives(world):
    for name, test in vars(test_life).items():
        if name.startswith("test_") and list(inspect.signature(test).parameters) == [world]:
            yield pytest.param(test, id=name)


@pytest.mark.parametrize("life", lives("shared"))
def test_every_rule_of_a_requests_trace_holds_over_https(secure, life):
    life(secure)


@pytest.mark.parametrize("life", lives("over"))
def test_every_rule_of_a_tasks_trace_holds_over_https_and_streams_with_tls(secure_over, life):
    life(secure_over)


def test_curl_takes_a_task_through_its_life(secure, certificates):
    command = secure.command()
    producer, worker = secure.tokens.acme_producer, secure.tokens.acme_worker
    for options in ((), ("--tlsv1.2", "--tls-max", "1.2"), ("--http1.0",)):
        ask = lambda *what: curl(secure, certificates.ca, *what, *options)  # noqa: E731
        exit_code, status, task = ask("POST", "/tasks", producer, {"command": command, "payload": {"n": 1}})
        assert (exit_code, status) == (0, 202)
        assert ask("POST", "/tasks/claim", worker, {"commands": [command]})[2]["id"] == task["id"]
        path = f"/tasks/{task['id']}/result"
        assert ask("POST", path, worker, {"status": "COMPLETED", "result": {"ok": 1}})[1] == 200
        assert ask("GET", path, producer, None)[2]["task"]["status"] == "COMPLETED"


def test_large_bodies_and_long_polls_travel_as_they_do_over_http(secure):
    command = secure.command()
    answers = []
    poll = threading.Thread(target=lambda: answers.append(secure.worker.claim(command, wait=20)))
    poll.start()
    task = secure.producer.create(command, {"text": "x" * 1_000_000})
    poll.join(30)
    assert answers[0]["id"] == task["id"] and len(answers[0]["payload"]) > 1_000_000


def test_a_client_that_does_not_trust_the_authority_does_not_speak(secure):
    with pytest.raises(ssl.SSLCertVerificationError):
        Raw(secure.broker.port, tls=ssl.create_default_context())
    assert secure.broker.get("/livez").status == 200


def test_plain_http_to_the_tls_port_is_told_so(secure):
    with Raw(secure.broker.port) as raw:
        raw.send(request_bytes("GET", "/livez"))
        answer = raw.answer()
        assert (answer.status, answer.code, answer.error) == (400, "bad-request", "this port speaks HTTPS, not HTTP")
        raw.half_close()
        assert raw.closed()


def test_old_versions_are_refused(secure, certificates):
    refused = curl(secure, certificates.ca, "GET", "/tasks/x", "t", None, "--tls-max", "1.1", "--tlsv1.0",
                   "--ciphers", "DEFAULT@SECLEVEL=0")
    assert refused[0] == 35 and refused[1] == 0, "curl: TLS connect error"


def test_clients_must_show_a_certificate_of_the_authority_where_that_is_required(own):
    world, certificates = own(pair="worker-7", TLS_CLIENT_CA_FILE="{ca}")
    assert world.producer.create("A")["status"] == "PENDING"
    assert world.worker.claim("A") is not None
    token = world.tokens.acme_producer
    certificates.make_ca("other")
    stranger = certificates.issue("stranger", ca="other")
    assert curl(world, certificates.ca, "POST", "/tasks", token, {"command": "A", "payload": 1})[1] == 0
    assert curl(world, certificates.ca, "POST", "/tasks", token, {"command": "A", "payload": 1},
                "--cert", stranger[0], "--key", stranger[1])[1] == 0
    good = certificates.issue("good")
    assert curl(world, certificates.ca, "POST", "/tasks", token, {"command": "A", "payload": 1},
                "--cert", good[0], "--key", good[1])[1] == 202
    assert curl(world, certificates.ca, "POST", "/tasks", "no-token", {"command": "A", "payload": 1},
                "--cert", good[0], "--key", good[1])[1] == 401, "a certificate is no token"


def test_streams_have_the_same_certificates_and_ask_for_the_same_ones(own):
    world, certificates = own(pair="worker-7", TLS_CLIENT_CA_FILE="{ca}")
    credentials = credentials_of(certificates, certificates.issue("stream-client"))
    with Producer(world.broker.producer_stream_port, world.tokens.acme_producer, credentials=credentials) as producer, \
            WorkerStream(world.broker.worker_stream_port, world.tokens.acme_worker, credentials=credentials) as worker:
        payload = {"text": "x" * 200_000}
        ids = [producer.created("STREAM", payload) for _ in range(20)]
        for task_id in ids:
            task = worker.claim("STREAM")
            assert task.id == task_id and json.loads(task.payload) == payload
            worker.complete(task.id)
    assert all(world.producer.task(task_id)["status"] == "COMPLETED" for task_id in ids)

    for refused in (credentials_of(certificates), None):  # no certificate of its own; plaintext
        for port in (world.broker.producer_stream_port, world.broker.worker_stream_port):
            with channel_to(port, refused) as channel, pytest.raises(grpc.RpcError) as error:
                channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    metrics = world.broker.metrics()
    assert metrics[DONE.format("handshakes").replace("http", "streams")] >= 2
    assert metrics[FAILED.format("handshakes").replace("http", "streams")] >= 2


def test_streams_may_stay_plaintext_where_http_is_not(own):
    world, _ = own(STREAM_TLS_CERT_FILE="none")
    with Producer(world.broker.producer_stream_port, world.tokens.acme_producer) as producer:
        task_id = producer.created("STREAM")
    assert world.worker.claim("STREAM")["id"] == task_id


@pytest.mark.parametrize("settings,said", [
    ({"TLS_CERT_FILE": "/nowhere/cert.pem"}, "tlsKeyFile is not set; TLS needs both"),
    ({"TLS_CERT_FILE": "/nowhere/cert.pem", "TLS_KEY_FILE": "/nowhere/key.pem"}, "/nowhere/cert.pem: No such file"),
    ({"TLS_CERT_FILE": "{certificate}", "TLS_KEY_FILE": "{other}"}, "not the key of the certificate in"),
    ({"TLS_CERT_FILE": "{certificate}", "TLS_KEY_FILE": "{certificate}"}, "no private key can be read from it"),
    ({"TLS_CERT_FILE": "{certificate}", "TLS_KEY_FILE": "{key}", "TLS_CLIENT_AUTH": "require"},
     "tlsClientCaFile is not set"),
    ({"TLS_CERT_FILE": "{certificate}", "TLS_KEY_FILE": "{key}", "TLS_CLIENT_CA_FILE": "{key}"},
     "no certificates can be read from it"),
])
def test_a_wrong_file_stops_the_start_with_a_clear_message(new_world, tmp_path, settings, said):
    certificates = Certificates(tmp_path / "certificates")
    other = certificates.issue("other")[1]
    filled = {name: value.format(certificate=certificates.certificate, key=certificates.key, other=other)
              for name, value in settings.items()}
    world = new_world(backend=False, start=False, **filled)
    with pytest.raises(AssertionError, match="did not start"):
        world.broker.start()
    assert world.broker.process.returncode == 1
    assert re.search(r"\[ERROR\] invalid config: .*" + re.escape(said), world.broker.log()), world.broker.log()
    assert "PRIVATE KEY" not in world.broker.log()
    world.broker.settings = {k: v for k, v in world.broker.settings.items() if not k.startswith("TLS_")}


class Load:
    """Clients that keep connections, and clients that come anew for every request."""

    def __init__(self, world, tls):
        self.world, self.tls = world, tls
        self.stop = threading.Event()
        self.done, self.failures, self.serials = 0, [], set()
        self.threads = [threading.Thread(target=self._run, args=(kept,)) for kept in (True, True, False, False)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def _run(self, kept):
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection("127.0.0.1", self.world.broker.port, timeout=20,
                                                             context=self.tls)
                    connection.connect()
                    self.serials.add(connection.sock.getpeercert()["serialNumber"])
                connection.request("POST", f"{BASE}/tasks", json.dumps({"command": "LOAD", "payload": {"n": 1}}),
                                   {"Authorization": f"Bearer {self.world.tokens.acme_producer}"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 202:
                    self.failures.append(answer.status)
                self.done += 1
                if not kept:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = None


@pytest.mark.slow
def test_certificates_are_renewed_while_it_runs_and_no_request_fails(own):
    world, certificates = own()
    with Load(world, certificates.client()) as load:
        for round_number in range(1, 4):
            before = load.done
            certificates.renew(algorithm=("rsa:2048",) if round_number == 2 else ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
            serial = certificates.serial()
            deadline = time.monotonic() + 20
            while serial not in load.serials:  # found by itself, without a signal
                assert time.monotonic() < deadline, "the new certificate is not shown"
                time.sleep(0.05)
            assert load.done > before
        # A pair that does not fit changes nothing and is said once.
        kept = certificates.serial()
        certificates.key.write_text("not a key\n")
        world.broker.wait_for_metric(FAILED.format("reloads"), 1)
        world.broker.process.send_signal(signal.SIGHUP)
        world.broker.wait_for_metric(FAILED.format("reloads"), 2)
        assert kept in load.serials
        assert ssl_serial(world, certificates) == kept
        certificates.renew()
        world.broker.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while certificates.serial() not in load.serials:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert load.failures == []
    assert len(load.serials) >= 5
    assert "what was there before stays in use" in world.broker.log()
    metrics = world.broker.metrics()
    assert metrics[DONE.format("handshakes")] > 10
    assert metrics['codeq_tls_certificate_expiry_timestamp_seconds{listener="http"}'] > time.time()


def ssl_serial(world, certificates):
    with socket.create_connection(("127.0.0.1", world.broker.port), 10) as raw:
        with certificates.client().wrap_socket(raw, server_hostname="127.0.0.1") as tls:
            return tls.getpeercert()["serialNumber"]


def test_a_hundred_handshakes_that_never_end_are_cut_and_disturb_nobody(own):
    world, certificates = own(HTTP_HEADER_TIMEOUT_SECONDS=2)
    whole = hello()
    slow = [Raw(world.broker.port, timeout=20) for _ in range(100)]
    try:
        for number, raw in enumerate(slow):
            raw.send(whole if number % 2 else whole[: number % len(whole)])  # unanswered ones, and halves
        for _ in range(20):
            world.producer.create("GOOD")
        rest = [raw for number, raw in enumerate(slow) if number % 2 == 0]
        for raw in rest:
            assert raw.closed(), "cut by the broker, with nothing said"
        for raw in slow[1::2]:
            raw.closed()  # after the broker's half of the handshake
        world.broker.wait_for_metric(FAILED.format("handshakes"), 99)  # the first said nothing at all
    finally:
        for raw in slow:
            raw.close()
    assert world.producer.create("GOOD")["status"] == "PENDING"


def test_sigterm_ends_the_broker_in_time_whatever_its_tls_connections_are_doing(own):
    world, certificates = own()
    port, tls = world.broker.port, certificates.client()
    idle, half = Raw(port, tls=tls), Raw(port, tls=tls)
    idle.send(request_bytes("GET", "/livez"))
    assert idle.answer().status == 200
    half.send(request_bytes("POST", f"{BASE}/tasks", world.tokens.acme_producer, b'{"command"')[:-4])
    silent, shaking = Raw(port), Raw(port)
    shaking.send(hello()[:100])
    answers = []
    poll = threading.Thread(target=lambda: answers.append(world.worker.call(
        "POST", "/tasks/claim", {"commands": ["IDLE"], "waitSeconds": 30})))
    poll.start()
    time.sleep(0.5)  # There is no way to see from outside that a poll is parked.
    world.broker.terminate()
    status, seconds = world.broker.wait_exit()
    poll.join(10)
    assert status == 0 and seconds <= 16
    assert answers[0].status == 204
    assert idle.closed() and silent.closed() and shaking.closed()
    for raw in (idle, half, silent, shaking):
        raw.close()


def test_a_client_that_is_gone_in_the_middle_of_everything_leaves_nothing_behind(own):
    world, certificates = own()
    tls = certificates.client()
    task = world.producer.create("BIG", {"text": "x" * 500_000})
    for _ in range(20):
        raw = Raw(world.broker.port, tls=tls)
        raw.send(request_bytes("GET", f"{BASE}/tasks/{task['id']}", world.tokens.acme_producer) * 20)
        raw.reset()
    raw = Raw(world.broker.port, tls=tls)
    raw.send(request_bytes("GET", f"{BASE}/tasks/{task['id']}", world.tokens.acme_producer))
    assert len(raw.answer().body) > 500_000
    raw.close()
