"""Processes of a sweep are killed at random moments; no finished cell or step is lost or done again.

A kill waits for a random state of the files, so that its moment does not depend on the load of the machine.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

import layerbits as lb
from layerbits.experiments import dask_executor, local_executor
from layerbits.experiments.framework import child_processes
from layerbits.experiments.sweeps import cell_runs
from tests.support.fork_server import FORK_SERVER
from tests.support.killed_sweeps import COMMAND, PROGRAM, STEPS, cells_are_free, check_all, finished, fork, wait_until
from tests.support.small_disk import small_disk

CELLS = 4


@pytest.fixture(autouse=True)
def program(monkeypatch):
    monkeypatch.setattr(cell_runs, "_COMMAND", COMMAND)


def sweep(folder, cells=CELLS, **options):
    return lb.sweep("szt-tanh", {"seed": range(cells)}, folder, **options)


def wait_for_steps(folder, number):
    """Wait until all cells together have done a number of steps."""
    wait_until(lambda: len(list(folder.glob("seed=*/[0-9]"))) >= number)


def run_and_kill_workers(folder, tries, generator):
    """Run a sweep of `tries` cells; kill the first process of each before one of its steps, or at its end."""
    popen, killers, killed = subprocess.Popen, [], []

    def kill(process, cell, step):
        wait_until(lambda: step < 0 or (cell / str(step)).exists() or process.poll() is not None)
        if process.poll() is None:
            process.kill()
            killed.append(cell.name)

    def start(*arguments, **options):
        process = popen(*arguments, **options)
        cell = folder / options["stdout"].name.rpartition("/")[2].removesuffix(".log")
        if cell.name not in {name for name, _ in killers}:
            killer = threading.Thread(target=kill, args=(process, cell, generator.randint(-1, STEPS - 1)))
            killers.append((cell.name, killer))
            killer.start()
        return process

    with pytest.MonkeyPatch.context() as patch, local_executor(2) as executor:
        patch.setattr(child_processes.subprocess, "Popen", start)
        result = sweep(folder, tries, executor=executor, retries=1)
    for _, killer in killers:
        killer.join()
    return result, killed


@pytest.mark.parametrize("tries", [2, pytest.param(30, marks=pytest.mark.stress)])
def test_killed_worker_is_replaced(tries, tmp_path, record_property):
    result, killed = run_and_kill_workers(tmp_path, tries, random.Random(tries))
    record_property("kills", len(killed))
    check_all(tmp_path, result, {})
    retried = {cell.name for cell in result.cells if cell.attempts == 2}
    assert retried <= set(killed)
    assert len(retried) >= tries // 2  # a kill at the last step may come after the end


def test_cell_that_ends_after_its_pool_was_killed_has_finished(tmp_path):
    """The second worker is killed; the cell of the first finishes although its pool is broken."""
    slow = "import os; os._exit = lambda status: None" + PROGRAM.replace("sleep(0.01)", "sleep(0.2)")
    command = (*COMMAND[:-1], slow)
    with ProcessPoolExecutor(2, FORK_SERVER, initializer=set_program, initargs=(command,)) as pool:
        killer = threading.Thread(target=lambda: (wait_for_steps(tmp_path, 2), kill_a_worker(pool)))
        killer.start()
        result = sweep(tmp_path, cells=4, executor=pool)
        killer.join()
    statuses = {cell.name: cell.status for cell in result.cells}
    assert statuses == {name: "finished" if (tmp_path / name / "run.json").exists() else "not run" for name in statuses}
    assert "finished" in statuses.values()
    before = finished(tmp_path)
    check_all(tmp_path, sweep(tmp_path, cells=4, resume=True), before)


def set_program(command):
    cell_runs._COMMAND = command


def kill_a_worker(pool):
    next(iter(pool._processes.values())).kill()


def drive(folder):
    with local_executor(2) as executor:
        sweep(folder, executor=executor, resume=True)


def kill_driver(folder, generator):
    driver = fork(drive, folder)
    wait_for_steps(folder, generator.randint(0, CELLS * STEPS - 1))
    driver.kill()
    driver.join()
    wait_until(lambda: cells_are_free(folder))  # cells end with the driver
    before = finished(folder)
    check_all(folder, sweep(folder, resume=True), before)
    return len(before)


def test_killed_driver_continues_with_resume(tmp_path):
    kill_driver(tmp_path / "sweep", random.Random(3))


@pytest.mark.stress
def test_drivers_killed_at_30_moments_continue_with_resume(tmp_path, record_property):
    generator = random.Random(4)
    counts = [kill_driver(tmp_path / str(number), generator) for number in range(30)]
    record_property("kills", len(counts))
    assert len(set(counts)) > 2  # kills came at different moments


def run_scheduler(file):
    from distributed import Scheduler

    async def run():
        async with Scheduler(host="127.0.0.1", port=0, dashboard_address=":0", scheduler_file=str(file)) as scheduler:
            await scheduler.finished()

    asyncio.run(run())


def run_worker(address):
    from distributed import Worker

    async def run():
        async with Worker(address, nthreads=2, dashboard_address=":0") as worker:
            await worker.finished()

    asyncio.run(run())


def address_in(file):
    """Return the address in the file of a scheduler; None before the file is complete."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text())["address"]
    return None


@contextlib.contextmanager
def cluster(file):
    """Yield the address of a scheduler with a worker of two threads, and the process of the scheduler."""
    processes = [fork(run_scheduler, file)]
    try:
        wait_until(lambda: address_in(file))
        address = address_in(file)
        processes.append(fork(run_worker, address))
        yield address, processes[0]
    finally:
        for process in processes:
            process.kill()
            process.join()


def kill_scheduler(folder, generator):
    """Kill a scheduler during a sweep, and resume the sweep on another cluster."""
    with cluster(folder.with_name(f"{folder.name}-first")) as (address, scheduler), dask_executor(address) as executor:
        killer = threading.Thread(
            target=lambda: (wait_for_steps(folder, generator.randint(1, CELLS * STEPS - 1)), scheduler.kill())
        )
        killer.start()
        sweep(folder, executor=executor, retries=0)
        killer.join()
    wait_until(lambda: cells_are_free(folder))
    before = finished(folder)
    with cluster(folder.with_name(f"{folder.name}-second")) as (address, _), dask_executor(address) as executor:
        check_all(folder, sweep(folder, executor=executor, resume=True), before)
    return len(before)


def test_sweep_of_a_killed_scheduler_continues_on_another(tmp_path):
    pytest.importorskip("distributed")
    kill_scheduler(tmp_path / "sweep", random.Random(5))


@pytest.mark.stress
def test_sweeps_of_schedulers_killed_at_30_moments_continue_on_others(tmp_path, record_property):
    generator = random.Random(6)
    counts = [kill_scheduler(tmp_path / str(number), generator) for number in range(30)]
    record_property("kills", len(counts))
    assert len(set(counts)) > 2


def test_sweep_on_a_full_disk_continues_when_there_is_room(tmp_path):
    folder = tmp_path / "disk" / "sweep"
    with small_disk(folder.parent, "size=96k") as enlarge:
        with contextlib.suppress(lb.UsageError):  # the tables of the sweep may not fit either
            result = sweep(folder, 20)
            assert any("No space left" in cell.reason for cell in result.unfinished)
        before = finished(folder)
        assert len(before) < 20
        enlarge()
        check_all(folder, sweep(folder, 20, resume=True), before)
