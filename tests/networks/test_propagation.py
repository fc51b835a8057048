"""Recorded signals: what they are, that nothing but the noise decides them, and that measuring changes nothing."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from layerbits._base import BackendError, LayerSelectionError, NoNoiseError
from layerbits.kernels import standard_normal, stream
from layerbits.networks import noisify, propagate

SIGMA = 0.3


def mlp():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def noisy_identities(count):
    """Layers that add noise and do nothing else: each signal is the input plus the noise of the layers before."""
    return noisify(nn.Sequential(*(nn.Identity() for _ in range(count))), sigma=SIGMA, layers=nn.Identity)


def inputs(n=6):
    return torch.linspace(-1, 1, 4 * n).reshape(n, 4)


def batch_sizes(noisy):
    sizes = []
    noisy.model.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    return sizes


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.linear = nn.Tanh(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.act(self.linear(self.act(x))))


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.head = nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(self.act(x + y))


class Looping(nn.Module):
    """Calls its activation as often as the first input says, which torch.fx cannot see."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.head = nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x[0, 0])):
            x = self.act(x)
        return self.head(x)


def test_signals_have_a_row_for_each_input_and_draw():
    signals = propagate(noisify(mlp()), inputs(), draws=7)
    assert {name: tuple(signal.shape) for name, signal in signals.items()} == {"1": (6, 7, 3), "3": (6, 7, 5)}


def test_signals_come_in_the_order_of_the_data():
    assert list(propagate(noisify(mlp()), inputs(), draws=1, layers=["3", "1"])) == ["1", "3"]


def test_feature_maps_are_flattened():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 2))
    images = torch.linspace(-1, 1, 3 * 36).reshape(3, 1, 6, 6)
    signal = propagate(noisify(model), images, draws=2)["1"]
    with torch.no_grad():
        assert torch.equal(signal[:, 1], model[0](images).tanh().flatten(1))


def test_first_signal_is_the_activation_without_noise_in_every_draw():
    model, x = mlp(), inputs()
    with torch.no_grad():
        activation = model[:2](x)
    signal = propagate(noisify(model), x, draws=3)["1"]
    assert torch.equal(signal, activation[:, None].expand(-1, 3, -1))


def test_later_signal_is_the_activation_of_the_noisy_layer_before():
    model, x = mlp(), inputs()
    with torch.no_grad():
        noise = standard_normal((6, 3), stream(9, 0, 1, 0), torch.float32)
        expected = model[2:4](torch.add(model[:2](x), noise, alpha=SIGMA))
    assert torch.equal(propagate(noisify(model, sigma=SIGMA), x, draws=2, seed=9)["3"][:, 1], expected)


def test_noise_before_a_signal_has_variance_sigma_squared_for_each_layer_passed():
    x = torch.zeros(500, 10, dtype=torch.float64)
    energy = float((propagate(noisy_identities(3), x, draws=20)["2"] / SIGMA).square().sum()) / 2  # two layers' noise
    low, high = stats.chi2.interval(1 - 1e-6, df=500 * 20 * 10)
    assert low < energy < high


def test_noise_of_layers_and_draws_and_rows_is_independent():
    signals = propagate(noisy_identities(3), torch.zeros(512, 40, dtype=torch.float64), draws=2)
    noise = torch.stack([signals["1"], signals["2"] - signals["1"]])  # layer, row, draw, unit
    groups = noise.reshape(2, 2, 256, 2, 40).permute(0, 1, 3, 2, 4).reshape(8, 256 * 40)
    bound = stats.norm.isf(1e-6) / (256 * 40) ** 0.5  # a correlation of independent normals is N(0, 1/n) to O(1/n)
    assert (torch.corrcoef(groups) - torch.eye(8)).abs().max() < bound


def test_each_call_of_a_module_has_its_signal():
    model, x = Twice(), inputs()
    signals = propagate(noisify(model, sigma=1e-30), x, draws=1)  # noise below half an ulp of every activation here
    with torch.no_grad():
        first = x.tanh()
        assert torch.equal(signals["act"][:, 0], first)
        assert torch.equal(signals["act@2"][:, 0], model.linear(first).tanh())


