"""Numbers have the same bits for all threads, AVX levels, batches, workers, memory orders and processes, together."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch

import layerbits as lb
from layerbits.kernels import _cpu
from tests.support.arrangements import Arrangement, digests, digests_of_rank
from tests.support.process_groups import run_in_group

pytestmark = [pytest.mark.cpu_only("threads and levels"), pytest.mark.usefixtures("one_torch_thread")]

LEVELS = ["", "avx2"] if {"avx2", "avx512"} <= set(_cpu.levels()) else [""]
SINGLE_CHANGES = {
    "2 threads": Arrangement(threads=2),
    "8 threads": Arrangement(threads=8),
    "lower level": Arrangement(level=LEVELS[-1]),
    "single rows": Arrangement(batch=1),
    "batches": Arrangement(batch=64),
    "Fortran order": Arrangement(order="F"),
    "strides": Arrangement(order="strided"),
    "all": Arrangement(3, LEVELS[-1], 7, 2, "fork", "F"),
}


@pytest.fixture(scope="module")
def one_torch_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def expected(one_torch_thread):
    return digests(Arrangement())


@pytest.mark.parametrize("arrangement", SINGLE_CHANGES.values(), ids=SINGLE_CHANGES)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a worker is forked from a process with threads
def test_arrangement_changes_no_bit(expected, arrangement, record_property):
    record_property("arrangements", 1)
    assert digests(arrangement) == expected


def test_another_problem_has_other_bits(expected, monkeypatch):
    monkeypatch.setattr("tests.support.arrangements.N", 149)
    assert not set(digests(Arrangement()).values()) & set(expected.values())


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("reading", [(0, 0, None), (1, 0, None), (64, 0, None), (7, 2, "fork")])
def test_no_combination_changes_a_bit(expected, reading, record_property):
    for threads, level, order in itertools.product((1, 2, 3, 8), LEVELS, ("C", "F", "strided")):
        arrangement = Arrangement(threads, level, *reading, order)
        record_property("arrangements", 1)
        assert digests(arrangement) == expected, arrangement


@pytest.mark.stress
@pytest.mark.parametrize("method", ["spawn", "forkserver"])  # each worker imports torch, which takes seconds
def test_start_method_changes_no_bit(expected, method, record_property):
    for level in LEVELS:
        record_property("arrangements", 1)
        assert digests(Arrangement(3, level, 7, 1, method, "F")) == expected


@pytest.mark.stress
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("arrangement", [Arrangement(), Arrangement(3, LEVELS[-1], 7, 0, None, "F")])
def test_processes_of_a_group_change_no_bit(expected, arrangement, size, tmp_path, record_property):
    record_property("arrangements", 1)
    assert run_in_group(partial(digests_of_rank, arrangement=arrangement), size, tmp_path) == [expected] * size


# Computed with AVX-512 from arguments without rounding errors. Only the kernels and the logarithm of glibc round.
STORED = {
    "float32": "-0x1.aa09bep+0 -0x1.687164p+1 -0x1.5ee1ep+1 -0x1.387c88p+0 "
    "-0x1.8eb644p+1 -0x1.d043cap+1 -0x1.387706p+1 -0x1.aa09bep+0",
    "float64": "-0x1.aa09bed46313cp+0 -0x1.687163eae09c9p+1 -0x1.5ee1dfbd767c7p+1 -0x1.387c88778348ap+0 "
    "-0x1.8eb642f840f5ap+1 -0x1.d043ca2a792c8p+1 -0x1.387704d9cb2eep+1 -0x1.aa09bed46313cp+0",
}


@pytest.mark.skipif(_cpu.levels()[-1] == _cpu.level(), reason="the lowest level rounds otherwise")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_densities_are_those_of_other_machines(dtype):
    points = (np.arange(40.0).reshape(8, 5) % 7 - 3).astype(dtype) / 4
    log_density = lb.mixture_log_density(points, points[::-1] / 2, 0.375, weights=np.arange(1, 9).astype(dtype))
    np.testing.assert_array_equal(log_density, list(map(float.fromhex, STORED[dtype].split())))
