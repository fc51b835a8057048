"""Passes with given noises: signals are those of recorded draws, and derivatives those of the network."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layerbits import noisify
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import Passes, record
from layerbits.networks.execution.live_memory import LiveMemory
from tests.support.given_noises import (
    COVARIANCE,
    INPUTS,
    NETWORKS,
    ROUNDING,
    SIGMA,
    Forward,
    given_noises,
    random_rows,
)
from tests.support.networks import Jitter, dense, tanh_mlp
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.usefixtures("one_thread")

SEED = 5


def recorded_noises(given, draw):
    """Return the standard normal values (n, k) that a recorded draw adds."""
    network, parts = given.network, []
    for source in given.sources:
        kinds = [RandomStream.PASS_FACTORS, RandomStream.PASS_NOISE][2 - network.noise[source].n_normals :]
        for kind in kinds:
            values = NormalStream(SEED, kind, network.layer_names.index(source), draw)
            parts.append(values.like(torch.empty(len(given.inputs[0]), network.units[source], dtype=torch.float64)))
    return torch.cat(parts, 1)


def differences(given, rows, noises, step):
    """Return central differences of the signals by the noises."""
    m, size = noises.shape
    steps = step * torch.eye(size, dtype=torch.float64)
    repeated = rows.repeat_interleave(size)
    forward, backward = (given.signals(repeated, (noises[:, None] + sign * steps).flatten(0, 1)) for sign in (1, -1))
    return ((forward - backward) / (2 * step)).reshape(m, size, -1).mT


@pytest.fixture(params=NETWORKS)
def given(request):
    return given_noises(*NETWORKS[request.param]())


def test_signals_are_those_of_recorded_draws_with_the_same_noises(given):
    passes = Passes((given.layer,), range(3), SEED)
    recorded = record(given.network, given.inputs, passes)[given.layer]
    rows = torch.arange(len(recorded))
    for draw in range(3):
        signals = given.signals(rows, recorded_noises(given, draw))
        torch.testing.assert_close(signals, recorded[:, draw], rtol=0, atol=ROUNDING)


def test_signals_do_not_depend_on_the_other_rows(given):
    rows, noises = random_rows(given)
    alone = torch.cat([given.signals(rows[i : i + 1], noises[i : i + 1]) for i in range(len(rows))])
    torch.testing.assert_close(given.signals(rows, noises), alone, rtol=0, atol=ROUNDING)


def test_jacobians_are_limits_of_central_differences(given):
    rows, noises = random_rows(given)
    coarse, fine = (differences(given, rows, noises, step) for step in (2e-4, 1e-4))
    # To the leading order, the error of the finer differences is a third of their distance to the coarser ones.
    tolerance = float((coarse - fine).abs().max()) + ROUNDING / 1e-4
    torch.testing.assert_close(given.jacobians(rows, noises), fine, rtol=0, atol=tolerance)
    assert float(fine.abs().max()) > 1000 * tolerance


def test_products_are_those_with_the_jacobians(given):
    rows, noises = random_rows(given)
    jacobians = given.jacobians(rows, noises)
    tangents = normal_tensor(len(rows), given.size, 3, seed=5)
    cotangents = normal_tensor(len(rows), given.n_units, 3, seed=6)
    forward, backward = given.pushforward(rows, noises, tangents), given.pullback(rows, noises, cotangents)
    # The attention layer has float64 sums of 20 products; all others have fewer operations.
    torch.testing.assert_close(forward, jacobians @ tangents, rtol=0, atol=10 * ROUNDING)
    torch.testing.assert_close(backward, jacobians.mT @ cotangents, rtol=0, atol=10 * ROUNDING)


def test_jacobians_of_a_linear_network_are_products_of_its_matrices():
    weights = [normal_tensor(3, 4, seed=7), normal_tensor(5, 3, seed=8), normal_tensor(2, 5, seed=9)]
    layers = [module for weight in weights for module in (dense(weight), nn.Identity())]
    noisy = noisify(nn.Sequential(*layers), sigma={"1": COVARIANCE, "3": 0.7, "5": 0.1}, layers=nn.Identity)
    given = given_noises(noisy, INPUTS, "5")
    first = weights[2] @ weights[1] @ torch.linalg.cholesky(COVARIANCE)
    expected = torch.cat([first, 0.7 * weights[2]], 1)
    for jacobian in given.jacobians(*random_rows(given)):
        torch.testing.assert_close(jacobian, expected, rtol=0, atol=ROUNDING)


def test_only_layers_that_act_on_the_layer_are_sources():
    class TwoBranches(Forward):
        def build(self):
            self.a, self.b, self.c = nn.Tanh(), nn.Tanh(), nn.Tanh()

        def forward(self, x):
            a, b = self.a(x), self.b(2 * x)
            return self.c(b) + a

    given = given_noises(noisify(TwoBranches(), sigma=SIGMA, layers=nn.Tanh), INPUTS, "c")
    assert given.sources == ("b",)
    noises = torch.zeros(6, 4, dtype=torch.float64)
    expected = torch.tanh(torch.tanh(2 * INPUTS))
    torch.testing.assert_close(given.signals(torch.arange(6), noises), expected, rtol=0, atol=ROUNDING)


def test_signals_of_a_float32_network_are_those_of_recorded_draws():
    given = given_noises(noisify(tanh_mlp(4, 3, 5, 2, 2), sigma=SIGMA), INPUTS.float(), "5")
    recorded = record(given.network, given.inputs, Passes(("5",), range(1), SEED))["5"][:, 0]
    parts = []
    for source in given.sources:
        values = NormalStream(SEED, RandomStream.PASS_NOISE, given.network.layer_names.index(source), 0)
        parts.append(values.like(torch.empty(6, given.network.units[source])))
    signals = given.signals(torch.arange(6), torch.cat(parts, 1).double())
    # Under 100 operations with values of order 1.
    torch.testing.assert_close(signals, recorded.double(), rtol=0, atol=100 * torch.finfo(torch.float32).eps)


class Cube(torch.autograd.Function):
    """x^3, without forward differentiation, and with a backward method that reads numbers."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return torch.from_numpy(gradient.detach().numpy() * 3 * x.detach().numpy() ** 2)


