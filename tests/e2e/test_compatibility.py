"""What docs/compatibility.md promises and no other test shows: shapes, limits, settings and flags of the reference."""

import calendar
import datetime
import json
import socket
import time

import pytest
from harness import Context
from harness.cli import Cli
from harness.net import free_port
from harness.stream import messages

TASK = ["id", "command", "payload", "priority", "webhook", "traceParent", "traceState", "status", "lastKnownLocation", "workerId",
        "leaseUntil", "attempts", "maxAttempts", "error", "resultKey", "tenantId", "createdAt", "updatedAt"]
RECORD = ["taskId", "status", "result", "error", "artifacts", "completedAt"]


def in_order(members, reference, ours=()):
    """The reference's members in the reference's order, and behind them nothing but what is named as ours."""
    known = [name for name in reference if name in members]
    assert list(members)[:len(known)] == known and set(members) - set(known) <= set(ours), list(members)
    return known


# Shapes

def test_a_task_has_the_members_of_the_reference_in_its_order(shared):
    command, ours = shared.command(), ("originTraceParent", "leaseToken", "baggage")
    created = shared.producer.create(command, ctx=Context.new(), priority=3, maxAttempts=1, webhook=shared.hooks.url(f"/{command}"))
    absent = {"workerId", "leaseUntil", "attempts", "error", "resultKey"}
    assert in_order(created, TASK, ours) == [name for name in TASK if name not in absent]
    assert in_order(shared.worker.claim(command), TASK, ours) == [name for name in TASK if name not in {"error", "resultKey"}]
    shared.worker.nack(created["id"], reason="why")
    dead = shared.producer.task(created["id"])
    assert in_order(dead, TASK, ours) == [name for name in TASK if name not in {"workerId", "leaseUntil"}]
    assert (dead["status"], dead["lastKnownLocation"], dead["error"]) == ("FAILED", "DLQ_SET", "why")


def test_a_result_record_has_the_members_of_the_reference_in_its_order(shared):
    command = shared.command()
    task = shared.producer.create(command)
    shared.worker.claim(command)
    record = shared.worker.call("POST", f"/tasks/{task['id']}/result", {
        "status": "COMPLETED", "result": {"a": 1}, "error": "but", "artifacts": [{"name": "n", "url": "https://example.org/"}]}).json
    assert in_order(record, RECORD) == RECORD
    assert list(record["artifacts"][0]) == ["name", "url"]


def fields_of(message):
    return {field.name: field.number for field in message.DESCRIPTOR.fields}


MESSAGES = {
    "producerpb": {
        "ProducerEvent": "hello create create_batch", "ServerEvent": "hello_ack create_ack error create_ack_batch",
        "Hello": "token", "HelloAck": "tenant_id subject",
        "CreateTask": "seq command payload priority webhook max_attempts idempotency_key run_at delay_seconds trace_parent trace_state",
        "CreateTaskBatch": "tasks", "CreateAck": "seq ok task_id error_message", "CreateAckBatch": "acks",
        "ServerError": "code message"},
    "workerpb": {
        "WorkerEvent": "hello ready result nack heartbeat abandon result_batch",
        "ServerEvent": "hello_ack task result_ack heartbeat_ack nack_ack abandon_ack error task_batch result_ack_batch",
        "Task": "id command payload priority webhook max_attempts status worker_id lease_until attempts tenant_id created_at "
                "updated_at trace_parent trace_state baggage",
        "Hello": "token worker_id", "HelloAck": "worker_id tenant_id", "Ready": "commands lease_seconds count",
        "Result": "task_id status result_json error", "Nack": "task_id delay_seconds reason", "Heartbeat": "task_id extend_seconds",
        "Abandon": "task_id", "ResultBatch": "results", "TaskAssignment": "task", "TaskBatch": "tasks",
        "ResultAck": "task_id ok error_message", "HeartbeatAck": "task_id ok error_message", "AbandonAck": "task_id ok error_message",
        "NackAck": "task_id ok error_message applied_delay_seconds dlq", "ResultAckBatch": "acks", "ServerError": "message code"},
}


