"""`codeq worker run`: a worker in any language, traced, over a real broker."""

import json
import os
import signal
import stat
import time

import pytest
from harness import Context, World
from harness.cli import Cli

PYTHON = "/usr/bin/python3"


@pytest.fixture
def workshop(shared, tmp_path):
    """Runs workers against the shared broker; ends what a test left running."""
    made = []

    class Workshop:
        world = shared

        def script(self, text, name="handler"):
            path = tmp_path / name
            path.write_text(text)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
            return path

        def cli(self, world=shared, **env):
            return Cli(world.broker, tmp_path, producer=world.tokens.acme_producer, worker=world.tokens.acme_worker, **env)

        def start(self, command, *handler, options=(), world=shared, **env):
            run = self.cli(world, **env).start("worker", "run", "--command", command, "--wait-seconds", "5", *options,
                                               "--", *handler)
            made.append(run)
            return run

        def file(self, name):
            return tmp_path / name

        def wait_file(self, name, deadline_seconds=20):
            """The text that a handler leaves behind in one rename."""
            deadline = time.monotonic() + deadline_seconds
            while not (tmp_path / name).exists():
                assert time.monotonic() < deadline, f"no {name}: {made}"
                time.sleep(0.01)
            return (tmp_path / name).read_text()

    yield Workshop()
    for run in made:
        run.kill()


def wait_gone(pid, deadline_seconds=20):
    """Until the process is gone, or only a name that nobody has waited for."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] in "ZX":
                    return
        except (FileNotFoundError, ProcessLookupError):
            return
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def test_a_shell_handlers_output_is_the_result_and_its_errors_pass_through(workshop):
    command = workshop.world.command()
    handler = workshop.script("#!/bin/sh\necho working >&2\ncat\n")
    run = workshop.start(command, handler)
    task = workshop.world.producer.create(command, {"page": 7})
    result = workshop.world.producer.result(task["id"], wait=30)["result"]
    assert result["status"] == "COMPLETED" and result["result"] == {"page": 7}, run
    run.wait_line(f"[OK] Task completed: {task['id']} ({command}, attempt 1")
    assert run.wait_line("working", "err") == f"[{task['id']}] working"
    run.end()


def test_the_payload_arrives_byte_for_byte(workshop):
    command = workshop.world.command()
    run = workshop.start(command, "sh", "-c", "cat > payload.tmp; mv payload.tmp payload; echo '{}'")
    raw = b'{"n":12345678901234567890, "text":"\\u00e4<>&\\/" ,"list":[1.50,1e400]}'
    body = b'{"command":"' + command.encode() + b'","payload":' + raw + b"}"
    assert workshop.world.producer.call("POST", "/tasks", body).status == 202
    assert workshop.wait_file("payload").encode() == raw
    run.end()


def test_the_handler_knows_its_task_and_its_trace(workshop):
    world, command, ctx = workshop.world, workshop.world.command(), Context.new()
    handler = workshop.script(f"""#!{PYTHON}
import json, os, urllib.request
headers = {{"Authorization": "Bearer " + os.environ["CODEQ_PRODUCER_TOKEN"],
           "traceparent": os.environ["TRACEPARENT"], "tracestate": os.environ["TRACESTATE"],
           "baggage": os.environ["BAGGAGE"]}}
