"""Noise depends on the seed, layer, draw, input and unit alone; a measurement leaves the network unchanged."""

import numpy as np
import pytest
import torch
from torch import nn

from layerbits._base import BackendError
from layerbits.networks import Passes, noise_of, noisify, noisy_network, propagate, read_inputs, record
from tests.support.networks import noisy_identities, tanh_mlp

SIGMA = 0.3
INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def mlp():
    return tanh_mlp(4, 3, 5, 2)


def batch_sizes(noisy):
    """Return a list to which every pass appends its number of rows."""
    sizes = []
    noisy.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    return sizes


# Rows of the passes that find the layers, the axis of the rows, random numbers, and effects of other rows, for equal
# inputs.
OBSERVING_PASSES = [2, *[3, 2, 3, 3, 3], 3, *[16] * 3]


@pytest.mark.parametrize(
    ("chunk", "dtype"),
    [(2, torch.float32), (257, torch.float64), (1200, torch.float32), (10_000, torch.float64)],
)
def test_chunk_does_not_change_a_bit(chunk, dtype):
    noisy, x = noisy_identities(2, SIGMA), torch.linspace(-1, 1, 1803, dtype=dtype).reshape(601, 3)
    assert torch.equal(propagate(noisy, x, draws=2, chunk=chunk)["1"], propagate(noisy, x, draws=2)["1"])


def test_more_draws_begin_with_the_same_draws():
    noisy = noisify(mlp(), sigma=SIGMA)
    assert torch.equal(propagate(noisy, INPUTS, draws=5)["3"][:, :2], propagate(noisy, INPUTS, draws=2)["3"])


@pytest.mark.parametrize("draws", [range(2, 5), range(40, 47)])
def test_range_of_draws_has_the_same_signals_as_in_all_draws(draws):
    noisy = noisy_identities(2, SIGMA)
    signals = record(
        noisy_network(noisy, read_inputs(INPUTS, noisy)), (INPUTS,), Passes(("1",), draws, seed=3, rows=11)
    )["1"]
    assert torch.equal(signals, propagate(noisy, INPUTS, draws=50, seed=3)["1"][:, draws])


def test_more_inputs_begin_with_the_same_rows():
    noisy, x = noisy_identities(2, SIGMA), torch.ones(300, 3)
    assert torch.equal(propagate(noisy, x, draws=2)["1"][:70], propagate(noisy, x[:70], draws=2)["1"])


def test_layer_recorded_alone_has_the_same_signals():
    noisy = noisify(mlp(), sigma=SIGMA)
    assert torch.equal(propagate(noisy, INPUTS, layers="3")["3"], propagate(noisy, INPUTS)["3"])


def test_seed_decides_the_signals():
    noisy = noisify(mlp(), sigma=SIGMA)
    signals, repeated, different = (propagate(noisy, INPUTS, draws=2, seed=seed)["3"] for seed in (1, 1, 2))
    assert torch.equal(signals, repeated)
    assert not torch.equal(signals, different)


def test_threads_do_not_change_a_bit():
    noisy, x, threads = noisy_identities(2, SIGMA), torch.zeros(600, 4), torch.get_num_threads()
    signals = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            signals.append(propagate(noisy, x, draws=3)["1"])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*signals)


@pytest.mark.parametrize(
    ("draws", "chunk", "expected"),
    [
        (1, 400, [400, 2, 2, 12, 200, 6]),
        (5, 1500, [1500, 2, 2, 46, 1500, 47]),
        (3, 2, [2] * 600 + [2] * 300),
        (40, 16_000, [16_000, 2, 2, 500, 3200, 100, 4800, 150]),
    ],
)
def test_pass_holds_no_more_rows_than_the_chunk(draws, chunk, expected):
    """Rows of the first pass of more than 16 rows are compared with those of two passes of 2.

    Then one row in 32 of all passes so far has run again.
    """
    noisy = noisy_identities(1, SIGMA, inputs=torch.zeros(1, 4))
    sizes = batch_sizes(noisy)
    propagate(noisy, torch.zeros(600, 4), draws=draws, chunk=chunk)
    assert sizes == OBSERVING_PASSES + expected


def test_pass_holds_fewer_inputs_when_they_are_wide():
    noisy = noisy_identities(1, SIGMA, inputs=torch.zeros(1, 4))
    sizes = batch_sizes(noisy)
    propagate(noisy, torch.zeros(600, 2048), draws=1)
    assert sizes == [*OBSERVING_PASSES, 512, 2, 2, 16, 88, 2]


