"""The rows of a pass and the layers that are measured together follow from bytes; a lack of memory is named."""

import weakref

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.estimators import all_layers, layer_groups
from layerbits.estimators import layer_sample as sampling
from layerbits.estimators.layer_sample import sample_layers
from layerbits.networks import Passes, check_rows, noisy_network, read_inputs, record
from layerbits.networks.execution.live_memory import LiveMemory, bytes_of_a_row
from tests.support.networks import noisy_identities, tanh_mlp
from tests.support.random_arrays import normal_tensor

TOKENS = torch.arange(200 * 16).reshape(200, 16) % 10
INPUTS = normal_tensor(40, 4, seed=3).float()


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def token_network(width=512):
    """Return a network in which a token of 8 bytes takes 4 * width bytes; its tanh "3" has 3 units."""
    return nn.Sequential(nn.Embedding(10, width), Mean(), nn.Linear(width, 3), nn.Tanh(), nn.Linear(3, 2))


def pass_sizes(model):
    """Return a list to which every pass appends its number of rows."""
    sizes = []
    model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    return sizes


# Rows by bytes


def test_a_row_takes_the_bytes_that_are_alive_together():
    """A row takes 16 embedded tokens of 512 float32 values, and their mean; its tokens are a view of `TOKENS`."""
    passes = []
    for n_rows in (3, 2):
        memory = LiveMemory()
        with memory, torch.no_grad():
            token_network()(TOKENS[:n_rows])
        passes += [memory, n_rows]
    assert bytes_of_a_row(*passes) == 4 * 512 * (16 + 1)


def test_tensors_that_do_not_grow_with_the_rows_do_not_count():
    class Masked(nn.Module):
        def forward(self, x):
            return x + torch.ones(1000, 1000)[0, : x.shape[1]]

    model = lb.noisify(nn.Sequential(Masked(), nn.Identity(), nn.Linear(4, 2)), sigma=0.1, layers="1")
    network = noisy_network(model, read_inputs(INPUTS, model))
    check_rows(network, (INPUTS,), ("1",))
    assert network.row_bytes < 1000


def test_views_of_weights_do_not_count_where_passes_differ_in_operators():
    """Networks of transformers leave out the mask of a batch without padding."""

    class Padded(nn.Linear):
        def forward(self, x):
            return super().forward(x.clone() if len(x) > 2 else x)

    model = nn.Sequential(Padded(4, 10_000, bias=False), nn.ReLU(), nn.Linear(10_000, 2))
    network = noisy_network(lb.noisify(model, sigma=0.1, inputs=INPUTS), read_inputs(INPUTS, model))
    check_rows(network, (INPUTS,), ("1",))
    # A row has its input, and at most 3 copies for the noise beside 3 values of each unit: x, max(x, 0), x + noise.
    assert network.row_bytes < 6 * 4 * 10_000 + 200