class Cubes(Forward):
    def build(self):
        self.a, self.b = nn.Tanh(), nn.Identity()

    def forward(self, x):
        return self.b(Cube.apply(self.a(x)))


def test_operation_without_rules_has_products_one_by_one():
    given = given_noises(noisify(Cubes(), sigma=SIGMA, layers=["a", "b"]), INPUTS, "b")
    rows, noises = random_rows(given)
    expected = torch.diag_embed(SIGMA * 3 * (torch.tanh(INPUTS[rows]) + SIGMA * noises).square())
    torch.testing.assert_close(given.jacobians(rows, noises), expected, rtol=0, atol=ROUNDING)
    assert not given._vector_products.batches
    tangents = normal_tensor(len(rows), given.size, 3, seed=5)
    products = given.pushforward(rows, noises, tangents)
    torch.testing.assert_close(products, expected @ tangents, rtol=0, atol=ROUNDING)
    assert not given._has_forward_rules


def test_steps_have_zero_derivatives():
    class Steps(Cubes):
        def forward(self, x):
            return self.b(self.a(x).sign().detach())

    given = given_noises(noisify(Steps(), sigma=SIGMA, layers=["a", "b"]), INPUTS, "b")
    rows, noises = random_rows(given)
    tangents = normal_tensor(len(rows), given.size, 3, seed=5)
    assert not given.jacobians(rows, noises).any()
    assert not given.pushforward(rows, noises, tangents).any()


class Checkpointed(Forward):
    """A network with a checkpointed block; the layer `a` runs inside the block, or before it."""

    def __init__(self, inside, calls=1):
        super().__init__()
        self.inside, self.calls = inside, calls

    def build(self):
        self.a, self.b, self.linear = nn.Tanh(), nn.Identity(), nn.Linear(4, 4)

    def block(self, x):
        return torch.exp(self.a(self.linear(x)) if self.inside else self.linear(x))

    def forward(self, x):
        x = self.b(checkpoint(self.block, x if self.inside else self.a(x), use_reentrant=False))
        for _ in range(self.calls - 1):
            x = self.a(x)
        return x


@pytest.mark.parametrize("calls", [1, 2])
def test_checkpoint_that_runs_a_layer_again_is_refused(calls):
    given = given_noises(noisify(Checkpointed(True, calls), sigma=SIGMA, layers=["a@*", "b"]), INPUTS, "b")
    calls_before = list(given.network.calls)
    with pytest.raises(ValueError, match=r"'b', whose signal torch cannot differentiate .*choose another estimator"):
        given.jacobians(*random_rows(given))
    assert given.network.calls == calls_before


