"""A relative sigma of `noisify` is a share of the root mean square over all batches of its inputs."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb
from tests.support.random_arrays import normal_tensor

# Rows of growing size: the values of the first batch are far smaller than those of the others.
ROWS = normal_tensor(70, 4, seed=2).float() * torch.logspace(-3, 1, 70)[:, None]
SIGMA = lb.RelativeSigma(0.1)


class Network(nn.Module):
    """Two linear maps of the input, of which the second runs for batches with a large value alone, and a ReLU."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.always, self.sometimes, self.act = nn.Linear(4, 3), nn.Linear(4, 3, bias=False), nn.ReLU()

    def forward(self, x):
        y = self.always(x)
        if x.abs().max() > 1e-2:
            y = y + self.sometimes(x)
        return self.act(y).sum(1)


def root_mean_square(values):
    return math.sqrt(values.double().square().mean())


def relu_values(model, batches):
    with torch.no_grad():
        return torch.cat([model.act(model.always(x) + model.sometimes(x) * (x.abs().max() > 1e-2)) for x in batches])


@pytest.mark.parametrize(
    "inputs",
    [
        lambda: DataLoader(ROWS, batch_size=20),
        lambda: list(ROWS.split(20)),
        lambda: iter(ROWS.split(20)),
        lambda: ((x.numpy(),) for x in ROWS.split(20)),
    ],
    ids=["loader", "list", "iterator", "arrays"],
)
@pytest.mark.parametrize("way", ["noisify", "layers"])
def test_noise_is_relative_to_all_batches(inputs, way):
    model = Network()
    expected = 0.1 * root_mean_square(relu_values(model, ROWS.split(20)))
    if way == "noisify":
        lb.noisify(model, sigma=SIGMA, inputs=inputs())
    else:
        lb.layers(lb.noisify(model, sigma=SIGMA), inputs())
    # The signals are equal to the bit, and their squares are added in float64.
    assert lb.noise_of(model)["act"].sigma == pytest.approx(expected, rel=1e-12)


def test_loader_and_one_batch_have_the_same_noise():
    whole, batches = (
        lb.noise_of(lb.noisify(nn.Sequential(nn.Identity(), nn.Linear(4, 2)), sigma=SIGMA, layers="0", inputs=inputs))
        for inputs in (ROWS, DataLoader(ROWS, batch_size=8))
    )
    assert batches["0"].sigma == pytest.approx(whole["0"].sigma, rel=1e-12)


def test_data_set_is_read_to_its_end():
    model = nn.Sequential(nn.Identity(), nn.Linear(4, 2))
    lb.noisify(model, sigma=SIGMA, layers="0", inputs=TensorDataset(ROWS.repeat(10, 1)))
    assert lb.noise_of(model)["0"].sigma == pytest.approx(0.1 * root_mean_square(ROWS), rel=1e-12)


def test_layer_that_runs_in_some_batches_is_relative_to_its_values_there():
    batches = ROWS.flip(0).split(20)
    model = lb.noisify(Network(), sigma=SIGMA, layers="sometimes", inputs=list(batches))
    with torch.no_grad():
        values = torch.cat([model.sometimes.forward(x) for x in batches if x.abs().max() > 1e-2])
    assert len(values) < len(ROWS)
    assert lb.noise_of(model)["sometimes"].sigma == pytest.approx(0.1 * root_mean_square(values), rel=1e-12)


def test_noise_with_a_given_sigma_reads_one_batch():
    batches = iter(ROWS.split(20))
    lb.noisify(Network(), sigma=0.1, inputs=batches)
    assert len(list(batches)) == 3


def test_iterable_without_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"^inputs: got no batch"):
        lb.noisify(Network(), sigma=SIGMA, inputs=[])


def test_batches_leave_the_generators_and_the_buffers():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(), nn.Linear(3, 2))
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    lb.noisify(model, sigma=SIGMA, inputs=DataLoader(ROWS, batch_size=20, shuffle=True))
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
