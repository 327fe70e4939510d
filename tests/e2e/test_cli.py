"""The client commands of `codeq`, as people and scripts of the reference call them, against a real broker."""

import json
import shutil
import signal
import ssl
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import Context
from harness.cli import Cli


@pytest.fixture
def cli(shared, tmp_path):
    return Cli(shared.broker, tmp_path, producer=shared.tokens.acme_producer, worker=shared.tokens.acme_worker)


@pytest.fixture
def nobody(tmp_path):
    """A client that nothing was told: no address, no token."""
    return Cli(None, tmp_path)


@pytest.fixture
def admin(shared, tmp_path):
    cli = Cli(shared.broker, tmp_path, producer=shared.tokens.acme_admin, worker=shared.tokens.acme_worker)
    probe = shared.producer.call("GET", "/admin/queues")
    if probe.body == b"404 page not found":
        pytest.skip("this broker has no admin routes yet")
    return cli


class Service:
    """An HTTP server that remembers requests and answers from a table; with certificates if it is given some."""

    def __init__(self, context=None):
        self.requests = []
        self.answers = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                outer.requests.append((self.command, self.path, dict(self.headers.items()), body))
                status, answer = outer.answers.get(self.path.split("?")[0], (404, {"error": "unknown"}))
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # A client that refuses our certificate is what a test wants.

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def service():
    made = []

    def make(context=None):
        made.append(Service(context))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_the_reference_scripts_way_through_a_task(cli, shared):
    command = shared.command()
    created = cli.run("task", "create", "--event", command, "--payload", '{"jobId":7}', "--priority", "10")
    assert created.out.startswith("[OK] Task created: ") and created.out.count("\n") == 1 and created.err == ""
    task_id = created.out.split()[-1]  # the last word, as scripts take it
    got = cli.run("task", "get", task_id)
    assert got.json["id"] == task_id and got.json["payload"] == '{"jobId":7}' and got.json["priority"] == 9
    early = cli.run("task", "result", task_id, expect=1)
    assert early.err.startswith("[ERROR] error (404): {") and "result not found" in early.err and early.out == ""
    shared.worker.claim(command)
    shared.worker.complete(task_id, {"ok": 1})
    result = cli.run("task", "result", task_id)
    assert result.json["result"]["result"] == {"ok": 1}
    assert cli.run("task", "result", task_id, "--wait-seconds", "5", "--json").json == result.json


def test_every_option_of_create_reaches_the_broker(cli, shared):
    command = shared.command()
    raw = '{"n":12345678901234567890,"a":[1.0, 2e5]}'
    options = ["--event", command, "--payload", raw, "--priority", "3", "--webhook", "http://127.0.0.1:9/x", "--max-attempts", "7",
               "--idempotency-key", command, "--delay-seconds", "3600"]
    created = cli.run("task", "create", *options, "--json").json
    assert created["payload"] == raw and created["priority"] == 3 and created["maxAttempts"] == 7
    assert created["webhook"] == "http://127.0.0.1:9/x" and created["lastKnownLocation"] == "DELAYED_ZSET"
    again = cli.run("task", "create", *options)
    assert again.out.split()[-1] == created["id"], "the same key"
    later = cli.run("task", "create", "--event", command, "--payload", "1", "--run-at", "2030-01-01T00:00:00Z", "--json")
    assert later.json["lastKnownLocation"] == "DELAYED_ZSET"
    from_stdin = cli.run("task", "create", "--event", command, "--payload-file", "-", "--json", stdin=" [1,\n2] ")
    assert json.loads(from_stdin.json["payload"]) == [1, 2]
    (cli.folder / "payload.json").write_text('"file"')
    assert cli.run("task", "create", "--event", command, "--payload-file", "payload.json", "--json").json["payload"] == '"file"'


