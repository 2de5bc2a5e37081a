"""`ringlet serve` under load, while its workers are replaced, killed and stopped, many times."""

import os
import random
import signal
import time

import pytest

from tests.tools.served import Crowd, application, serving

pytestmark = [pytest.mark.load, pytest.mark.timeout(600)]

TIMES = 10
CLIENTS = {"fresh": 12, "kept": 12}


@pytest.mark.parametrize("more", [(), ("--reuse-port",)], ids=["shared", "reuse-port"])
def test_sighup_again_and_again_loses_nothing(tmp_path, more):
    application(tmp_path, "0")
    with serving(tmp_path, "--workers", "2", *more) as served:
        with Crowd(served.address, **CLIENTS) as crowd:
            for number in range(1, TIMES + 1):
                application(tmp_path, str(number))
                served.send(signal.SIGHUP)
                for _ in range(2):
                    served.until(r"worker \d+ has stopped")
                crowd.until(200)
                assert crowd.lost == []
            status, log = served.stop()
        assert crowd.lost == []
        assert status == 0, log
        words = {word for word, _ in crowd.answers}
        assert str(TIMES) in words
        assert len({pid for _, pid in crowd.answers}) > TIMES


@pytest.mark.parametrize("workers", ["1", "2", None])
def test_sigterm_loses_nothing(tmp_path, workers):
    """At another moment of the load each time; with the parent, and with a server all alone."""
    application(tmp_path)
    draw = random.Random(workers)
    more = () if workers is None else ("--workers", workers)
    for _ in range(TIMES):
        with serving(tmp_path, *more) as served, Crowd(served.address, **CLIENTS) as crowd:
            crowd.until(draw.randrange(1, 300))
            status, log = served.stop()
            assert status == 0, log
        assert crowd.lost == []


def test_killed_workers_lose_their_own_requests_only(tmp_path):
    """Each client has one request under way, so that no kill can cost more of them than clients."""
    application(tmp_path)
    draw = random.Random(1)
    with serving(tmp_path, "--workers", "2") as served:
        with Crowd(served.address, **CLIENTS) as crowd:
            for _ in range(TIMES):
                before, known = len(crowd.lost), crowd.answers.copy()
                crowd.until(200)
                recent = crowd.answers.copy() - known
                victim = draw.choice([pid for _, pid in recent])
                time.sleep(draw.random() / 20)
                os.kill(int(victim), signal.SIGKILL)
                served.until(rf"worker {victim} was killed by SIGKILL: another one takes its place")
                served.until(r"worker \d+ is ready")
                crowd.until(200)
                assert len(crowd.lost) - before <= sum(CLIENTS.values())
                # Who comes now is served by those who live.
                count = len(crowd.lost)
                crowd.until(200)
                assert len(crowd.lost) == count
            status, log = served.stop()
        assert status == 0, log
        assert len({pid for _, pid in crowd.answers}) >= TIMES
