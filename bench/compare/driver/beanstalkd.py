"""beanstalkd, by its own protocol (beanstalkd/main.go)."""

import contextlib

from .case import Case
from .clients import built
from .servers import first_line, free_port, listens, program, running

MODES = {"single": ("64 + 64", 1, "HTTP"), "pipelined": ("4 + 4", 64, "gRPC")}


def cases():
    for setting, durability, on_disk, flags in (
        ("-f0", "fsync at every write", "both", ["-b", ".", "-f0"]),
        ("-b", "fsync every 50 ms", "neither", ["-b", "."]),
        ("", "no binlog", "neither", []),
    ):
        for mode, (connections, batch, beside) in MODES.items():
            yield Case(
                "beanstalkd",
                setting,
                mode,
                durability,
                on_disk,
                connections,
                batch,
                beside,
                version,
                server(flags),
                built("beanstalkd"),
            )


def version():
    return first_line(program("beanstalkd", "beanstalkd"), "-v")


def server(flags):
    @contextlib.contextmanager
    def start(folder):
        port = free_port()
        command = [program("beanstalkd", "beanstalkd"), "-l", "127.0.0.1", "-p", port, *flags]
        with running(folder, command, lambda: listens(port)) as pid:
            yield pid, f"127.0.0.1:{port}"

    return start
