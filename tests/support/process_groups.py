"""Run a function in the processes of a gloo group on this machine, and return what each of them returns."""

import datetime
import os
import pickle
import queue
import time

import torch
import torch.distributed

from tests.support.fork_server import FORK_SERVER

# Longest time of all processes.
_SECONDS = 500


def _run(function, rank, size, address, seconds, results):
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(address, size)
    timeout = datetime.timedelta(seconds=seconds)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timeout)
    try:
        results.put((rank, pickle.dumps(function(rank))))  # a queue would share tensors with a process that ends
    finally:
        results.close()
        results.join_thread()
    os._exit(0)  # destroying a group waits for processes that a test has ended


def run_in_group(function, size, folder, seconds=60):
    """Return ``function(rank)`` of each rank, None for a rank that ended without a result.

    `function` is a function of a module; `seconds` are the time-out of the group.
    """
    results = FORK_SERVER.Queue()
    arguments = (size, str(folder / f"store_of_{size}"), seconds, results)
    processes = [FORK_SERVER.Process(target=_run, args=(function, rank, *arguments)) for rank in range(size)]
    for process in processes:
        process.start()
    by_rank, deadline = {}, time.monotonic() + _SECONDS
    while len(by_rank) < size and time.monotonic() < deadline:
        are_running = any(process.is_alive() for process in processes)  # the queue keeps results of processes that end
        try:
            rank, result = results.get(timeout=0.1)
        except queue.Empty:
            if not are_running:
                break
        else:
            by_rank[rank] = pickle.loads(result)
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
    return [by_rank.get(rank) for rank in range(size)]
