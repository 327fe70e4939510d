"""Asynq (Go) and BullMQ (Node), both on Redis."""

import contextlib
import json

from .case import Case
from .clients import BUILT, built
from .servers import CannotRun, first_line, free_port, go_module, listens, program, running

BULLMQ = BUILT / "bullmq-client"  # bench/compare/bullmq, copied and installed
LOG = {
    "always": ("AOF always", "fdatasync before each answer", "both"),
    "everysec": ("AOF everysec", "fdatasync every second", "neither"),
    "no": ("no AOF", "no log", "neither"),
}


def cases():
    for log in ("always", "everysec"):
        yield Case(
            "Asynq",
            LOG[log][0],
            "single",
            LOG[log][1],
            LOG[log][2],
            "64 + 64, pooled",
            1,
            "HTTP",
            lambda: f"Asynq {go_module('github.com/hibiken/asynq')} on {redis_version()}",
            server(log),
            built("asynq"),
        )
    for log in ("always", "no"):
        yield Case(
            "BullMQ",
            LOG[log][0],
            "single",
            LOG[log][1],
            LOG[log][2],
            "1 + 1, 64 open on each",
            1,
            "gRPC",
            bullmq_version,
            server(log),
            lambda: [program("node", "nodejs"), BULLMQ / "load.mjs"],
        )


def redis_version():
    return "Redis " + first_line(program("redis-server", "redis-server"), "--version").split("v=")[1].split()[0]


def bullmq_version():
    program("node", "nodejs")
    installed = BULLMQ / "node_modules" / "bullmq" / "package.json"
    if not installed.exists():
        raise CannotRun("its npm package is not installed (npm ci failed, or there is no npm)")
    return f"BullMQ {json.loads(installed.read_text())['version']} on {redis_version()}"


def server(log):
    @contextlib.contextmanager
    def start(folder):
        port = free_port()
        aof = ["--appendonly", "no"] if log == "no" else ["--appendonly", "yes", "--appendfsync", log]
        command = [
            program("redis-server", "redis-server"),
            "--bind",
            "127.0.0.1",
            "--port",
            port,
            "--dir",
            folder,
            "--save",
            "",
            *aof,
        ]
        with running(folder, command, lambda: listens(port)) as pid:
            yield pid, f"127.0.0.1:{port}"

    return start
