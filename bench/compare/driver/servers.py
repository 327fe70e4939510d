"""A peer's server: a process of ours in a folder of its own, on loopback, gone when the measurement is."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time


class CannotRun(Exception):
    """What is missing on this machine; the table says it in these words."""


def program(name, package):
    """The path of a program that Debian's `package` has."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/usr/local/bin"
    path = shutil.which(name, path=places)
    if not path:
        raise CannotRun(f"{name} is not installed (Debian package {package}; scripts/setup --bench)")
    return path


def first_line(*command):
    """What a program says of its version."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.stdout.strip().splitlines()[0]


def go_module(path):
    """The version of a module that bench/compare/go.mod pins."""
    for line in (pathlib.Path(__file__).parents[1] / "go.mod").read_text().splitlines():
        words = line.split()
        if path in words:
            return words[words.index(path) + 1].removeprefix("v")
    raise CannotRun(f"{path} is not in go.mod")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ordinary_user(name):
    """`name` where we are root and a server refuses to be; otherwise None, ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        raise CannotRun(f"it refuses to run as root, and there is no user {name}") from None


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@contextlib.contextmanager
def running(folder, command, ready, user=None, env=None, seconds=60, stop=signal.SIGTERM):
    """The process id of `command`, once `ready()`. Ended with `stop`, its whole group with SIGKILL should it not go."""
    folder = pathlib.Path(folder)
    log = folder / "server.log"
    environment = (
        {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ} | {"HOME": str(folder)} | (env or {})
    )
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=environment,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)  # there is no event to wait for from outside
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended by itself:\n{log.read_text(errors='replace')[-2000:]}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
