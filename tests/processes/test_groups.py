"""Processes of a gloo group share the work of a call, and all get the bits of a single process."""

from functools import partial

import pytest
import torch

import layerbits as lb
from layerbits.kernels import processes
from tests.processes import measurements, sharded_networks
from tests.support.process_groups import run_in_group


@pytest.fixture(scope="module")
def alone():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes
    yield measurements.results()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    ranks = run_in_group(partial(sharded_networks.trained_and_refused, folder=str(folder)), 2, folder)
    return ranks, folder


def check_results(alone, ranks):
    for name, (numbers, work) in alone.items():
        for rank in ranks:
            assert repr(rank[name][0]) == repr(numbers), name
        for kind, total in work.items():
            shares = [rank[name][1][kind] for rank in ranks]
            assert sum(shares) >= total, (name, kind)
            if kind == "fits":
                assert shares == [total, *[0] * (len(ranks) - 1)], name
            if (name, kind) in SHARED:
                assert max(shares) <= 0.8 * total, (name, kind)  # every process computes some by itself


# Problems of the tests and kinds of work that are large enough to be shared.
SHARED = {("mixture", "pairs"), ("clusters", "pairs"), ("network", "passes"), ("known channels", "pairs")}
SHARED |= {("neighbours", "pairs"), ("two layers", "pairs"), ("two layers", "passes")}


@pytest.mark.parametrize("size", [3, *(pytest.param(size, marks=pytest.mark.stress) for size in (2, 4))])
def test_processes_share_the_work_and_get_the_bits_of_one(alone, tmp_path, size):
    """Three processes have unequal parts, the harder case."""
    check_results(alone, run_in_group(measurements.measured, size, tmp_path))


def test_monitors_of_a_parallel_training_measure_together_and_rank_0_writes(two):
    (first, second), folder = two
    tables, resumed, n_logged = first["trained"]
    assert set(tables) == {1, 2}
    assert second["trained"][0] == tables
    assert resumed == second["trained"][1] == tables
    assert (n_logged, second["trained"][2]) == (2, 0)
    assert lb.read_history(folder / "0").epochs == (1, 2)
    assert not (folder / "1").exists()


def of_whole_network(weights, measure):
    model = lb.noisify(measurements.network(), sigma=0.3, inputs=measurements.inputs(2))
    for parameter, weight in zip(model.parameters(), weights, strict=False):
        parameter.data.copy_(torch.from_numpy(weight))
    return measurements.numbers(measure(model, None))


@pytest.mark.usefixtures("alone")  # the number of threads
def test_network_that_is_sharded_in_a_group_of_one_is_measured(tmp_path):
    (found,) = run_in_group(sharded_networks.of_network_sharded_alone, 1, tmp_path)
    assert repr(found) == repr(of_whole_network([], sharded_networks.SHARDED["noisy"]))


@pytest.mark.usefixtures("alone")  # the number of threads
def test_sharded_network_has_the_numbers_of_the_whole_network_before_and_after_training(two):
    for rank in two[0]:
        found = rank["sharded"]
        assert found["still trains"]
        weights = found["weights"]
        assert repr(found["untrained"]) == repr(of_whole_network([], sharded_networks.SHARDED["noisy"]))
        assert repr(found["untrained"]) != repr(found["noisy"])
        for name, measure in sharded_networks.SHARDED.items():
            assert repr(found[name]) == repr(of_whole_network(weights, measure)), name


def test_monitor_of_a_sharded_network_measures_each_epoch_and_frees_the_weights(two):
    (first, second), folder = two
    assert first["sharded"]["on meta"]
    assert first["sharded"]["monitor"] == second["sharded"]["monitor"]
    assert first["sharded"]["monitor"][1] != first["sharded"]["monitor"][2]
    assert lb.read_history(folder / "sharded").epochs == (1, 2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("other networks", "ValueError: group: got different modules on rank 0 and rank 1"),
        ("mixed precision", "TypeError: model: got FSDPSequential, which computes in torch.bfloat16 by its mp_policy"),
        ("closure", "LayerSelectionError: model: got Linear at '0.linear', which forward reaches through a closure"),
        ("no group", "TypeError: model: got FSDPSequential, which is sharded, wanted the whole network"),
    ],
)
def test_sharded_networks_that_cannot_be_gathered_are_refused_by_all(two, call, error):
    assert all(rank["sharded"][call].startswith(error) for rank in two[0])


@pytest.mark.parametrize(
    ("call", "got"),
    [
        ("weights", "different parameters on rank 0 and rank 1"),
        ("buffers", "different buffers on rank 0 and rank 1"),
        ("inputs", "different inputs on rank 0 and rank 1"),
        ("labels", "different labels on rank 0 and rank 1"),
        ("draws", "draws = 4 on rank 0 and 5 on rank 1"),
        ("sigma", "sigma = 0.3 on rank 0 and -0.7 on rank 1"),
        ("threads", "number of torch's threads = 1 on rank 0 and 2 on rank 1"),
        ("one has NaN", "different centers on rank 0 and rank 1"),
    ],
)
def test_processes_with_other_arguments_are_refused_by_all(two, call, got):
    for rank in two[0]:
        message = rank["refusals"][call]
        assert message.startswith(f"ValueError: group: got {got}, wanted the same on every rank; ")
        assert ("torch.distributed.broadcast(b, 0)" in message) == (call == "buffers")
        assert ("torch.set_num_threads" in message) == (call == "threads")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("no labels", "ValueError: labels: got shape (99,), wanted (100,), one label for each input"),
        ("failing pass", "ValueError: inputs: got torch.float32 of shape"),
    ],
)
def test_error_of_one_process_is_raised_by_all(two, call, error):
    first, second = (rank["refusals"][call] for rank in two[0])
    assert second.startswith(error)
    assert first.startswith(f"GroupError: group: rank 1 of 2 raised {error}")


def test_processes_in_different_calls_are_told(two):
    for rank in two[0]:
        assert rank["refusals"]["other call"].startswith(
            "GroupError: group: rank 1 is at 'the arguments of mixture_information' and rank 0 at 'the arguments of"
        )
        assert rank["refusals"]["afterwards"] == "no error"


def test_process_that_makes_no_call_or_has_ended_is_told_within_the_time_out(two):
    for call in ("no call", "ended"):
        message = two[0][0]["losses"][call]
        assert message.startswith("GroupError: group: rank 0 of 2 waited at 'the arguments of mixture_information'")
        assert "; rank 1 did not reach this step; " in message


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("a name", "TypeError: group: got str, wanted a process group of torch.distributed"),
        ("no member", "ValueError: group: got a group without this process"),
    ],
)
def test_other_kinds_of_groups_are_refused(two, call, error):
    assert all(rank["refusals"][call].startswith(error) for rank in two[0])


def test_group_needs_an_initialized_torch_distributed():
    with pytest.raises(ValueError, match=r"^group: got str without an initialized torch.distributed"):
        lb.mixture_information(torch.zeros(2, 1), 0.3, group="gloo")


def test_rank_that_ends_with_the_store_of_the_group_is_described(monkeypatch):
    def no_store(group):
        raise RuntimeError("Connection reset by peer")

    monkeypatch.setattr(torch.distributed.distributed_c10d, "_get_process_group_store", no_store)
    arrivals = processes._Arrivals(None, 1, 3)
    arrivals.add(1)
    assert arrivals.missing().startswith("the store of the group does not answer, so the process that has it")