@pytest.mark.parametrize("chunk", [1, 2, 257, 1200, 10_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chunk_does_not_change_a_bit(chunk, dtype):
    noisy, x = noisy_identities(2), torch.linspace(-1, 1, 1803, dtype=dtype).reshape(601, 3)
    assert torch.equal(propagate(noisy, x, draws=2, chunk=chunk)["1"], propagate(noisy, x, draws=2)["1"])


def test_more_draws_begin_with_the_same():
    noisy = noisify(mlp())
    assert torch.equal(propagate(noisy, inputs(), draws=5)["3"][:, :2], propagate(noisy, inputs(), draws=2)["3"])


def test_more_inputs_begin_with_the_same():
    noisy, x = noisy_identities(2), torch.ones(300, 3)
    assert torch.equal(propagate(noisy, x, draws=2)["1"][:70], propagate(noisy, x[:70], draws=2)["1"])


def test_recording_one_layer_does_not_change_it():
    noisy = noisify(mlp())
    assert torch.equal(propagate(noisy, inputs(), layers="3")["3"], propagate(noisy, inputs())["3"])


def test_seed_decides_the_signals():
    noisy = noisify(mlp())
    first, again, other = (propagate(noisy, inputs(), draws=2, seed=seed)["3"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("draws", "chunk", "wanted"),
    [
        (1, 400, [400, 200]),
        (5, 1500, [1500, 1500]),
        (3, 2, [2] * 600 + [1] * 600),
        (40, 16_000, [16_000, 3200, 4000, 800]),
    ],
)
def test_pass_holds_no_more_rows_than_the_chunk(draws, chunk, wanted):
    noisy = noisy_identities(1)
    sizes = batch_sizes(noisy)
    propagate(noisy, torch.zeros(600, 4), draws=draws, chunk=chunk)
    assert sizes == wanted


def test_pass_holds_fewer_inputs_when_they_are_wide():
    noisy = noisy_identities(1)
    sizes = batch_sizes(noisy)
    propagate(noisy, torch.zeros(600, 2048), draws=1)
    assert sizes == [512, 88]


def test_threads_do_not_change_a_bit():
    noisy, x, threads = noisy_identities(2), torch.zeros(600, 4), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(propagate(noisy, x, draws=3)["1"])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_gradients_are_not_recorded():
    assert not propagate(noisify(mlp()), inputs().requires_grad_())["3"].requires_grad


def test_noise_of_training_is_not_spent():
    noisy, untouched = noisify(mlp()), noisify(mlp())
    propagate(noisy, inputs())
    assert torch.equal(noisy(inputs()), untouched(inputs()))


def test_global_generators_are_not_touched():
    noisy = noisify(mlp())
    before = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002 - the legacy generator is the point
    propagate(noisy, inputs())
    after = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
    assert torch.equal(after[0], before[0])
    assert after[1][1] == before[1][1]
    assert np.array_equal(after[1][0], before[1][0])


def test_batch_norm_learns_nothing_from_a_measurement():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    propagate(noisify(model), inputs() + 5)
    assert int(model[0].num_batches_tracked) == 0


def test_batch_norm_uses_what_it_has_learnt():
    model, x = nn.Sequential(nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)), inputs()
    signal = propagate(noisify(model), x, draws=1)["1"][:, 0]
    # Untrained statistics are mean 0 and variance 1; the division by sqrt(1 + eps) and tanh round by some float32 ulp.
    assert torch.allclose(signal, (x / (1 + model[0].eps) ** 0.5).tanh(), rtol=8 * torch.finfo(torch.float32).eps)


def test_dropout_is_off():
    model = nn.Sequential(nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2))
    assert torch.equal(propagate(noisify(model), inputs(), draws=1)["1"][:, 0], inputs().tanh())


def test_training_flag_of_each_module_is_restored():
    noisy = noisify(mlp())
    noisy.model[2].eval()
    before = [module.training for module in noisy.modules()]
    propagate(noisy, inputs())
    assert [module.training for module in noisy.modules()] == before


def test_training_flags_are_restored_after_an_exception():
    noisy = noisify(mlp())
    with pytest.raises(
        ValueError, match=r"^inputs: got torch.float32 of shape \(3, 99\), which the network cannot take"
    ):
        propagate(noisy, torch.zeros(3, 99))
    assert all(module.training for module in noisy.modules())


@pytest.mark.parametrize("error", [BackendError, torch.cuda.OutOfMemoryError])
def test_errors_that_are_no_fault_of_the_inputs_stay_what_they_are(error):
    class Failing(nn.Module):
        def forward(self, signal):
            raise error("nothing is wrong with the inputs")

    noisy = noisify(nn.Sequential(nn.Identity(), Failing(), nn.Identity()), sigma=SIGMA, layers="*")
    with pytest.raises(error, match=r"^nothing is wrong"):
        propagate(noisy, inputs())


def test_noise_is_back_after_an_exception():
    noisy, untouched = noisify(mlp()), noisify(mlp())
    with pytest.raises(
        ValueError, match=r"^inputs: got torch.float32 of shape \(3, 99\), which the network cannot take"
    ):
        propagate(noisy, torch.zeros(3, 99))
    assert torch.equal(noisy(inputs()), untouched(inputs()))


def test_arrays_come_out_when_arrays_go_in():
    signals = propagate(noisify(mlp()), inputs().numpy())
    assert all(isinstance(signal, np.ndarray) for signal in signals.values())


def test_arrays_give_the_values_of_tensors():
    noisy = noisify(mlp())
    assert np.array_equal(propagate(noisy, inputs().numpy())["3"], propagate(noisy, inputs())["3"].numpy())


def test_arrays_take_the_dtype_of_the_network():
    assert propagate(noisify(mlp()), inputs().double().numpy())["3"].dtype == np.float32


def test_integer_arrays_stay_indices():
    noisy = noisify(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2)), layers="0")
    assert propagate(noisy, np.array([[0, 1], [2, 4]]), draws=1)["0"].shape == (2, 1, 6)