def test_checkpoint_without_layers_has_derivatives():
    noisy = Checkpointed(inside=False)
    given = given_noises(noisify(noisy, sigma=SIGMA, layers=["a", "b"]), INPUTS, "b")
    rows, noises = random_rows(given)
    with torch.no_grad():
        values = given.signals(rows, noises)
        expected = values[:, :, None] * noisy.linear.weight * SIGMA
    torch.testing.assert_close(given.jacobians(rows, noises), expected, rtol=0, atol=ROUNDING)


def test_signals_that_are_not_finite_are_refused():
    class Logarithms(Cubes):
        def forward(self, x):
            return self.b(self.a(x).log())

    given = given_noises(noisify(Logarithms(), sigma=SIGMA, layers=["a", "b"]), INPUTS.abs(), "b")
    with pytest.raises(ValueError, match="NaN or infinity in layer 'b'"):
        given.signals(torch.zeros(1, dtype=torch.int64), torch.full((1, 4), -10.0, dtype=torch.float64))


def test_layer_behind_no_noise_is_refused():
    with pytest.raises(ValueError, match="got '1' which lies behind no noise"):
        given_noises(noisify(tanh_mlp(4, 3, 2, dtype=torch.float64), sigma=SIGMA, layers=nn.Tanh), INPUTS, "1")


def test_random_numbers_of_the_network_are_refused_where_they_act():
    noisy = noisify(nn.Sequential(Jitter(), nn.Tanh(), nn.Identity()), sigma=SIGMA, layers=["1", "2"])
    with pytest.raises(ValueError, match="got '2' on which random numbers of the network itself act"):
        given_noises(noisy, INPUTS, "2")


def test_network_that_reads_values_is_refused():
    class Reading(Cubes):
        def forward(self, x):
            x = self.a(x)
            return self.b(x if float(x.sum()) > 0 else 2 * x)

    with pytest.raises(ValueError, match="got 'b' of a network that may branch on values"):
        given_noises(noisify(Reading(), sigma=SIGMA, layers=["a", "b"]), INPUTS, "b")


def test_derivatives_exist_in_inference_mode():
    given = given_noises(*NETWORKS["mlp"]())
    rows, noises = random_rows(given)
    expected = given.jacobians(rows, noises)
    with torch.inference_mode():
        rows, noises = random_rows(given)
        assert torch.equal(given.jacobians(rows, noises), expected)


def test_passes_leave_gradients_buffers_and_generators_alone():
    class Counting(Cubes):
        def build(self):
            super().build()
            self.linear = nn.Linear(4, 4)
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return self.b(self.linear(self.a(x)))

    noisy = noisify(Counting(), sigma=SIGMA, layers=["a", "b"])
    given = given_noises(noisy, INPUTS, "b")
    state = torch.get_rng_state()
    given.jacobians(*random_rows(given))
    assert torch.equal(torch.get_rng_state(), state)
    assert noisy.linear.weight.grad is None
    assert noisy.count == given.network.module.count == 0


def test_memory_of_a_pass_with_jacobians_is_its_share_of_the_budget():
    max_memory = 2**21
    noisy = noisify(tanh_mlp(4, 64, 64, 64, 2, dtype=torch.float64), sigma=SIGMA)
    given = given_noises(noisy, INPUTS, "5", max_memory=max_memory)
    rows, noises = random_rows(given, m=60)
    given.jacobians(rows[:1], noises[:1])  # observes the bytes of a row
    with LiveMemory() as memory:
        jacobians = given.jacobians(rows, noises)
    # Views count with the memory that they share: the arguments, the parameters, and the unit vectors.
    parameters = sum(parameter.nbytes for parameter in noisy.parameters())
    shared = noises.nbytes + parameters + 8 * given.n_units**2
    assert max(memory.bytes) - jacobians.nbytes - shared <= max_memory / 32


def test_tiny_budget_gives_the_same_jacobians():
    noisy, _, layer = NETWORKS["mlp"]()
    given = given_noises(noisy, INPUTS, layer)
    rows, noises = random_rows(given)
    expected = given.jacobians(rows, noises)
    given.network.max_memory = 1
    assert given._products_per_pass() == given._rows_per_pass() == 1
    torch.testing.assert_close(given.jacobians(rows, noises), expected, rtol=0, atol=ROUNDING)
