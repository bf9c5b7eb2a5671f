"""Pools of worker processes: one thread, one line when a worker dies, and no worker without its parent."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

from dtl_core.errors import DataError, DTLError
from dtl_core.processes import ordered, worker_pool


def threads(_):
    import torch

    return torch.get_num_threads(), "torch" in sys.modules


def surroundings(name):
    return os.environ.get(name), os.environ.get("DTL_TEST_GONE"), os.getppid()


@pytest.mark.slow
def test_a_worker_comes_from_a_server_but_has_the_present_environment(monkeypatch):
    servers = set()
    monkeypatch.setenv("DTL_TEST_GONE", "1")
    for value in ("first", "second"):  # the server starts with the first pool, if not in an earlier test
        monkeypatch.setenv("DTL_TEST_VALUE", value)
        with worker_pool(1, remedy="none") as pool:
            found, gone, server = pool.submit(surroundings, "DTL_TEST_VALUE").result()
        assert found == value and gone == os.environ.get("DTL_TEST_GONE")
        monkeypatch.delenv("DTL_TEST_GONE", raising=False)
        servers.add(server)
    assert len(servers) == 1 and (os.getpid() not in servers) == ("forkserver" in get_all_start_methods())


def square(number):
    return number * number


@pytest.mark.slow
def test_a_worker_has_one_thread_and_results_come_in_order():
    with worker_pool(2, remedy="none") as pool:
        assert list(ordered(pool, threads, range(2), 2)) == [(1, True)] * 2
        assert list(ordered(pool, square, iter(range(7)), 3)) == [n * n for n in range(7)]


def test_no_more_items_are_taken_than_are_asked_for():
    taken = []
    with worker_pool(1, torch=False, remedy="none") as pool:
        results = ordered(pool, square, (taken.append(n) or n for n in range(100)), 3)
        assert next(results) == 0 and len(taken) == 3


@pytest.mark.parametrize("error", [DTLError, DataError])
def test_a_worker_that_dies_is_one_line(error):
    with (
        pytest.raises(error, match="^field 'w': a worker process died, most likely out of memory; use less$") as caught,
        worker_pool(2, torch=False, error=error, field="w", remedy="use less") as pool,
    ):
        list(ordered(pool, os._exit, [1, 1], 2))
    assert type(caught.value) is error


@pytest.mark.slow
def test_what_has_not_begun_is_cancelled_by_ctrl_c():
    with pytest.raises(KeyboardInterrupt), worker_pool(1, torch=False, remedy="none") as pool:
        futures = [pool.submit(time.sleep, 0.2) for _ in range(50)]
        futures[0].result()
        raise KeyboardInterrupt
    assert sum(future.cancelled() for future in futures) > 40


PARENT = """
import sys, time
from concurrent.futures import wait
from dtl_core.processes import worker_pool
from test_processes_worker import report

if __name__ == "__main__":
    with worker_pool(2, torch=False, remedy="none") as pool:
        wait([pool.submit(report, sys.argv[1]) for _ in range(2)])
"""
WORKER = """
import os, pathlib, time

def report(folder):
    pathlib.Path(folder, str(os.getpid())).touch()
    deadline = time.time() + 300
    while time.time() < deadline:  # computes, and looks at no queue
        pass
"""


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the states of processes from /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, number):
    (tmp_path / "test_processes_worker.py").write_text(WORKER)
    (tmp_path / "parent.py").write_text(PARENT)
    folder = tmp_path / "pids"
    folder.mkdir()
    root = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, str(tmp_path)])}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(folder)], env=environment)
    deadline = time.time() + 60
    while len(list(folder.iterdir())) < 2 and time.time() < deadline:
        time.sleep(0.05)
    pids = [int(path.name) for path in folder.iterdir()]
    assert len(pids) == 2 and all(map(running, pids))
    parent.send_signal(number)
    assert parent.wait(30) == -number
    deadline = time.time() + 20
    while any(map(running, pids)) and time.time() < deadline:
        time.sleep(0.05)
    assert not any(map(running, pids))