@pytest.mark.parametrize("array", [np.ones((3, 4))[::-1], np.asfortranarray(np.ones((3, 4)))], ids=["reversed", "F"])
def test_arrays_may_have_any_strides(array):
    assert propagate(noisify(mlp()), array, draws=1)["1"].shape == (3, 1, 3)


def test_tuple_holds_the_arguments_of_the_network():
    x = inputs()
    assert torch.equal(propagate(noisify(Sum()), (x, 2 * x), draws=1)["act"][:, 0], (x + 2 * x).tanh())


def test_layer_emits_what_is_given_in_every_draw_instead_of_its_signal_and_noise():
    values = inputs().flip(0)
    signals = propagate(noisy_identities(2), inputs(), draws=3, chunk=4, given={"0": values})
    assert torch.equal(signals["1"], values[:, None].expand(-1, 3, -1))
    assert torch.equal(signals["0"][:, 0], inputs())


def test_layers_after_what_is_given_keep_their_noise():
    given = propagate(noisy_identities(3), inputs(), draws=3, given={"0": inputs()})["2"] - inputs()[:, None]
    free = propagate(noisy_identities(3), inputs(), draws=3)
    assert torch.allclose(given, free["2"] - free["1"], atol=1e-6)


def test_feature_maps_may_be_given_flat():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(1), nn.Tanh(), nn.Linear(18, 1))
    values = torch.linspace(-1, 1, 54).reshape(3, 18)
    images = np.zeros((3, 1, 5, 5), np.float32)
    signals = propagate(noisify(network), images, draws=2, given={"1": values})
    assert np.array_equal(signals["3"][:, 1], values.tanh().numpy())


@pytest.mark.parametrize("shape", [(5, 4), (6, 3), (6,), ()])
def test_given_values_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"given: got shape .* for '0', wanted \(6, (4|dim)\)"):
        propagate(noisy_identities(2), inputs(), given={"0": torch.zeros(shape)})


def test_given_values_of_an_unknown_layer_are_refused():
    with pytest.raises(LayerSelectionError, match="wanted names among the noisy layers: 0, 1"):
        propagate(noisy_identities(2), inputs(), given={"2": inputs()})


def test_single_unit_without_an_axis_has_dimension_one():
    model = nn.Sequential(nn.Flatten(0), nn.Tanh(), nn.Unflatten(0, (-1, 1)), nn.Linear(1, 2))
    assert propagate(noisify(model), torch.zeros(5, 1), draws=2)["1"].shape == (5, 2, 1)


