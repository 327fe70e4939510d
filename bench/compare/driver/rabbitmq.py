"""RabbitMQ with a quorum queue of one member: it writes and syncs its log before a confirm."""

import contextlib
import pathlib

from .case import Case
from .clients import built
from .servers import CannotRun, free_port, listens, program, running

# /usr/sbin/rabbitmq-server would change the user and use /var/lib
SCRIPT = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def cases():
    for mode, connections, batch, beside in (
        ("single", "1 + 1, 64 channels on each", 1, "gRPC"),
        ("batch", "1 + 1, 4 channels on each", 32, "gRPC x32"),
    ):
        yield Case(
            "RabbitMQ",
            "quorum queue",
            mode,
            "log synced before a confirm",
            "the enqueue; a completion has no answer",
            connections,
            batch,
            beside,
            version,
            server,
            built("rabbitmq"),
        )


def version():
    found = sorted(pathlib.Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    if not found or not SCRIPT.exists():
        raise CannotRun("rabbitmq-server is not installed (Debian package rabbitmq-server; scripts/setup --bench)")
    return "RabbitMQ " + found[-1].name.split("-")[1]


@contextlib.contextmanager
def server(folder):
    port, names, distribution = free_port(), free_port(), free_port()
    environment = {
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
        "RABBITMQ_LOG_BASE": f"{folder}/log",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
        "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
        "RABBITMQ_PID_FILE": f"{folder}/pid",
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    (folder / "plugins").write_text("[].\n")
    (folder / "epmd").mkdir()
    # Erlang's name service, or the node would start one that outlives it.
    with running(
        folder / "epmd", [program("epmd", "erlang-base"), "-port", names, "-address", "127.0.0.1"], lambda: listens(names)
    ):
        with running(folder, [SCRIPT], lambda: listens(port), env=environment, seconds=90) as pid:
            yield pid, f"amqp://guest:guest@127.0.0.1:{port}/"