@pytest.mark.parametrize("package", MESSAGES)
def test_the_messages_of_the_streams_have_the_fields_and_numbers_of_the_reference(package):
    """In both packages a message's fields are numbered from 1 in the order in which they stand here."""
    module = messages(package)
    assert module.DESCRIPTOR.package == package
    assert {name for name in module.DESCRIPTOR.message_types_by_name} == set(MESSAGES[package])
    for name, fields in MESSAGES[package].items():
        assert fields_of(getattr(module, name)) == {field: n for n, field in enumerate(fields.split(), 1)}, name


# Rules of single calls

def test_run_at_wins_over_delay_seconds_and_the_past_is_now(shared):
    command = shared.command()
    past = shared.producer.create(command, runAt="2020-01-01T00:00:00Z", delaySeconds=3600)
    assert (past["status"], past["lastKnownLocation"]) == ("PENDING", "PENDING_LIST")
    for when in ("2100-01-01T00:00:00Z", "2100-01-01T00:00:00.25-03:00"):
        later = shared.producer.create(command, runAt=when, delaySeconds=0)
        assert (later["status"], later["lastKnownLocation"]) == ("PENDING", "DELAYED_ZSET")
    assert shared.worker.claim(command)["id"] == past["id"] and shared.worker.claim(command) is None


def test_a_payload_may_be_missing_in_a_batch_only(shared):
    command = shared.command()
    for body in ({"command": command}, {"command": command, "payload": None}):
        answer = shared.producer.call("POST", "/tasks", body)
        assert (answer.status, answer.error) == (400, "invalid body")
        (item,) = shared.producer.create_batch([body])
        assert item["task"]["payload"] == "null"


def test_a_batch_claim_takes_up_to_a_hundred(shared):
    command = shared.command()
    ids = [item["task"]["id"] for item in shared.producer.create_batch([{"command": command, "payload": n} for n in range(100)])]
    assert [task["id"] for task in shared.worker.claim_batch(command, 100)] == ids


def test_a_nacks_delay_is_capped_and_zero_means_the_back_off(new_world):
    world = new_world(backend=False, BACKOFF_BASE_SECONDS=3, BACKOFF_MAX_SECONDS=7)
    for asked, got in ((3600, 7), (5, 5), (0, 3), (-1, 3)):
        task = world.producer.create("X")
        world.worker.claim("X")
        assert world.worker.nack(task["id"], asked) == {"delaySeconds": got, "status": "requeued"}


def test_a_lease_is_the_default_where_none_is_named_and_abandon_reads_no_body(shared):
    command = shared.command()
    task = shared.producer.create(command)
    for body in ({"commands": [command]}, {"commands": [command], "leaseSeconds": -1}):
        claimed = shared.worker.call("POST", "/tasks/claim", body)
        until = calendar.timegm(time.strptime(claimed.json["leaseUntil"], "%Y-%m-%dT%H:%M:%SZ"))
        assert 290 <= until - time.time() <= 301, "five minutes, in whole seconds"
        answer = shared.worker.call("POST", f"/tasks/{task['id']}/abandon", b"")
        assert (answer.status, answer.json) == (200, {"status": "requeued"})


def test_a_subscription_lasts_five_minutes_where_no_time_is_named(shared):
    answer = shared.worker.call("POST", "/workers/subscriptions", {"callbackUrl": "http://example.org/x",
                                                                   "eventTypes": [shared.command()]})
    assert answer.status == 200 and answer.json.keys() == {"expiresAt", "subscriptionId"}
    until = datetime.datetime.fromisoformat(answer.json["expiresAt"][:19] + "+00:00").timestamp()
    assert 290 <= until - time.time() <= 301


@pytest.mark.slow
def test_a_claim_waits_thirty_seconds_at_most(shared):
    began = time.monotonic()
    assert shared.worker.claim(shared.command(), wait=3600) is None
    assert time.monotonic() - began < 40, "an hour was asked for"