@pytest.mark.parametrize("max_memory", [2**20, 2**22])
def test_a_pass_has_the_rows_that_fit_into_its_share_of_the_budget(max_memory):
    model = token_network()
    lb.noisify(model, sigma=0.1, inputs=TOKENS)
    sizes = pass_sizes(model)
    lb.propagate(model, TOKENS, draws=3, max_memory=max_memory)
    # A pass has a 32nd of the budget. Beside the embedded tokens and their mean, a row has the tokens, of 8 bytes, and
    # three copies of the three units.
    bytes_of_row = 4 * 512 * (16 + 1) + 8 * 16 + 3 * 4 * 3
    rows = max(1, max_memory // 32 // bytes_of_row)
    # Before these passes, one pass observes the layers, and eleven probe the rows.
    assert max(sizes[12:]) == rows - rows % min(3, rows)
    assert sum(sizes[12:]) == 3 * 200


def test_a_smaller_budget_changes_rounding_alone():
    """Matrix products of other numbers of rows add 4 or 5 terms in another order."""
    model = lb.noisify(tanh_mlp(4, 5, 3, 2), sigma=0.3, inputs=INPUTS)
    inputs = INPUTS.repeat(100, 1)
    signals = [lb.propagate(model, inputs, draws=2, max_memory=size)["3"] for size in (2**20, 2**30)]
    torch.testing.assert_close(*signals, rtol=0, atol=8 * 2**-23)
    identities = noisy_identities(2, inputs=inputs)
    signals = [lb.propagate(identities, inputs, draws=2, max_memory=size)["1"] for size in (2**20, 2**30)]
    assert torch.equal(*signals)


def test_functions_that_run_passes_obey_the_budget(tmp_path):
    plain, noisy = token_network(64), token_network(64)
    lb.noisify(noisy, sigma=0.1, layers=["2", "3"], inputs=TOKENS)
    settings = lb.MeasurementSettings(draws=4, max_memory=2**20, estimator="draws")
    calls = [
        (noisy, lambda size: lb.propagate(noisy, TOKENS, draws=4, max_memory=size)),
        (plain, lambda size: lb.layer_activations(plain, TOKENS, max_memory=size)),
        (plain, lambda size: lb.layer_information(plain, TOKENS, sigma=0.1, max_memory=size)),
        (plain, lambda size: lb.layer_information(plain, TOKENS, sigma=lb.RelativeSigma(0.1), max_memory=size)),
        (noisy, lambda size: lb.information_between_layers(noisy, TOKENS, "2", "3", draws=2, max_memory=size)),
        (noisy, lambda _: lb.Monitor(noisy, TOKENS, at=[0], directory=tmp_path, settings=settings).step(0)),
    ]
    for model, call in calls:
        sizes = pass_sizes(model)
        call(2**20)
        assert 3 <= max(sizes) <= 2**20 // 32 // (4 * 64 * 17)


def test_layer_whose_signals_exceed_the_budget_is_named():
    model, inputs = tanh_mlp(4, 3000, 2), INPUTS.repeat(5, 1)
    with pytest.warns(UserWarning, match=r"^max_memory: got 1048576, but the signals of '1', .* take 2400000 bytes"):
        lb.layer_information(model, inputs, sigma=0.1, max_memory=2**20, queries=2)
    lb.layer_information(model, inputs[:80], sigma=0.1, max_memory=2**20, queries=2)  # a warning would be an error here


@pytest.mark.parametrize(("size", "error"), [(1000, ValueError), ("1 GB", TypeError), (1e9, TypeError)])
def test_a_budget_that_is_no_number_of_bytes_is_refused(size, error):
    with pytest.raises(error, match=r"^max_memory: got .* wanted an integer >= 1048576"):
        lb.propagate(noisy_identities(1), INPUTS, max_memory=size)
    with pytest.raises(error, match=r"^max_memory: got"):
        lb.MeasurementSettings(max_memory=size)


def test_recorded_signals_are_freed_with_the_last_use():
    """The network that recorded them is still there, as in a measurement whose estimator runs."""
    model = noisy_identities(2, inputs=INPUTS)
    network = noisy_network(model, read_inputs(INPUTS, model))
    signals = record(network, (INPUTS,), Passes(("1",), range(3), 0))
    reference = weakref.ref(signals["1"])
    del signals
    assert reference() is None
    assert network.layer_names == ("0", "1")


def test_lack_of_memory_in_a_pass_is_named():
    class Huge(nn.Module):
        def forward(self, x):
            return x + torch.empty(2**50).sum() if len(x) > 3 else x

    with pytest.raises(MemoryError, match=r"^max_memory: got a pass of more memory than the system has .* lower"):
        lb.layer_activations(nn.Sequential(Huge(), nn.Tanh(), nn.Linear(4, 2)), INPUTS)


def test_lack_of_memory_in_the_estimator_is_named(monkeypatch):
    def reduced(*args, **options):
        return torch.empty(2**50)

    monkeypatch.setattr(sampling, "affine_coordinates", reduced)
    with pytest.raises(
        MemoryError, match=r"^max_memory: got a measurement of more memory than .* lower .* or `queries`"
    ):
        lb.layer_information(noisy_identities(1), INPUTS)


# Layers in turn


def test_layers_that_do_not_fit_together_are_measured_in_turn(monkeypatch):
    """Each group has passes of its own, with the same noise."""
    groups = []

    def sampled(problem, layers, *args):
        groups.append(layers)
        return sample_layers(problem, layers, *args)

    monkeypatch.setattr(all_layers, "sample_layers", sampled)
    inputs = normal_tensor(300, 64, seed=5).float()
    noisy = lb.noisify(nn.Sequential(*(nn.Identity() for _ in range(4))), sigma=0.5, layers=nn.Identity, inputs=inputs)
    together = lb.layer_information(noisy, inputs, draws=4, queries=2)
    assert groups == [("0", "1", "2", "3")]
    groups.clear()
    # The first layer takes 300 * 64 * 8 bytes of the budget, and each other layer four times as many: the first three
    # take 1,382,400.
    in_turn = lb.layer_information(noisy, inputs, draws=4, queries=2, max_memory=1_400_000)
    assert groups == [("0", "1", "2"), ("3",)]
    assert [(row.layer, row.quantity, row.lower, row.upper) for row in in_turn] == [
        (row.layer, row.quantity, row.lower, row.upper) for row in together
    ]


def test_signals_of_a_group_are_freed_before_the_next(monkeypatch):
    alive = []

    def sampled(problem, layers, *args):
        alive.append([layer for layer, sample in samples if sample() is not None])
        new_samples = sample_layers(problem, layers, *args)
        samples.extend((layer, weakref.ref(sample)) for layer, sample in new_samples.items())
        return new_samples

    samples = []
    monkeypatch.setattr(all_layers, "sample_layers", sampled)
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", 2**40)
    lb.layer_information(noisy_identities(3), INPUTS, draws=4)
    assert alive == [[], [], []]


def test_readouts_count_with_their_own_size(monkeypatch):
    """The mean over 64 tokens of 4 units has a 64th of the values of its layer."""
    groups = []

    def sampled(problem, names, *args):
        groups.append(names)
        return sample_layers(problem, names, *args)

    monkeypatch.setattr(all_layers, "sample_layers", sampled)
    inputs = normal_tensor(50, 64, 4, seed=5).float()
    noisy = noisy_identities(3, inputs=inputs)
    options = {"draws": 4, "queries": 2, "estimator": "draws"}
    tables = [
        lb.layer_information(noisy, inputs, max_memory=size, readout="mean", **options) for size in (2**30, 2**20)
    ]
    # Each of the three readouts takes at most 50 * 4 * 4 * 8 bytes of the budget.
    assert groups == [("0[mean]", "1[mean]", "2[mean]")] * 2
    assert [row.value for row in tables[0]] == [row.value for row in tables[1]]
    groups.clear()
    # Each whole layer behind noise takes 50 * 8 * 256 * 8 = 819,200 bytes.
    lb.layer_information(noisy, inputs, max_memory=2**20, **options | {"draws": 8})
    assert groups == [("0", "1"), ("2",)]
