"""River (Go) on PostgreSQL with its defaults: synchronous_commit on."""

import contextlib
import pathlib
import shutil
import signal
import subprocess

from .case import Case
from .clients import built
from .servers import CannotRun, first_line, free_port, go_module, ordinary_user, program, running


def cases():
    for mode, connections, batch, beside in (
        ("single", "64 + 1, pooled", 1, "HTTP"),
        ("many", "4 + 1, pooled", 100, "gRPC x32"),
        ("copy", "4 + 1, pooled", 100, "gRPC x32"),
    ):
        yield Case(
            "River",
            "synchronous_commit on",
            mode,
            "WAL synced before a commit",
            "both",
            connections,
            batch,
            beside,
            version,
            server,
            built("river"),
        )


def binary(name):
    newest = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if not newest:
        raise CannotRun("PostgreSQL is not installed (Debian package postgresql; scripts/setup --bench)")
    return newest[-1]


def version():
    ordinary_user("postgres")
    postgres = first_line(binary("postgres"), "--version").split()[2]
    return f"River {go_module('github.com/riverqueue/river')} on PostgreSQL {postgres}"


@contextlib.contextmanager
def server(folder):
    port, user = free_port(), ordinary_user("postgres")
    data = folder / "data"
    if user:
        shutil.chown(folder, user)
    subprocess.run(
        [binary("initdb"), "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"],
        user=user,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    command = [binary("postgres"), "-D", data, "-h", "127.0.0.1", "-p", port, "-k", folder, "-c", "max_connections=200"]
    accepts = [program("pg_isready", "postgresql-client"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    # SIGINT: what is connected is cut off; SIGTERM would wait for it.
    with running(folder, command, lambda: subprocess.run(accepts).returncode == 0, user=user, stop=signal.SIGINT) as pid:
        yield pid, f"postgres://bench@127.0.0.1:{port}/postgres?sslmode=disable"
