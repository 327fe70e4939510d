"""The streams as grpc-go speaks them: tests/interop/go/streams behaves as the reference's own client library does.

CODEQ_GO_STREAMS names the program that tests/interop/go/streams/build makes. Its cases run at once, beside one that idles
for CODEQ_IDLE_SECONDS.
"""

import json
import os
import subprocess

import pytest

from harness import World

CLIENT = os.environ.get("CODEQ_GO_STREAMS")
if not CLIENT:
    pytest.skip("the streams with grpc-go need Go: scripts/test --partners", allow_module_level=True)
CASES = subprocess.run([CLIENT, "-list"], check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("go"), backend=False)
    broker, tokens = world.broker, world.tokens
    environment = {
        "CODEQ_PRODUCER_ADDR": f"127.0.0.1:{broker.producer_stream_port}", "CODEQ_WORKER_ADDR": f"127.0.0.1:{broker.worker_stream_port}",
        "CODEQ_PRODUCER_TOKEN": tokens.acme_producer, "CODEQ_WORKER_TOKEN": tokens.acme_worker, "CODEQ_WORKER2_TOKEN": tokens.acme_worker2,
        "CODEQ_OTHER_PRODUCER_TOKEN": tokens.globex_producer, "CODEQ_OTHER_WORKER_TOKEN": tokens.globex_worker,
        "CODEQ_IDLE_SECONDS": os.environ.get("CODEQ_IDLE_SECONDS", "2")}
    done = subprocess.run([CLIENT], env=os.environ | environment, capture_output=True, text=True, timeout=300)
    world.stop()
    assert done.returncode == 0, done.stderr[-4000:]
    return {line["case"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", CASES)
def test_with_grpc_go(outcomes, case):
    assert outcomes[case]["ok"], outcomes[case]["error"]
