"""A plugin for pytest: each test gets an empty server that runs gears scripts, as a client of redis-py.

    # conftest.py
    pytest_plugins = ["regears_pytest"]

    # test_words.py
    def test_counts_words(gears):
        gears.set("text:1", "to be or not to be")
        assert gears.run("word_count.py")[0] == "to 2"

One server serves all tests of a run. The variable REGEARS says how it is started, if not by `regears`.
"""

import os
import shlex
import signal
import socket
import subprocess
import time

import pytest
import redis

START_SECONDS = 60
IDLE_MS = 30_000


class Gears(redis.Redis):
    """A client with what tests want besides commands."""

    def run(self, path, *words):
        """Runs a script, with further words of RG.PYEXECUTE. Gives its results; fails with its errors."""
        with open(path, encoding="utf-8") as script:
            reply = self.execute_command("RG.PYEXECUTE", script.read(), *words)
        if isinstance(reply, str):
            return []
        results, errors = reply
        if errors:
            pytest.fail("\n".join(errors), pytrace=False)
        return results

    def idle(self, timeout_ms=IDLE_MS):
        """Waits until no execution, event or call of a time event is pending."""
        self.execute_command("RG.IDLE", timeout_ms)

    def fast_forward(self, ms, timeout_ms=30_000):
        """Moves the clock of time events, durations of streams and expiry of keys."""
        self.execute_command("RG.TIME", "FASTFORWARD", ms, timeout_ms)

    def reset(self):
        """Empties the server."""
        self.execute_command("RG.UNREGISTERALL", "ABORTPENDING")
        self.flushall()
        self.execute_command("DEBUG", "RELOAD")


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def gears_url():
    """The URL of the server, which runs as long as the tests do."""
    port = _free_port()
    command = [*shlex.split(os.environ.get("REGEARS", "regears")), "--port", str(port)]
    command += ["--test-clock", "yes", "--enable-debug-command", "local", "--loglevel", "warning"]
    # what starts the server, as npx does, may not pass signals on: they go to all of its group
    server = subprocess.Popen(command, start_new_session=True)
    try:
        client = redis.Redis(port=port)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


@pytest.fixture
def gears(gears_url):
    """An empty server, as a client that gives texts."""
    with Gears.from_url(gears_url, decode_responses=True) as client:
        client.reset()
        yield client