def test_gradients_are_not_recorded():
    assert not propagate(noisify(mlp(), sigma=SIGMA), INPUTS.clone().requires_grad_())["3"].requires_grad


def test_global_generators_keep_their_states():
    noisy = noisify(mlp(), sigma=SIGMA)
    before = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
    propagate(noisy, INPUTS)
    after = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
    assert torch.equal(after[0], before[0])
    assert after[1][1] == before[1][1]
    assert np.array_equal(after[1][0], before[1][0])


def test_measurement_does_not_change_the_statistics_of_batch_norm():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    propagate(noisify(model, sigma=SIGMA), INPUTS + 5)
    assert int(model[0].num_batches_tracked) == 0


def test_batch_norm_uses_its_running_statistics():
    model, x = nn.Sequential(nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)), INPUTS
    signal = propagate(noisify(model, sigma=SIGMA), x, draws=1)["1"][:, 0]
    # Untrained statistics are mean 0 and variance 1; the division by sqrt(1 + eps) and tanh round by some float32 ulp.
    assert torch.allclose(signal, (x / (1 + model[0].eps) ** 0.5).tanh(), rtol=8 * torch.finfo(torch.float32).eps)


def test_dropout_is_off():
    model = nn.Sequential(nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2))
    assert torch.equal(propagate(noisify(model, sigma=SIGMA), INPUTS, draws=1)["1"][:, 0], INPUTS.tanh())


def test_training_flag_of_each_module_is_restored():
    noisy = noisify(mlp(), sigma=SIGMA)
    noisy[2].eval()
    before = [module.training for module in noisy.modules()]
    propagate(noisy, INPUTS)
    assert [module.training for module in noisy.modules()] == before


def test_training_flags_are_restored_after_an_exception():
    noisy = noisify(mlp(), sigma=SIGMA)
    with pytest.raises(
        ValueError, match=r"^inputs: got torch.float32 of shape \(\d, 99\) in a pass of \d rows, which the network"
    ):
        propagate(noisy, torch.zeros(3, 99))
    assert all(module.training for module in noisy.modules())


def test_noise_stays_after_an_exception():
    noisy = noisify(mlp(), sigma=SIGMA, inputs=INPUTS)
    with pytest.raises(ValueError, match="which the network cannot take"):
        propagate(noisy, torch.zeros(3, 99))
    assert list(noise_of(noisy)) == ["1", "3"]
    assert not torch.equal(noisy(INPUTS), noisy(INPUTS))


def test_inputs_are_not_changed_by_a_network_that_acts_in_place():
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), -torch.ones(3, 4)
    noisy = noisify(model, sigma=SIGMA, layers="1")
    propagate(noisy, x, draws=1)
    assert torch.equal(x, -torch.ones(3, 4))


def test_hooks_of_the_network_stay():
    noisy = noisify(mlp(), sigma=SIGMA, inputs=INPUTS)
    hooks = [dict(module._forward_hooks) for module in noisy.modules()]
    propagate(noisy, INPUTS)
    assert [dict(module._forward_hooks) for module in noisy.modules()] == hooks


def test_hook_that_changes_an_output_acts_in_a_measurement():
    noisy = noisify(mlp(), sigma=SIGMA, layers="1", inputs=INPUTS)
    noisy[0].register_forward_hook(lambda module, args, output: output + 1)
    with torch.no_grad():
        expected = (noisy[0].forward(INPUTS) + 1).tanh()
    assert torch.equal(propagate(noisy, INPUTS, draws=1)["1"][:, 0], expected)


def test_compiled_network_is_measured():
    noisy = noisify(mlp(), sigma=SIGMA, inputs=INPUTS)
    expected = propagate(noisy, INPUTS, draws=2)
    assert torch.equal(propagate(torch.compile(noisy, backend="eager"), INPUTS, draws=2)["3"], expected["3"])


@pytest.mark.parametrize("error", [BackendError, torch.cuda.OutOfMemoryError])
def test_errors_that_the_inputs_do_not_cause_are_raised_unchanged(error):
    class Failing(nn.Module):
        def forward(self, signal):
            raise error("nothing is wrong with the inputs")

    noisy = noisify(nn.Sequential(nn.Identity(), Failing(), nn.Identity()), sigma=SIGMA, layers="*")
    with pytest.raises(error, match=r"^nothing is wrong"):
        propagate(noisy, INPUTS)
