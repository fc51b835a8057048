"""The noise of a noisy network: what it is, where it is, and that it goes on where it stopped."""

import copy
import io
import pickle

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from layerbits._base import LayerSelectionError
from layerbits.networks import noisify

SIGMA = 0.3


class Twice(nn.Module):
    """Calls one module twice; a module of the test file, so that it can be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Tanh()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.act(x)))


def mlp():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))


def noisy_identity(**options):
    """A network whose output is its input plus noise, and the pass that shows the noise alone."""
    return noisify(nn.Sequential(nn.Identity()), sigma=SIGMA, layers="0", **options)


def noise_of(noisy, *shape, dtype=torch.float32):
    return noisy(torch.zeros(*shape, dtype=dtype))


def saved_and_loaded(noisy):
    file = io.BytesIO()
    torch.save(noisy, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = [copy.deepcopy, lambda noisy: pickle.loads(pickle.dumps(noisy)), saved_and_loaded]
any_copy = pytest.mark.parametrize("copied", COPIES, ids=["deepcopy", "pickle", "torch.save"])


def test_noise_is_gaussian_with_standard_deviation_sigma():
    noise = noise_of(noisy_identity(), 100_000, dtype=torch.float64) / SIGMA
    assert stats.kstest(noise.numpy(), "norm").pvalue > 1e-4  # a right build with another seed fails once in 10,000


def test_noise_has_variance_sigma_squared():
    n = 100_000
    energy = float((noise_of(noisy_identity(), n, dtype=torch.float64) / SIGMA).square().sum())
    low, high = stats.chi2.interval(1 - 1e-6, df=n)  # the sum of n squared standard normals
    assert low < energy < high


def test_noise_of_units_is_independent():
    n, d = 20_000, 5
    correlation = torch.corrcoef(noise_of(noisy_identity(), n, d, dtype=torch.float64).T)
    bound = stats.norm.isf(1e-6) / n**0.5  # the sample correlation of independent normals is N(0, 1/n) to O(1/n)
    assert (correlation - torch.eye(d)).abs().max() < bound


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_noise_keeps_the_dtype(dtype):
    assert noise_of(noisy_identity(), 3, dtype=dtype).dtype == dtype


def test_noise_is_fresh_in_every_pass():
    noisy = noisy_identity()
    assert not torch.equal(noise_of(noisy, 8), noise_of(noisy, 8))


@pytest.mark.parametrize("training", [True, False])
def test_noise_is_on_in_training_and_in_evaluation(training):
    assert noise_of(noisy_identity().train(training), 8).all()


def test_noise_is_on_when_the_network_is_called_without_its_wrapper():
    assert noisy_identity().model(torch.zeros(8)).all()


def test_seed_decides_the_noise():
    first, again, other = (noise_of(noisy_identity(seed=seed), 8) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_seed_may_exceed_64_bits():
    assert not torch.equal(noise_of(noisy_identity(seed=2**70), 8), noise_of(noisy_identity(seed=0), 8))


def test_global_generator_is_not_touched():
    model = mlp()
    before = torch.get_rng_state()
    noise_of(noisify(model), 2, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_global_generator_does_not_decide_the_noise():
    torch.manual_seed(1)
    first = noise_of(noisy_identity(), 8)
    torch.manual_seed(2)
    assert torch.equal(noise_of(noisy_identity(), 8), first)


def test_gradients_are_those_of_the_network_at_the_noisy_point():
    model = nn.Sequential(nn.Identity(), nn.Linear(4, 1)).double()
    noisy = noisify(model, sigma=SIGMA, layers="0")
    noisy(torch.zeros(1, 4, dtype=torch.float64)).sum().backward()
    expected = noise_of(noisify(nn.Sequential(nn.Identity()), sigma=SIGMA, layers="0"), 1, 4, dtype=torch.float64)
    assert torch.equal(model[1].weight.grad, expected)  # d(Wt)/dW = t, the noise alone: no rounding on the way


def test_gradient_passes_the_noise_unchanged():
    x = torch.zeros(5, requires_grad=True)
    noisy_identity()(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(5))


def test_noise_is_not_written_into_the_activation():
    x = torch.ones(8)
    noisy = noisify(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 1)), sigma=SIGMA)
    noisy(x)
    assert torch.equal(x, torch.ones(8))


def test_network_trains_through_an_in_place_activation():
    noisy = noisify(nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)), sigma=SIGMA)
    noisy(torch.ones(2, 4)).sum().backward()
    assert noisy.model[0].weight.grad is not None


def test_feature_maps_get_noise_at_every_pixel():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))
    noisy, images = noisify(model, sigma=SIGMA), torch.zeros(3, 1, 6, 6)
    seen = []
    model[2].register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    noisy(images)
    with noisy.noise_off():
        noisy(images)
    assert (seen[0] - seen[1]).count_nonzero() == 3 * 2 * 4 * 4


def test_calls_of_a_module_that_are_not_selected_get_no_noise():
    noisy = noisify(Twice(), sigma=SIGMA, layers="act@2")
    seen = []
    noisy.model.act.register_forward_hook(lambda module, args, output: seen.append(output))
    noisy(torch.zeros(4, 3))
    assert [bool(output.any()) for output in seen] == [False, True]


def test_part_that_ran_alone_does_not_shift_the_calls_of_the_next_pass():
    noisy = noisify(Twice(), sigma=SIGMA, layers="act@2")
    noisy.model.act(torch.zeros(4, 3))
    seen = []
    noisy.model.act.register_forward_hook(lambda module, args, output: seen.append(output))
    noisy(torch.zeros(4, 3))
    assert [bool(output.any()) for output in seen] == [False, True]


def test_noise_off_gives_the_network_that_was_given():
    model, x = mlp(), torch.ones(2, 4)
    clean = model(x)
    noisy = noisify(model)
    with noisy.noise_off():
        assert torch.equal(noisy(x), clean)


def test_noise_off_nests():
    noisy = noisy_identity()
    with noisy.noise_off():
        with noisy.noise_off():
            pass
        assert not noise_of(noisy, 8).any()


def test_noise_is_on_again_after_noise_off():
    noisy = noisy_identity()
    with noisy.noise_off():
        pass
    assert noise_of(noisy, 8).all()


def test_noise_is_on_again_after_an_exception():
    noisy = noisy_identity()
    with pytest.raises(KeyError), noisy.noise_off():
        raise KeyError
    assert noise_of(noisy, 8).all()


def test_noise_off_spends_no_noise():
    noisy, twin = noisy_identity(), noisy_identity()
    with noisy.noise_off():
        noise_of(noisy, 8)
    assert torch.equal(noise_of(noisy, 8), noise_of(twin, 8))


@any_copy
def test_copy_goes_on_from_the_same_noise(copied):
    noisy = noisy_identity()
    noise_of(noisy, 8)
    twin = copied(noisy)
    assert torch.equal(noise_of(twin, 8), noise_of(noisy, 8))


@any_copy
def test_copy_does_not_spend_the_noise_of_the_original(copied):
    noisy, untouched = noisy_identity(), noisy_identity()
    noise_of(copied(noisy), 8)
    assert torch.equal(noise_of(noisy, 8), noise_of(untouched, 8))


@any_copy
def test_noise_of_a_copy_is_switched_off_alone(copied):
    noisy = noisy_identity()
    with copied(noisy).noise_off():
        assert noise_of(noisy, 8).all()


@any_copy
def test_copy_made_within_noise_off_is_noisy(copied):
    noisy = noisy_identity()
    with noisy.noise_off():
        twin = copied(noisy)
    assert noise_of(twin, 8).all()


@any_copy
def test_copy_adds_noise_once_at_each_layer(copied):
    twin = copied(noisify(mlp()))
    assert sum(len(module._forward_hooks) for module in twin.modules()) == len(twin.layer_names)


def test_hooks_of_a_loaded_network_are_not_overwritten_by_later_hooks(monkeypatch):
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", 0)  # what a new process starts with
    stored = pickle.dumps(noisy_identity())
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", 0)
    noisy = pickle.loads(stored)
    noisy.model[0].register_forward_hook(lambda module, args, output: None)
    assert noise_of(noisy, 8).all()


def test_resumed_noise_equals_uninterrupted_noise():
    noisy, resumed = noisy_identity(), noisy_identity(seed=5)
    noise_of(noisy, 8)
    resumed.load_state_dict(noisy.state_dict())
    assert torch.equal(noise_of(resumed, 8), noise_of(noisy, 8))


def test_state_of_unused_noise_resumes_at_its_start():
    noisy, resumed = noisy_identity(), noisy_identity()
    noise_of(resumed, 8)
    resumed.load_state_dict(noisy.state_dict())
    assert torch.equal(noise_of(resumed, 8), noise_of(noisy, 8))


def test_state_dict_does_not_change_with_later_passes():
    noisy, resumed = noisy_identity(), noisy_identity()
    noise_of(noisy, 8)
    state = noisy.state_dict()
    expected = noise_of(noisy, 8)
    resumed.load_state_dict(state)
    assert torch.equal(noise_of(resumed, 8), expected)


def test_state_dict_loads_with_weights_only():
    noisy, resumed = noisify(mlp()), noisify(mlp())
    x, file = torch.ones(2, 4), io.BytesIO()
    noisy(x)
    torch.save(noisy.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(resumed(x), noisy(x))


def test_state_of_a_device_that_is_not_here_is_kept():
    noisy = noisy_identity()
    state = {"cuda:99": torch.zeros(16, dtype=torch.uint8)}
    noisy.set_extra_state(state)
    noise_of(noisy, 8)
    assert torch.equal(noisy.get_extra_state()["cuda:99"], state["cuda:99"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_noise_on_a_gpu_resumes():
    noisy, resumed = noisy_identity(), noisy_identity(seed=5)
    noisy(torch.zeros(8, device="cuda"))
    resumed.load_state_dict(noisy.state_dict())
    assert torch.equal(resumed(torch.zeros(8, device="cuda")), noisy(torch.zeros(8, device="cuda")))


def test_layer_names_are_in_the_order_of_the_data():
    assert noisify(mlp(), layers=["3", "1"]).layer_names == ("1", "3")


def test_noisy_network_prints_its_noise():
    assert "sigma=0.005, layers=['1', '3']" in str(noisify(mlp()))


@pytest.mark.parametrize(
    ("layer", "x"),
    [(nn.LSTM(4, 3), torch.zeros(2, 4)), (nn.Identity(), torch.zeros(2, dtype=torch.int64))],
    ids=["tuple", "integers"],
)
def test_output_that_cannot_carry_noise_is_refused(layer, x):
    noisy = noisify(nn.Sequential(layer), layers="0")
    with pytest.raises(LayerSelectionError, match="'0' returns"):
        noisy(x)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf")])
def test_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma: got"):
        noisify(mlp(), sigma=sigma)


@pytest.mark.parametrize("sigma", [True, "0.1", None, 1j])
def test_sigma_that_is_no_number_is_refused(sigma):
    with pytest.raises(TypeError, match="sigma: got"):
        noisify(mlp(), sigma=sigma)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed: got -1"):
        noisify(mlp(), seed=-1)


@pytest.mark.parametrize("seed", [True, 1.0, None])
def test_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises(TypeError, match="seed: got"):
        noisify(mlp(), seed=seed)


def test_model_that_is_no_module_is_refused():
    with pytest.raises(TypeError, match="model: got int"):
        noisify(3)


@pytest.mark.parametrize("noisy_again", [lambda noisy: noisy, lambda noisy: noisy.model, nn.Sequential])
def test_network_that_is_noisy_already_is_refused(noisy_again):
    noisy = noisify(mlp())
    with pytest.raises(ValueError, match="noisy already"):
        noisify(noisy_again(noisy))


def test_refused_network_is_left_without_noise():
    model = mlp()
    with pytest.raises(LayerSelectionError):
        noisify(model, layers=["1", "absent"])
    assert not any(module._forward_hooks for module in model.modules())