def test_double_precision_is_kept():
    assert propagate(noisify(mlp().double()), inputs().double())["3"].dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_has_the_noise_of_the_cpu():
    x = torch.zeros(300, 4)  # 0 + sigma z has one rounding on either device
    assert torch.equal(propagate(noisy_identities(2), x.cuda())["1"].cpu(), propagate(noisy_identities(2), x)["1"])


def test_network_without_noise_is_refused():
    with pytest.raises(NoNoiseError, match=r"wrap it with layerbits\.noisify"):
        propagate(mlp(), inputs())


def test_noise_that_is_off_is_refused():
    noisy = noisify(mlp())
    with noisy.noise_off(), pytest.raises(NoNoiseError, match="outside of noise_off"):
        propagate(noisy, inputs())


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="noisy: got function"):
        propagate(lambda x: x, inputs())


@pytest.mark.parametrize("layers", ["2", ["1", "absent"], []])
def test_layer_that_is_not_noisy_is_refused_with_those_that_are(layers):
    with pytest.raises(LayerSelectionError, match="noisy layers: 1, 3"):
        propagate(noisify(mlp()), inputs(), layers=layers)


def test_layer_without_a_row_for_each_input_is_refused():
    noisy = noisify(nn.Sequential(nn.Flatten(0), nn.Tanh(), nn.Unflatten(0, (-1, 4)), nn.Linear(4, 2)))
    with pytest.raises(LayerSelectionError, match=r"'1' returns shape \(24,\) for 6 rows"):
        propagate(noisy, inputs(), draws=1)


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
def test_layer_that_does_not_run_is_refused():
    with pytest.raises(LayerSelectionError, match="act did not run"):
        propagate(noisify(Looping()), torch.zeros(3, 4))


@pytest.mark.filterwarnings("ignore:torch.fx cannot trace")
def test_layer_that_runs_more_often_than_foreseen_is_refused():
    with pytest.raises(LayerSelectionError, match="'act' ran more often"):
        propagate(noisify(Looping()), torch.full((3, 4), 2.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_signal_that_is_not_finite_is_refused_with_its_layer(value):
    model = mlp()
    nn.init.constant_(model[2].bias, value)
    model[3] = nn.ReLU()
    with pytest.raises(ValueError, match="layer '3' gives NaN or infinity"):
        propagate(noisify(model), inputs())


def test_inputs_that_are_nan_are_refused():
    x = inputs()
    x[2, 1] = float("nan")
    with pytest.raises(ValueError, match="inputs: got NaN"):
        propagate(noisify(mlp()), x)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(0, 4), torch.tensor(1.0), (torch.zeros(3, 4), torch.zeros(2, 4))],
    ids=["empty", "0-d", "unequal"],
)
def test_inputs_of_a_wrong_shape_are_refused(wrong):
    with pytest.raises(ValueError, match="inputs: got shape"):
        propagate(noisify(mlp()), wrong)


@pytest.mark.parametrize("wrong", [[[1.0] * 4], None, (), (torch.zeros(2, 4), np.zeros((2, 4)))])
def test_inputs_of_another_type_are_refused(wrong):
    with pytest.raises(TypeError, match="inputs: got"):
        propagate(noisify(mlp()), wrong)


@pytest.mark.parametrize("option", [{"draws": 0}, {"seed": -1}, {"chunk": 0}], ids=str)
def test_option_out_of_range_is_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: got"):
        propagate(noisify(mlp()), inputs(), **option)


@pytest.mark.parametrize("option", [{"draws": 2.0}, {"seed": None}, {"chunk": True}], ids=str)
def test_option_of_another_type_is_refused(option):
    with pytest.raises(TypeError, match=f"{next(iter(option))}: got"):
        propagate(noisify(mlp()), inputs(), **option)


def test_inputs_without_values_are_refused():
    with pytest.raises(ValueError, match=r"^inputs: got a tensor on the device meta"):
        propagate(noisify(mlp()), torch.zeros(3, 4, device="meta"))


def test_network_around_a_noisy_one_is_told_from_one_without_noise():
    with pytest.raises(TypeError, match=r"^noisy: got Sequential around a NoisyModule, wanted the NoisyModule itself"):
        propagate(nn.Sequential(noisify(mlp())), inputs())


def test_layers_that_are_no_names_are_refused():
    with pytest.raises(TypeError, match=r"^layers: got int"):
        propagate(noisify(mlp()), inputs(), layers=5)
