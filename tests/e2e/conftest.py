"""Fixtures: `shared` is one world for all tests that need nothing special, `new_world` makes one for a test alone."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import Receiver, World  # noqa: E402
from harness.broker import find_binary  # noqa: E402
from harness.paths import HttpPaths, StreamPaths  # noqa: E402
from harness.webhooks import WebhookReceiver  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    find_binary()  # Fail once and clearly, not in every test.


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("shared"))
    yield world
    world.stop()


@pytest.fixture(params=["http", "streams"])
def over(request, shared):
    """`shared`, whose producer and workers speak HTTP or the gRPC streams: a task's life is the same over both."""
    paths = {"http": HttpPaths, "streams": StreamPaths}[request.param](shared)
    yield paths
    paths.close()


@pytest.fixture
def new_world(tmp_path):
    worlds = []

    def make(**options):
        worlds.append(World(tmp_path / f"world{len(worlds)}", **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()


@pytest.fixture
def own_hooks():
    hooks = WebhookReceiver()
    yield hooks
    hooks.stop()


@pytest.fixture
def own_receiver():
    """A receiver of ours even where the suite runs against a real Collector: for its manners and its raw bytes."""
    receivers = []

    def make(**options):
        receivers.append(Receiver(**options))
        return receivers[-1]

    yield make
    for receiver in receivers:
        receiver.stop()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 48 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
