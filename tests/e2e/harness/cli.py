"""`codeq` as a client: one run of the binary against a broker, with a profile folder of its own."""

import json
import os
import signal
import subprocess
import threading

from .broker import SANITIZER_WORDS, find_binary


class Ran:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<status {self.status} out {self.out[:2000]!r} err {self.err[:2000]!r}>"


class Cli:
    """Tokens and the address go by environment, as scripts do it; `env` changes that, None takes a variable away."""

    def __init__(self, broker, folder, producer=None, worker=None, **env):
        self.folder = folder
        self.env = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        self.env |= {key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}
        self.env["CODEQ_CONFIG_DIR"] = str(folder / "profiles")
        if broker is not None:
            self.env["CODEQ_BASE_URL"] = f"http://127.0.0.1:{broker.port}"
        if producer is not None:
            self.env["CODEQ_PRODUCER_TOKEN"] = producer
        if worker is not None:
            self.env["CODEQ_WORKER_TOKEN"] = worker
        self._change(self.env, env)

    @staticmethod
    def _change(env, changes):
        for key, value in changes.items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = str(value)

    def environment(self, changes):
        env = dict(self.env)
        self._change(env, changes)
        return env

    def run(self, *words, stdin="", expect=0, timeout=60, **env):
        ran = subprocess.run([find_binary(), *map(str, words)], input=stdin, capture_output=True, text=True,
                             errors="replace", timeout=timeout, env=self.environment(env), cwd=self.folder)
        result = Ran(ran.returncode, ran.stdout, ran.stderr)
        for word in SANITIZER_WORDS:
            assert word not in result.err, result.err[-8000:]
        assert expect is None or result.status == expect, f"expected status {expect}: {result}"
        return result

    def start(self, *words, **env):
        return Running([find_binary(), *map(str, words)], self.environment(env), self.folder)


class Running:
    """A process whose lines can be waited for."""

    def __init__(self, words, env, folder):
        self.process = subprocess.Popen(words, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        self.pid = self.process.pid
        self._changed = threading.Condition()
        self._lines = {"out": [], "err": []}
        self._open = 2
        for name, stream in (("out", self.process.stdout), ("err", self.process.stderr)):
            threading.Thread(target=self._follow, args=(name, stream), daemon=True).start()

    def _follow(self, name, stream):
        for line in stream:
            with self._changed:
                self._lines[name].append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def lines(self, name="out"):
        with self._changed:
            return list(self._lines[name])

    def wait_line(self, word, name="out", count=1, deadline_seconds=30):
        with self._changed:
            found = self._changed.wait_for(
                lambda: len([line for line in self._lines[name] if word in line]) >= count or self._open == 0,
                deadline_seconds)
            have = [line for line in self._lines[name] if word in line]
        assert found and len(have) >= count, f"{len(have)} of {count} lines with {word!r}: {self}"
        return have[count - 1]

    def send(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def end(self, number=signal.SIGTERM, expect=0, deadline_seconds=30):
        if self.process.poll() is None and number is not None:
            self.send(number)
        try:
            status = self.process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it did not end within {deadline_seconds} s: {self}") from None
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0, 10)
        for word in SANITIZER_WORDS:
            assert not any(word in line for line in self.lines("err")), "\n".join(self.lines("err")[-100:])
        assert expect is None or status == expect, f"status {status}: {self}"
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def __repr__(self):
        return f"<out {self.lines('out')[-30:]} err {self.lines('err')[-30:]}>"