def test_a_task_created_in_a_traced_process_is_in_its_trace(cli, shared):
    ctx = Context.new()
    env = {"TRACEPARENT": ctx.traceparent, "TRACESTATE": ctx.tracestate, "BAGGAGE": ctx.baggage}
    task = cli.run("task", "create", "--event", shared.command(), "--payload", "1", "--json", **env).json
    assert Context.parse(task["traceParent"]).trace_id == ctx.trace_id and task["traceState"] == ctx.tracestate
    claimed = shared.worker.claim(task["command"])
    assert claimed["baggage"] == ctx.baggage
    shared.worker.complete(task["id"])
    trace = cli.run("task", "trace", task["id"])
    assert ctx.trace_id in trace.out and "codeq.task.run" in trace.out and "1 attempts" in trace.out
    assert cli.run("task", "trace", task["id"], "--json").json == shared.producer.timeline(task["id"])
    # What is no context is none.
    for wrong in ("", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
        assert cli.run("task", "create", "--event", task["command"], "--payload", "1", TRACEPARENT=wrong)


def test_wrong_input_is_refused_before_anything_is_sent(cli, nobody):
    wrong = cli.run("task", "create", "--event", "X", "--payload", "{", expect=1)
    assert wrong.err.startswith("[ERROR] invalid payload: not JSON at byte 1"), wrong
    assert "--payload" in cli.run("task", "create", "--event", "X", expect=1).err
    assert "--event" in cli.run("task", "create", "--payload", "1", expect=2).err
    assert "http" in nobody.run("task", "get", "x", "--base-url", "ftp://x", expect=1).err
    for words in (["task"], ["task", "nope"], ["auth"], ["worker"], ["queue", "inspect"], ["worker", "start"],
                  ["worker", "start", "--events", "X", "--ack", "eat"], ["task", "get", "a", "b"]):
        assert nobody.run(*words, expect=2).err, words


def test_a_broker_that_is_not_there_is_said_so(nobody):
    away = nobody.run("task", "get", "x", "--base-url", "http://127.0.0.1:1", expect=1)
    assert away.err.startswith("[ERROR] cannot reach http://127.0.0.1:1/v1/codeq/tasks/x: "), away


def test_names_from_the_command_line_stay_one_segment_of_the_path(cli):
    assert cli.run("task", "get", "../admin/queues?x=1#y", expect=1).err.startswith("[ERROR] error (404): ")


def test_flags_beat_the_environment_which_beats_the_profile(cli, nobody, shared):
    base, token = cli.env["CODEQ_BASE_URL"], shared.tokens.acme_producer
    nobody.run("init", "--no-prompt", "--base-url", base, "--producer-token", token)
    task = nobody.run("task", "create", "--event", shared.command(), "--payload", "1", "--json").json
    assert task["tenantId"] == "acme"
    other = nobody.run("task", "create", "--event", "X", "--payload", "1", "--json",
                       CODEQ_PRODUCER_TOKEN=shared.tokens.globex_producer).json
    assert other["tenantId"] == "globex"
    back = nobody.run("--producer-token", token, "task", "create", "--event", "X", "--payload", "1", "--json",
                      CODEQ_PRODUCER_TOKEN=shared.tokens.globex_producer).json
    assert back["tenantId"] == "acme"
    # The same flag behind the command.
    back = nobody.run("task", "create", "--event", "X", "--payload", "1", "--json", "--producer-token", token,
                      CODEQ_PRODUCER_TOKEN=shared.tokens.globex_producer).json
    assert back["tenantId"] == "acme"
    # A producer's call takes the worker's token where there is no other.
    refused = nobody.run("task", "get", task["id"], "--profile", "none", expect=1)
    assert "no profile 'none'" in refused.err
    nobody.run("init", "--no-prompt", "--base-url", base, "--worker-token", shared.tokens.acme_worker, "--profile", "w")
    assert nobody.run("task", "get", task["id"]).json["id"] == task["id"]


def test_init_writes_a_profile_for_its_owner_alone(nobody):
    path = nobody.folder / "profiles" / "config.yaml"
    out = nobody.run("init", "--no-prompt", "--producer-token", "prod-secret-token", "--profile", "staging", "--admin")
    assert out.out == f"[OK] Initialized profile 'staging' at {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text()
    assert "currentProfile" in text and "http://localhost:8080" in text and "admin: true" in text
    assert nobody.run("init", "--no-prompt", "--json", "--profile", "x").json == {"profile": "x", "path": str(path)}


def test_home_is_where_profiles_live_without_the_variable(nobody, tmp_path):
    nobody.run("init", "--no-prompt", CODEQ_CONFIG_DIR=None, HOME=tmp_path)
    assert (tmp_path / ".codeq" / "config.yaml").exists()
    nowhere = nobody.run("init", "--no-prompt", CODEQ_CONFIG_DIR=None, expect=1)
    assert "HOME" in nowhere.err
    # Who only calls needs none.
    assert nobody.run("auth", "show", "--json", CODEQ_CONFIG_DIR=None, CODEQ_BASE_URL="http://x").json["baseUrl"] == "http://x"


def test_tokens_are_set_shown_masked_and_cleared(nobody):
    assert nobody.run("auth", "set", "--producer-token", "prod-0123456789", "--worker-token", "short").out == \
        "[OK] Credentials updated for 'default'\n"
    shown = nobody.run("auth", "show")
    assert "prod...6789" in shown.out and "****" in shown.out
    assert "prod-0123456789" not in shown.out and "short" not in shown.out
    as_json = nobody.run("auth", "show", "--json").json
    assert as_json["producerToken"] == "prod...6789" and as_json["workerToken"] == "****" and as_json["admin"] is False
    assert nobody.run("auth", "clear", "--worker").out == "[OK] Tokens cleared for 'default'\n"
    assert nobody.run("auth", "show", "--json").json["workerToken"] == "(not set)"
    assert nobody.run("auth", "show", "--json").json["producerToken"] == "prod...6789"
    nobody.run("auth", "clear")
    assert nobody.run("auth", "show", "--json").json["producerToken"] == "(not set)"
    assert "nothing to set" in nobody.run("auth", "set", expect=1).err


def test_a_profile_file_that_cannot_be_read_is_named_with_its_line(nobody):
    path = nobody.folder / "profiles" / "config.yaml"
    path.parent.mkdir()
    for text in ("profiles: [1]", "a: b: c", "profiles:\n  default:\n    token: [secret-x]", "\x00", "x: &a 1"):
        path.write_text(text)
        wrong = nobody.run("auth", "show", expect=1)
        assert str(path) in wrong.err and "secret-x" not in wrong.err, wrong


def test_no_role_goes_along_unless_asked_for(nobody, service):
    broker = service()
    broker.answers["/v1/codeq/admin/queues/X"] = (200, {"ready": 1, "delayed": 2, "inProgress": 3, "dlq": 4})
    base = ["--base-url", f"http://127.0.0.1:{broker.port}", "--producer-token", "t"]
    line = nobody.run("queue", "inspect", "X", *base)
    assert line.out == "READY: 1 | DELAYED: 2 | IN_PROGRESS: 3 | DLQ: 4\n"
    nobody.run("queue", "inspect", "X", *base, "--admin")
    nobody.run("queue", "inspect", "X", *base, CODEQ_ADMIN="yes")
    nobody.run("queue", "inspect", "X", *base, "--admin=false", CODEQ_ADMIN="yes")
    nobody.run("task", "get", "X", "--base-url", f"http://127.0.0.1:{broker.port}", expect=1)
    assert [headers.get("X-Role") for _, _, headers, _ in broker.requests] == [None, "ADMIN", "ADMIN", None, None]
    assert [headers.get("Authorization") for _, _, headers, _ in broker.requests] == ["Bearer t"] * 4 + [None], "no default token"


def test_a_login_escapes_what_it_sends_and_keeps_the_exchanged_token(nobody, service):
    iam = service()
    iam.answers["/v1/signInWithPassword"] = (200, {"idToken": "id-token-0123456789"})
    iam.answers["/v1/token/exchange"] = (200, {"accessToken": "access-token-0123456789"})
    flags = ["--iam-base-url", f"http://127.0.0.1:{iam.port}/v1/", "--iam-api-key", "k&y", "--no-prompt"]
    password = 'p"w\\,"admin":true'
    done = nobody.run("auth", "login", "--email", "jo@example.com", "--password", password, "--tenant-id", "acme",
                      "--scope", "a", "--scope", "b", *flags)
    assert done.out == "[OK] Logged in. Token stored for 'jo_example_com'\n"
    (_, path, headers, body), (_, path2, _, body2) = iam.requests
    assert path == "/v1/signInWithPassword?key=k%26y" and headers["Content-Type"] == "application/json"
    sent = json.loads(body)
    assert sent["email"] == "jo@example.com" and sent["password"] == password and "admin" not in sent
    assert path2 == "/v1/token/exchange?key=k%26y"
    assert json.loads(body2) == {"idToken": "id-token-0123456789", "audience": "codeq-producer", "tenantId": "acme",
                                 "scopes": ["a", "b"]}
    shown = nobody.run("auth", "show", "--json").json
    assert shown["profile"] == "jo_example_com" and shown["producerToken"] == "acce...6789" == shown["token"]


def test_a_login_by_templates_may_carry_the_key_in_a_header(nobody, service):
    iam = service()
    iam.answers["/session"] = (200, {"data": {"jwt": "jwt-token-0123456789"}})
    out = nobody.run("auth", "login", "--email", "a@b", "--password", "p&w", "--no-prompt", "--no-exchange", "--save=false",
                     "--login-url", f"http://127.0.0.1:{iam.port}/session", "--method", "PUT",
                     "--content-type", "application/x-www-form-urlencoded", "--payload", "u={{email}}&p={{password}}",
                     "--header", "X-Api-Key: {{apiKey}}", "--token-path", "data.jwt", "--iam-api-key", "the-key")
    assert out.out == "jwt-token-0123456789\n"
    [(method, path, headers, body)] = iam.requests
    assert (method, path, body) == ("PUT", "/session", "u=a%40b&p=p%26w") and headers["X-Api-Key"] == "the-key"
    assert not (nobody.folder / "profiles").exists()


def test_a_login_that_fails_says_why_without_secrets(nobody, service):
    iam = service()
    flags = ["--email", "a@b", "--password", "password-secret", "--no-prompt", "--iam-api-key", "key-secret",
             "--iam-base-url", f"http://127.0.0.1:{iam.port}"]
    iam.answers["/signInWithPassword"] = (400, {"error": "INVALID_PASSWORD"})
    refused = nobody.run("auth", "login", *flags, expect=1)
    assert refused.err.startswith("[ERROR] error (400): ") and "INVALID_PASSWORD" in refused.err
    iam.answers["/signInWithPassword"] = (200, {"other": "answer-secret"})
    odd = nobody.run("auth", "login", *flags, expect=1)
    assert "idToken" in odd.err
    away = nobody.run("auth", "login", *flags, "--iam-base-url", "http://127.0.0.1:1", expect=1)
    for text in (refused.err, odd.err, away.err):
        assert "secret" not in text, text
    assert "--email" in nobody.run("auth", "login", "--no-prompt", expect=1).err


def test_worker_start_claims_and_settles_as_it_is_told(cli, shared):
    for ack, after in (("complete", "COMPLETED"), ("abandon", "PENDING"), ("nack", "PENDING"), ("none", "IN_PROGRESS")):
        command = shared.command()
        task = shared.producer.create(command)
        run = cli.start("worker", "start", "--events", f"{command},OTHER", "--ack", ack, "--nack-delay", "3600", "--wait-seconds", "1",
                        *(["--lease-seconds", "600"] if ack == "none" else []))
        assert run.wait_line("[OK] Task claimed:") == f"[OK] Task claimed: {task['id']} ({command})"
        if ack == "complete":
            record = shared.producer.result(task["id"], wait=10)["result"]
            assert record["result"]["handledBy"] == "codeq" and record["result"]["ts"].endswith("Z")
        if ack == "abandon":
            run.wait_line("[OK] Task claimed:", count=2)  # at once again
        run.end(signal.SIGTERM)
        seen = shared.producer.task(task["id"])
        if ack == "nack":
            assert seen["lastKnownLocation"] == "DELAYED_ZSET"
        if ack != "abandon":
            assert seen["status"] == after, ack


def test_worker_start_warns_and_goes_on(cli, shared):
    run = cli.start("worker", "start", "--events", "X", CODEQ_WORKER_TOKEN="wrong")
    assert run.wait_line("[WARN]", "err").startswith("[WARN] error (401): ")
    run.end(signal.SIGINT)
    command = shared.command()
    shared.producer.create(command)
    run = cli.start("worker", "start", "--events", command, "--json", "--ack", "none")
    assert json.loads(run.wait_line("{"))["command"] == command
    run.end()


def test_what_is_not_here_says_what_to_do_instead(nobody):
    for words in (["install", "--target", "kubernetes", "--size", "dev", "--execute"],
                  ["migrate-shards", "--config", "x", "--command", "Y", "--dry-run"]):
        absent = nobody.run(*words, expect=69)
        assert absent.err.startswith(f"[ERROR] `codeq {words[0]}` is not here: ") and absent.out == ""


def test_help_names_every_command_and_the_statuses(nobody):
    text = nobody.run("--help").out
    for word in ("init", "auth", "task", "worker", "queue", "dlq", "completion", "serve", "Exit status", "69"):
        assert word in text, word
    run = nobody.run("worker", "run", "--help").out
    for word in ("--on-error", "75", "TRACEPARENT", "--kill-after", "SIGTERM"):
        assert word in run, word


def test_completion_scripts_are_sound_and_know_the_commands(nobody, tmp_path):
    script = nobody.run("completion", "bash").out
    (tmp_path / "codeq.bash").write_text(script)
    asked = ('source codeq.bash\n'
             'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _codeq; echo "${COMPREPLY[*]}"; }\n'
             'ask codeq wor\nask codeq worker s\nask codeq worker start --a\nask codeq worker start --ack n\n'
             'ask codeq --profile task au\nask codeq worker run -- ./x t\nask codeq serve --base\n')
    answers = subprocess.run(["bash", "--norc", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answers.stderr == ""
    assert answers.stdout.splitlines() == ["worker", "start", "--admin --ack", "nack none", "auth", "", ""]
    for shell in ("zsh", "fish"):
        text = nobody.run("completion", shell).out
        assert "worker/run" in text
        if shutil.which(shell):
            (tmp_path / shell).write_text(text)
            subprocess.run([shell, "-n", shell], cwd=tmp_path, check=True)
    assert nobody.run("completion", "csh", expect=2).err


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "2", "-subj", "/CN=test-ca")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out",
                f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", f"{name}.pem")
    return folder


def test_https_is_checked_against_the_named_authority_and_a_certificate_is_shown(nobody, service, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    broker = service(context)
    broker.answers["/v1/codeq/tasks/x"] = (200, {"id": "x"})
    base = ["task", "get", "x", "--base-url", f"https://127.0.0.1:{broker.port}"]
    strange = nobody.run(*base, expect=1)
    assert "certificate" in strange.err, strange
    ours = ["--ca-file", certificates / "ca.pem"]
    anonymous = nobody.run(*base, *ours, expect=1)
    assert anonymous.err.startswith("[ERROR] cannot reach"), anonymous
    mutual = [*ours, "--client-cert", certificates / "client.pem", "--client-key", certificates / "client.key"]
    assert nobody.run(*base, *mutual).json == {"id": "x"}
    by_variables = {"CODEQ_CA_FILE": certificates / "ca.pem", "CODEQ_CLIENT_CERT": certificates / "client.pem",
                    "CODEQ_CLIENT_KEY": certificates / "client.key"}
    assert nobody.run(*base, **by_variables).json == {"id": "x"}
    nobody.run("init", "--no-prompt", "--base-url", f"https://127.0.0.1:{broker.port}", *mutual)
    assert nobody.run("task", "get", "x").json == {"id": "x"}
    missing = nobody.run(*base, "--ca-file", "/nowhere.pem", expect=1)
    assert "/nowhere.pem" in missing.err or "CAfile" in missing.err, missing


def test_a_redirect_keeps_method_and_body(nobody, shared, service):
    moved = service()
    target = f"http://127.0.0.1:{shared.broker.port}/v1/codeq/tasks"

    def answer(handler):
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.send_response(307)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    moved.server.RequestHandlerClass.do_POST = answer
    # The token is not sent on to another origin: the new one says who may.
    refused = nobody.run("task", "create", "--event", "X", "--payload", "1", "--base-url", f"http://127.0.0.1:{moved.port}",
                         "--producer-token", shared.tokens.acme_producer, expect=1)
    assert refused.err.startswith("[ERROR] error (401): "), refused


def test_tasks_are_listed_and_cancelled(admin, shared):
    command = shared.command()
    ids = [shared.producer.create(command)["id"] for _ in range(3)]
    listed = admin.run("task", "list", "--command", command)
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ids[::-1]
    page = admin.run("task", "list", "--command", command, "--limit", "2", "--json").json
    assert [task["id"] for task in page["tasks"]] == ids[:0:-1] and page["cursor"]
    rest = admin.run("task", "list", "--command", command, "--limit", "2", "--cursor", page["cursor"], "--json").json
    assert [task["id"] for task in rest["tasks"]] == ids[:1]
    assert admin.run("task", "cancel", ids[0], "--reason", "not needed").out == f"[OK] Task cancelled: {ids[0]}\n"
    assert "not needed" in shared.producer.task(ids[0])["error"]
    assert admin.run("task", "cancel", ids[0], expect=1).err.startswith("[ERROR] error (409): ")
    assert admin.run("task", "list", "--command", command, "--state", "ready", "--json").json["tasks"].__len__() == 2


def test_queues_are_listed_inspected_paused_and_resumed(admin, shared):
    command = shared.command()
    shared.producer.create(command)
    assert admin.run("queue", "inspect", command).out == "READY: 1 | DELAYED: 0 | IN_PROGRESS: 0 | DLQ: 0\n"
    assert admin.run("queue", "inspect", command, "--json").json["ready"] == 1
    [row] = [line for line in admin.run("queue", "list").out.splitlines() if line.split()[-1] == command.lower()]
    assert row.split()[:4] == ["1", "0", "0", "0"]
    assert isinstance(admin.run("queue", "list", "--json").json, dict)
    assert admin.run("queue", "pause", command).out == f"[OK] Queue paused: {command}\n"
    assert admin.run("queue", "inspect", command).out.endswith(" | PAUSED\n")
    assert shared.worker.claim(command) is None
    assert admin.run("queue", "resume", command).out == f"[OK] Queue resumed: {command}\n"
    assert shared.worker.claim(command) is not None
    # Without the right no more than the broker's refusal.
    refused = admin.run("queue", "list", expect=1, CODEQ_PRODUCER_TOKEN=shared.tokens.acme_producer)
    assert refused.err.startswith("[ERROR] error (401): ") and "Admin only" in refused.err


def test_dead_letters_are_listed_redriven_and_purged(admin, shared):
    command = shared.command()
    ids = []
    for reason in ("disk full", "other"):
        task = shared.producer.create(command, maxAttempts=1)
        shared.worker.claim(command)
        shared.worker.nack(task["id"], 1, reason)
        ids.append(task["id"])
    listed = admin.run("dlq", "list", "--command", command)
    assert {line.split()[0] for line in listed.out.splitlines()[1:]} == set(ids)
    assert admin.run("dlq", "redrive", "--command", command, "--dry-run").out == "[OK] Dead letters that match: 2\n"
    assert admin.run("dlq", "redrive", "--id", ids[0], "--rate", "10").out == "[OK] Dead letters redriven: 1\n"
    assert shared.worker.claim(command, wait=5)["id"] == ids[0]
    assert "--yes" in admin.run("dlq", "purge", "--command", command, expect=1).err
    assert admin.run("dlq", "purge", "--command", command, "--dry-run").out == "[OK] Dead letters that match: 1\n"
    assert admin.run("dlq", "purge", "--command", command, "--yes", "--json").json["purged"] == 1
    assert admin.run("task", "get", ids[1], expect=1)


def test_without_a_word_of_anybody_the_defaults_hold(nobody):
    shown = nobody.run("auth", "show", "--json").json
    assert shown["baseUrl"] == "http://localhost:8080" and shown["producerToken"] == "(not set)"