body = json.dumps({{"command": os.environ["CODEQ_COMMAND"] + "-CHILD", "payload": 1}}).encode()
request = urllib.request.Request(os.environ["CODEQ_BASE_URL"] + "/v1/codeq/tasks", body, headers)
child = json.load(urllib.request.urlopen(request))
names = ["TRACEPARENT", "TRACESTATE", "BAGGAGE", "CODEQ_TASK_ID", "CODEQ_COMMAND", "CODEQ_ATTEMPT"]
print(json.dumps({{name: os.environ[name] for name in names}} | {{"child": child["id"]}}))
""")
    run = workshop.start(command, handler, TRACEPARENT="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    task = world.producer.create(command, {"n": 1}, ctx)
    told = world.producer.result(task["id"], wait=30)["result"]["result"]
    run.end()
    assert told["CODEQ_TASK_ID"] == task["id"] and told["CODEQ_COMMAND"] == command and told["CODEQ_ATTEMPT"] == "1"
    assert told["TRACESTATE"] == ctx.tracestate and told["BAGGAGE"] == ctx.baggage
    # The whole life obeys every rule of the trace; the worker's own calls are part of it.
    trace = world.life(task["id"], ctx, ["codeq.task.create", "codeq.task.claim", "codeq.task.submit_result"])
    claim = trace.one("codeq.task.claim", codeq_task_id=task["id"])
    given = Context.parse(told["TRACEPARENT"])
    assert (given.trace_id, given.span_id) == (ctx.trace_id, claim.span_id), "the attempt's own context"
    submit = trace.one("codeq.task.submit_result", codeq_task_id=task["id"])
    [link] = submit.links
    assert link.trace_id == ctx.trace_id and trace.by_id(link.span_id).parent == claim.span_id
    # And so is what the handler called.
    child = trace.one("codeq.task.create", codeq_task_id=told["child"])
    assert trace.by_id(child.parent).parent == claim.span_id


def test_a_task_without_a_context_gets_the_brokers_and_never_the_workers(workshop):
    command = workshop.world.command()
    run = workshop.start(command, "sh", "-c", "echo \"$TRACEPARENT ${TRACESTATE-none} ${BAGGAGE-none}\"",
                         TRACEPARENT="00-" + "a" * 32 + "-" + "b" * 16 + "-01", TRACESTATE="x=1", BAGGAGE="y=2")
    task = workshop.world.producer.create(command)
    output = workshop.world.producer.result(task["id"], wait=30)["result"]["result"]["output"]
    assert "a" * 32 not in output and output.endswith(" none none") and output.startswith("00-"), output
    run.end()


def test_the_codeq_client_in_a_handler_continues_the_trace(workshop):
    from harness.broker import find_binary
    world, command, ctx = workshop.world, workshop.world.command(), Context.new()
    run = workshop.start(command, find_binary(), "task", "create", "--event", command + "-NEXT", "--payload", "1")
    task = world.producer.create(command, 1, ctx)
    output = world.producer.result(task["id"], wait=30)["result"]["result"]["output"]
    run.end()
    child = world.producer.task(output.split()[-1])
    assert Context.parse(child["traceParent"]).trace_id == ctx.trace_id


@pytest.mark.parametrize("script, result", [
    ("echo plain text", {"output": "plain text"}),
    ("true", None),  # an empty object, which the broker leaves out
    ("echo '[1,2]'", {"output": "[1,2]"}),
    ("printf '\\377\\000\\376 noise'", {"output": "�\x00� noise"}),
])
def test_any_output_becomes_a_result(workshop, script, result):
    command = workshop.world.command()
    run = workshop.start(command, "sh", "-c", script, options=["--max-tasks", "1"])
    task = workshop.world.producer.create(command)
    record = workshop.world.producer.result(task["id"], wait=30)["result"]
    assert record["status"] == "COMPLETED" and record.get("result") == result
    run.end(None)


def test_exit_status_75_is_retried_after_the_delay_and_counts_an_attempt(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "sh", "-c", "echo not yet >&2; [ $CODEQ_ATTEMPT = 2 ] || exit 75; echo '{}'",
                         options=["--on-error", "fail", "--nack-delay", "1"])
    task = world.producer.create(command, maxAttempts=3)
    done = world.producer.result(task["id"], wait=30)
    assert done["result"]["status"] == "COMPLETED" and done["task"]["attempts"] == 2
    assert "exit status 75: not yet" in run.wait_line("[WARN] Task nacked", "err")
    run.end()


def test_on_error_chooses_what_a_failure_means(workshop):
    world = workshop.world
    command = world.command()
    run = workshop.start(command, "sh", "-c", "echo broken >&2; exit 3", options=["--on-error", "fail"])
    task = world.producer.create(command)
    failed = world.producer.result(task["id"], wait=30)["result"]
    assert (failed["status"], failed["error"]) == ("FAILED", "exit status 3: broken")
    run.end()
    # By default it is retried, and dead once it has used its attempts.
    command = world.command()
    run = workshop.start(command, "sh", "-c", "kill -SEGV $$", options=["--nack-delay", "1"])
    task = world.producer.create(command, maxAttempts=2)
    dead = world.producer.result(task["id"], wait=30)
    assert dead["result"]["status"] == "FAILED" and dead["task"]["lastKnownLocation"] == "DLQ_SET"
    assert dead["task"]["attempts"] == 2
    run.wait_line("killed by signal 11", "err", count=2)
    run.end()
    # Put back at once.
    command = world.command()
    run = workshop.start(command, "sh", "-c", "[ $CODEQ_ATTEMPT != 1 ]", options=["--on-error", "abandon"])
    task = world.producer.create(command)
    assert world.producer.result(task["id"], wait=30)["task"]["attempts"] == 2
    run.end()


def test_json_lines_say_what_became_of_each_task(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "sh", "-c", "exit $(cat)", options=["--json", "--max-tasks", "2", "--on-error", "fail"])
    tasks = [world.producer.create(command, code) for code in (0, 4)]
    run.end(None, deadline_seconds=60)
    lines = {line["taskId"]: line for line in map(json.loads, run.lines())}
    good, bad = (lines[task["id"]] for task in tasks)
    assert (good["outcome"], good["exitStatus"], good["attempt"], good["command"]) == ("completed", 0, 1, command)
    assert (bad["outcome"], bad["exitStatus"], bad["reason"]) == ("failed", 4, "exit status 4")


def test_a_lease_is_kept_while_the_handler_works(workshop):
    world, command, ctx = workshop.world, workshop.world.command(), Context.new()
    run = workshop.start(command, "sh", "-c", "sleep 4; echo '{}'", options=["--lease-seconds", "2"])
    task = world.producer.create(command, 1, ctx)
    done = world.producer.result(task["id"], wait=30)
    assert done["result"]["status"] == "COMPLETED" and done["task"]["attempts"] == 1
    run.end()
    trace = world.life(task["id"], ctx, ["codeq.task.submit_result"])
    beats = trace.many("codeq.task.heartbeat", codeq_task_id=task["id"])
    assert len(beats) >= 2, trace


def test_a_handler_whose_lease_is_lost_gets_sigterm_and_then_sigkill(workshop):
    world, command = workshop.world, workshop.world.command()
    # Both the handler and what it started ignore SIGTERM.
    handler = workshop.script("#!/bin/sh\ntrap 'touch asked' TERM\nsh -c 'trap \"\" TERM; sleep 300' &\n"
                              "echo \"$$ $!\" > pids.tmp; mv pids.tmp pids\nwhile :; do sleep 0.05; done\n")
    run = workshop.start(command, handler, options=["--lease-seconds", "3", "--kill-after", "1", "--max-tasks", "1"])
    task = world.producer.create(command)
    pids = [int(pid) for pid in workshop.wait_file("pids").split()]
    # The same worker, elsewhere, gives the task back: the next heartbeat is refused.
    world.worker.abandon(task["id"])
    run.wait_line("the lease was lost", "err")
    assert workshop.file("asked").exists(), "SIGTERM came first"
    for pid in pids:
        wait_gone(pid)
    run.end(None)
    again = world.worker.claim(command, wait=5)
    assert again["id"] == task["id"] and again["attempts"] == 2, "nothing was told to the broker"
    world.worker.complete(task["id"])


def test_a_handler_that_takes_too_long_is_ended_and_the_task_retried(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "sh", "-c", "[ $CODEQ_ATTEMPT = 1 ] && exec sleep 300; echo '{}'",
                         options=["--timeout", "0.5", "--nack-delay", "1"])
    task = world.producer.create(command)
    done = world.producer.result(task["id"], wait=30)
    assert done["result"]["status"] == "COMPLETED" and done["task"]["attempts"] == 2
    run.wait_line("timed out after 0.5 s", "err")
    run.end()


def test_sigterm_lets_handlers_finish_and_claims_nothing_more(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "sh", "-c", "touch begun; until [ -e go ]; do sleep 0.02; done; echo '{}'")
    first, second = world.producer.create(command), world.producer.create(command)
    workshop.wait_file("begun")
    run.send(signal.SIGTERM)
    run.wait_line("[WARN] stopping", "err")
    workshop.file("go").touch()
    run.end(None)
    assert world.producer.result(first["id"])["result"]["status"] == "COMPLETED"
    assert world.producer.task(second["id"])["status"] == "PENDING"


def established(pid, port):
    """Connections of that process to that port of this machine."""
    sockets = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            sockets.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(row[3] == "01" and int(row[2].split(":")[1], 16) == port and f"socket:[{row[9]}]" in sockets for row in rows)


def test_an_idle_worker_stops_at_once_and_takes_nothing_with_it(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "true", options=["--concurrency", "4", "--wait-seconds", "30"])
    deadline = time.monotonic() + 10
    while established(run.pid, world.broker.port) < 4:  # each claim that waits has a connection
        assert time.monotonic() < deadline, run
        time.sleep(0.01)
    run.end(signal.SIGINT, deadline_seconds=10)
    task = world.producer.create(command)
    assert world.worker.claim(command)["id"] == task["id"]
    world.worker.complete(task["id"])


def test_handlers_that_do_not_finish_in_time_are_ended_and_their_tasks_given_back(workshop):
    world, command = workshop.world, workshop.world.command()
    handler = workshop.script("#!/bin/sh\ntrap 'exit 0' TERM\necho $$ > pid.tmp; mv pid.tmp pid\nwhile :; do sleep 0.05; done\n")
    run = workshop.start(command, handler, options=["--drain-seconds", "0.3", "--kill-after", "20"])
    task = world.producer.create(command)
    pid = int(workshop.wait_file("pid"))
    run.end(signal.SIGTERM)
    wait_gone(pid)
    assert any("Task abandoned" in line for line in run.lines("err")), "a handler that was ended is not taken at its word"
    again = world.worker.claim(command)
    assert again["id"] == task["id"], "at once, not after its lease"
    world.worker.complete(task["id"])


def test_a_second_signal_ends_it_at_once(workshop):
    world, command = workshop.world, workshop.world.command()
    handler = workshop.script("#!/bin/sh\ntrap '' TERM\necho $$ > pid.tmp; mv pid.tmp pid\nwhile :; do sleep 0.05; done\n")
    run = workshop.start(command, handler, options=["--drain-seconds", "300", "--kill-after", "300"])
    task = world.producer.create(command)
    pid = int(workshop.wait_file("pid"))
    run.send(signal.SIGTERM)
    run.wait_line("[WARN] stopping", "err")
    run.end(signal.SIGTERM, deadline_seconds=20)
    wait_gone(pid)
    assert world.worker.claim(command)["id"] == task["id"]
    world.worker.complete(task["id"])


def test_a_broker_that_is_killed_and_comes_back_gets_the_result(new_world, workshop):
    world = new_world(backend=False)
    run = workshop.start("LONG", "sh", "-c", "touch begun; until [ -e go ]; do sleep 0.02; done; echo '{\"kept\":1}'",
                         options=["--lease-seconds", "60"], world=world)
    task = world.producer.create("LONG")
    workshop.wait_file("begun")
    port = world.broker.port
    world.broker.kill()
    workshop.file("go").touch()
    run.wait_line("cannot reach", "err")
    world.broker.start(port=port)
    done = world.producer.result(task["id"], wait=30)
    assert done["result"]["result"] == {"kept": 1} and done["task"]["attempts"] == 1
    run.wait_line("the broker answers again", "err")
    # One warning for all that time, and it goes on with the next task.
    assert len([line for line in run.lines("err") if "trying again" in line]) == 1
    second = world.producer.create("LONG")
    assert world.producer.result(second["id"], wait=30)["result"]["status"] == "COMPLETED"
    run.end()


def test_a_broker_that_stays_away_costs_the_lease_and_the_handler_is_ended(new_world, workshop):
    world = new_world(backend=False)
    run = workshop.start("LONG", "sh", "-c", "echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 300",
                         options=["--lease-seconds", "3", "--max-tasks", "1"], world=world)
    task = world.producer.create("LONG")
    pid = int(workshop.wait_file("pid"))
    world.broker.kill()
    run.wait_line("the lease was lost", "err")
    wait_gone(pid)
    run.end(None)
    world.broker.start()
    assert world.worker.claim("LONG", wait=10)["id"] == task["id"]


def test_big_payloads_go_both_ways(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "cat")
    payload = {"blob": "x" * 900_000}
    task = world.producer.create(command, payload)
    assert world.producer.result(task["id"], wait=30)["result"]["result"] == payload
    run.end()


def test_output_beyond_the_bound_is_an_error_and_the_handler_may_go_on_writing(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "sh", "-c", "head -c 5000000 /dev/zero; touch wrote-all",
                         options=["--on-error", "fail", "--max-output-bytes", "1000"])
    task = world.producer.create(command)
    failed = world.producer.result(task["id"], wait=30)["result"]
    assert failed["error"] == "the handler wrote more than 1000 bytes"
    assert workshop.file("wrote-all").exists()
    run.end()


def test_a_result_that_the_broker_refuses_is_settled_by_the_rule(new_world, workshop):
    world = new_world(backend=False, HTTP_BODY_BYTES_MAX=4096)
    run = workshop.start("BIG", "sh", "-c", "head -c 8000 /dev/zero | tr '\\0' x", options=["--on-error", "fail"], world=world)
    task = world.producer.create("BIG")
    failed = world.producer.result(task["id"], wait=30)["result"]
    assert failed["error"] == "the broker refused the result with status 413"
    run.end()


def test_handlers_run_side_by_side_up_to_the_concurrency(workshop):
    world, command = workshop.world, workshop.world.command()
    # Each waits until three are there: fewer at a time, and nobody would ever finish.
    handler = workshop.script("#!/bin/sh\ntouch here.$CODEQ_TASK_ID\n"
                              "until [ $(ls here.* | wc -l) -ge 3 ]; do sleep 0.02; done\necho '{}'\n")
    run = workshop.start(command, handler, options=["--concurrency", "3"])
    tasks = [world.producer.create(command) for _ in range(3)]
    for task in tasks:
        assert world.producer.result(task["id"], wait=30)["result"]["status"] == "COMPLETED"
    run.end()


def test_several_commands_are_claimed(workshop):
    world = workshop.world
    first, second = world.command(), world.command()
    run = workshop.start(first, "sh", "-c", "echo $CODEQ_COMMAND", options=["--command", second])
    for command in (second, first):
        task = world.producer.create(command)
        assert world.producer.result(task["id"], wait=30)["result"]["result"] == {"output": command}
    run.end()


def test_what_cannot_work_is_said_at_once(workshop, tmp_path):
    world = workshop.world
    cli = workshop.cli()
    missing = cli.run("worker", "run", "--command", "X", "--", "./not-there", expect=1)
    assert missing.err == "[ERROR] cannot run ./not-there\n"
    nobody = cli.run("worker", "run", "--command", "X", "--", "true", expect=1, CODEQ_WORKER_TOKEN="wrong")
    assert nobody.err.startswith("[ERROR] error (401): "), nobody
    assert "wrong" not in nobody.err
    narrow = cli.run("worker", "run", "--command", "X", "--", "true", expect=1,
                     CODEQ_WORKER_TOKEN=world.tokens.narrow_worker)
    assert narrow.err.startswith("[ERROR] error (403): "), narrow
    assert "needs a handler" in cli.run("worker", "run", "--command", "X", expect=2).err
    assert "--command" in cli.run("worker", "run", "--", "true", expect=2).err


def test_a_handlers_own_words_are_left_alone(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "sh", "-c", "echo \"$0 $*\"", "--json", "--", "-x", "serve", "--command=Y")
    task = world.producer.create(command)
    assert world.producer.result(task["id"], wait=30)["result"]["result"] == {"output": "--json -- -x serve --command=Y"}
    run.end()


def test_a_handler_that_vanishes_costs_its_task_nothing_but_time(workshop):
    world, command = workshop.world, workshop.world.command()
    handler = workshop.script("#!/bin/sh\necho '{}'\n")
    run = workshop.start(command, handler)
    run.wait_line("[OK] Waiting for tasks")
    os.rename(handler, str(handler) + ".away")
    task = world.producer.create(command, maxAttempts=50)
    run.wait_line("cannot run", "err")
    os.rename(str(handler) + ".away", handler)
    assert world.producer.result(task["id"], wait=30)["result"]["status"] == "COMPLETED"
    run.end()


def test_a_sanitised_worker_leaks_no_descriptors_over_many_tasks(workshop):
    world, command = workshop.world, workshop.world.command()
    run = workshop.start(command, "true")
    world.producer.create(command)
    run.wait_line("Task completed")
    before = len(os.listdir(f"/proc/{run.pid}/fd"))
    for results in (world.producer.create_batch([{"command": command, "payload": i} for i in range(50)]),):
        assert all("task" in result for result in results)
    run.wait_line("Task completed", count=51, deadline_seconds=60)
    # One that is being cleaned up may still be open.
    assert len(os.listdir(f"/proc/{run.pid}/fd")) <= before + 6
    run.end()
