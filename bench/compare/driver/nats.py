"""NATS JetStream: a stream on files with work-queue retention.

The server is built from its Go module: Debian 12's is older than `sync_interval: always`."""

import contextlib

from .case import Case
from .clients import BUILT, built
from .servers import first_line, free_port, listens, running

MODES = {
    "single-64": ("64 + 64", 1, "HTTP"),
    "single-1": ("1 + 1, 64 open on each", 1, "gRPC"),
    "batch": ("4 + 4, 256 open on each", 64, "gRPC"),
}


def cases():
    for setting, durability, on_disk, extra in (
        ("sync always", "fsync at every write", "both", "sync_interval: always"),
        ("default", "fsync every 2 minutes", "neither", ""),
    ):
        for mode, (connections, batch, beside) in MODES.items():
            yield Case(
                "JetStream",
                setting,
                mode,
                durability,
                on_disk,
                connections,
                batch,
                beside,
                version,
                server(extra),
                built("nats"),
            )


def version():
    return first_line(BUILT / "nats-server", "--version")


def server(extra):
    @contextlib.contextmanager
    def start(folder):
        port = free_port()
        config = folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{\n  store_dir: "{folder}/store"\n  {extra}\n}}\n')
        with running(folder, [BUILT / "nats-server", "-c", config], lambda: listens(port)) as pid:
            yield pid, f"nats://127.0.0.1:{port}"

    return start