def test_claims_of_invented_commands_cost_no_memory(new_world):
    world = new_world(backend=False)

    def resident():
        with open(f"/proc/{world.broker.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) << 10

    before = resident()
    for n in range(20):
        assert world.worker.claim([f"INVENTED-{n}-{k}" for k in range(1000)]) is None
    # The reference would take some 480 GB. A sanitized build keeps freed memory for a while.
    assert resident() - before < 1 << 30
    assert world.admin.queues() == {}


# Settings

VARIABLES = """
PORT=18080 REDIS_ADDR=h:1 REDIS_PASSWORD=p KVROCKS_PASSWORD=p PERSISTENCE_PROVIDER=pebble PERSISTENCE_CONFIG={"path":"/nowhere"}
TRACING_ENABLED=true TRACING_SERVICE_NAME=n TRACING_OTLP_ENDPOINT=h:4317 TRACING_OTLP_INSECURE=yes TRACING_SAMPLE_RATIO=0.5
IDENTITY_SERVICE_URL=https://id.test IDENTITY_SERVICE_API_KEY=k IDENTITY_JWKS_URL=https://id.test/k IDENTITY_ISSUER=i
IDENTITY_AUDIENCE=a PRODUCER_AUTH_PROVIDER=static PRODUCER_AUTH_CONFIG={"token":"t"} WORKER_AUTH_PROVIDER=static
WORKER_AUTH_CONFIG={"token":"t","eventTypes":["*"],"scopes":["codeq:claim"]} WORKER_JWKS_URL=https://id.test/w WORKER_ISSUER=i
WORKER_AUDIENCE=a ALLOWED_CLOCK_SKEW_SECONDS=30 ALLOW_PRODUCER_AS_WORKER=1 MAX_ATTEMPTS_DEFAULT=4 BACKOFF_POLICY=linear
BACKOFF_BASE_SECONDS=2 BACKOFF_MAX_SECONDS=20 LOCAL_ARTIFACTS_DIR=/nowhere WEBHOOK_HMAC_SECRET=s SUBSCRIPTION_MIN_INTERVAL_SECONDS=7
SUBSCRIPTION_CLEANUP_INTERVAL_SECONDS=7 RESULT_WEBHOOK_MAX_ATTEMPTS=3 RESULT_WEBHOOK_BASE_BACKOFF_SECONDS=3
RESULT_WEBHOOK_MAX_BACKOFF_SECONDS=30 WORKER_STREAM_ADDR=:9091 PRODUCER_STREAM_ADDR=:9092 CLUSTER_ENABLED=false CLUSTER_SELF_ID=a
CLUSTER_GRPC_ADDR=:9090 CLUSTER_NODES=a=h:1 RAFT_ENABLED=false RAFT_SELF_ID=a RAFT_BIND_ADDR=:7000 RAFT_BOOTSTRAP=true
RAFT_PEERS=a=h:1,b=h:2 RAFT_MUX_ENABLED=true RAFT_PEER_HTTP_ADDRS=a=http://h:1 RAFT_HEARTBEAT_MS=100 RAFT_ELECTION_MS=100
RAFT_LEADER_LEASE_MS=100 RAFT_COMMIT_MS=10 RAFT_APPLY_TIMEOUT_SECONDS=5 RAFT_TOPIC_CATALOG_PROTOCOL=v1
ENV=dev TIMEZONE=UTC LOG_LEVEL=warn LOG_FORMAT=text DEFAULT_LEASE_SECONDS=60 REQUEUE_INSPECT_LIMIT=10
""".split()
TOKENS = {"PRODUCER_AUTH_PROVIDER": "static", "PRODUCER_AUTH_CONFIG": '{"token":"t"}', "WORKER_AUTH_PROVIDER": "static",
          "WORKER_AUTH_CONFIG": '{"token":"t"}'}


@pytest.mark.parametrize("setting", VARIABLES, ids=lambda setting: setting.partition("=")[0])
def test_every_variable_of_the_reference_is_read(tmp_path, setting):
    name, _, value = setting.partition("=")
    checked = Cli(None, tmp_path, **TOKENS | {name: value}).run("config", "check")
    assert f"env {name}" in checked.out + checked.err, "its value has it as its origin"


FILE = """
port: 18080
env: dev
timezone: America/Sao_Paulo
logLevel: info
logFormat: json
redisAddr: kvrocks:6666
redisPassword: p
persistenceProvider: pebble
persistenceConfig: {path: /nowhere, fsyncOnCommit: true, numShards: 1}
tracingEnabled: false
tracingServiceName: codeq
tracingOtlpEndpoint: localhost:4317
tracingOtlpInsecure: true
tracingSampleRatio: 1.0
identityServiceUrl: https://id.test
identityServiceApiKey: k
identityJwksUrl: https://id.test/keys
identityIssuer: https://id.test
identityAudience: codeq
producerAuthProvider: static
producerAuthConfig: {token: t, raw: {tenantId: acme}}
workerAuthProvider: static
workerAuthConfig: {token: t, eventTypes: ["*"], scopes: ["codeq:claim"], raw: {tenantId: acme}}
workerJwksUrl: https://id.test/workers
workerIssuer: https://id.test
workerAudience: codeq-worker
allowedClockSkewSeconds: 60
allowProducerAsWorker: true
defaultLeaseSeconds: 300
requeueInspectLimit: 200
maxAttemptsDefault: 5
backoffPolicy: exp_full_jitter
backoffBaseSeconds: 5
backoffMaxSeconds: 900
localArtifactsDir: /nowhere
webhookHmacSecret: s
subscriptionMinIntervalSeconds: 5
subscriptionCleanupIntervalSeconds: 60
resultWebhookMaxAttempts: 5
resultWebhookBaseBackoffSeconds: 2
resultWebhookMaxBackoffSeconds: 60
rateLimit:
  producer: {requestsPerMinute: 600, burstSize: 100}
  worker: {requestsPerMinute: 600, burstSize: 100}
  webhook: {requestsPerMinute: 600, burstSize: 100}
  admin: {requestsPerMinute: 60, burstSize: 10}
workerStreamAddr: ":9091"
producerStreamAddr: ":9092"
sharding:
  enabled: false
  defaultShard: default
  commandMappings: {RENDER: a}
  tenantOverrides: {acme: a}
  backends: {a: {address: "h:1", password: p, db: 0, poolSize: 10}}
cluster: {enabled: false, selfId: a, grpcAddr: ":9090", nodes: [{id: a, grpcAddr: "h:1"}]}
raft:
  enabled: false
  selfId: a
  bindAddr: ":7000"
  bootstrap: true
  peers: {a: "h:1"}
  muxEnabled: true
  peerHTTPAddrs: {a: "http://h:1"}
  heartbeatMS: 1000
  electionMS: 1000
  leaderLeaseMS: 500
  commitMS: 50
  applyTimeoutSeconds: 10
  topicCatalogProtocol: v1
"""


def test_every_key_of_the_reference_may_stand_in_the_file(tmp_path):
    (tmp_path / "codeq.yaml").write_text(FILE)
    checked = Cli(None, tmp_path, CODEQ_CONFIG_PATH="codeq.yaml").run("config", "check")
    assert "raft.peers" in checked.out and "warning" in checked.out + checked.err


def test_a_file_like_the_references_sample_loads_and_what_it_never_read_is_said(tmp_path):
    (tmp_path / "codeq.yaml").write_text("""
port: 18080
persistenceProvider: pebble
persistenceConfig: {path: /nowhere, fsyncOnCommit: false}
producerAuthProvider: static
producerAuthConfig: {token: t, raw: {tenantId: acme}}
workerAuthProvider: static
workerAuthConfig: {token: t, eventTypes: ["*"], scopes: ["codeq:claim"], raw: {tenantId: acme}}
retentionSeconds: 3600
cleanupIntervalSeconds: 60
auth: {enabled: true, tokens: [a]}
webhookHandlers: [{url: "http://h"}]
""")
    checked = Cli(None, tmp_path, CODEQ_CONFIG_PATH="codeq.yaml").run("config", "check")
    said = [line for line in (checked.out + checked.err).splitlines() if line.startswith("warning: ")]
    for key in ("cleanupIntervalSeconds", "auth", "webhookHandlers"):
        assert any(f"{key} (" in line for line in said), key
    kept = next(line.split() for line in checked.out.splitlines() if line.split()[:1] == ["retentionSeconds"])
    assert kept[1] == "3600" and "default" not in kept, "it works here"


def test_a_file_that_the_variable_names_and_that_is_missing_is_no_error(tmp_path):
    checked = Cli(None, tmp_path, CODEQ_CONFIG_PATH=str(tmp_path / "none.yaml"), **TOKENS).run("config", "check")
    assert "none.yaml" in checked.out + checked.err, "but a warning"


def test_switches_of_gos_runtime_and_framework_have_no_effect(new_world):
    port = free_port()
    world = new_world(backend=False, CODEQ_PPROF=1, CODEQ_PPROF_ADDR=f"127.0.0.1:{port}", GIN_MODE="release")
    assert world.producer.create("X")["id"]
    with socket.socket() as nobody:
        assert nobody.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_ends_the_start_with_words_and_a_status_of_its_own(shared, tmp_path):
    ended = Cli(None, tmp_path, **TOKENS, LISTEN_HOST="127.0.0.1", PORT=shared.broker.port,
                PERSISTENCE_CONFIG=json.dumps({"path": str(tmp_path / "data")})).run("serve", expect=77)
    assert "[ERROR] http server: " in ended.err


# Metrics and the command line

def test_the_histogram_has_the_buckets_of_the_reference(new_world):
    world = new_world(backend=False)
    task = world.producer.create("X")
    world.worker.claim("X")
    world.worker.complete(task["id"])
    prefix = 'codeq_task_processing_latency_seconds_bucket{command="X",status="COMPLETED",le="'
    bounds = [key.removeprefix(prefix).removesuffix('"}') for key in world.broker.metrics() if key.startswith(prefix)]
    assert bounds == "0.1 0.25 0.5 1 2.5 5 10 30 60 120 300 600 1800 3600 +Inf".split()


FLAGS = {
    "init": "--no-prompt",
    "auth login": "--email --password --login-url --method --content-type --payload --payload-file --token-path --header "
                  "--exchange-url --exchange-method --exchange-content-type --exchange-token-path --audience --tenant-id --scope "
                  "--exchange-header --no-exchange --save --no-prompt",
    "auth set": "", "auth show": "", "auth clear": "--producer --worker --all",
    "task create": "--event --payload --priority --webhook --max-attempts --idempotency-key --run-at --delay-seconds",
    "task get": "", "task result": "", "queue inspect": "",
    "worker start": "--events --concurrency --lease-seconds --wait-seconds --ack --nack-delay",
}


@pytest.mark.parametrize("command", FLAGS)
def test_every_command_of_the_references_client_has_its_flags(tmp_path, command):
    text = Cli(None, tmp_path).run(*command.split(), "--help").out
    there = {word.partition("{")[0] for line in text.splitlines() for word in line.replace(",", " ").split()}
    assert set(FLAGS[command].split()) <= there, text


def test_the_flags_of_all_commands_are_taken_by_each(tmp_path):
    cli = Cli(None, tmp_path)
    cli.run("init", "--no-prompt", "--profile", "p")
    shown = cli.run(
        "auth", "show", "--base-url", "http://h/", "--iam-base-url", "http://i", "--iam-api-key", "key-0123456789", "--producer-token",
        "prod-0123456789", "--worker-token", "work-0123456789", "--admin", "--profile", "p", "--json").json
    assert shown["baseUrl"] == "http://h" and shown["profile"] == "p" and shown["admin"] is True
    assert (shown["producerToken"], shown["workerToken"]) == ("prod...6789", "work...6789")
