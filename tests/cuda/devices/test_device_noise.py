"""Noise on a device has the distribution of its layer; in a measurement it depends on seed, key and position."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import layerbits
from layerbits.kernels import NormalStream, empty_for_draws, uniform_like

SIGMA = 0.5


def noisy_identities(count, sigma=SIGMA):
    model = nn.Sequential(*(nn.Identity() for _ in range(count)))
    return layerbits.noisify(model, sigma=sigma, layers="*").to("cuda")


def normals(*shape, key=(1, 2, 3), dtype=torch.float32, device="cuda"):
    return NormalStream(*key).like(torch.empty(shape, dtype=dtype, device=device))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_stream_continues_at_its_position(dtype):
    stream = NormalStream(1, 2, 3)
    parts = [stream.like(torch.empty(rows, 7, dtype=dtype, device="cuda")) for rows in (1, 30, 0, 19)]
    assert parts[0].dtype == dtype
    assert torch.equal(torch.cat(parts), normals(50, 7, dtype=dtype))


@pytest.mark.parametrize("key", [(2, 2, 3), (1, 3, 2), (1, 2), (1, 2, 3, 0), (1 + 2**64, 2, 3)])
def test_different_keys_give_different_values(key):
    assert not (normals(1000, dtype=torch.float64) == normals(1000, key=key, dtype=torch.float64)).any()


def test_float64_values_have_more_digits_than_float32():
    values = normals(1000, dtype=torch.float64)
    assert (values != values.float()).double().mean() > 0.99


def test_devices_of_one_model_have_the_same_values(second_device):
    assert str(empty_for_draws((1,), torch.empty(1, device=second_device)).device) == second_device
    assert torch.equal(normals(1000).cpu(), normals(1000, device=second_device).cpu())


def test_uniform_values_are_uniform_repeatable_and_depend_on_the_key():
    values = uniform_like(torch.empty(100_000, device="cuda"), 1, 2)
    assert values.device.type == "cuda"
    assert stats.kstest(values.cpu().double(), "uniform").pvalue > 1e-6
    assert torch.equal(values[:10], uniform_like(torch.empty(100_000, device="cuda"), 1, 2)[:10])
    assert not torch.equal(values, uniform_like(torch.empty(100_000, device="cuda"), 1, 3))


@pytest.mark.parametrize(
    ("chunk", "dtype"),
    [(1, torch.float32), (5, torch.float64), (257, torch.float32), (257, torch.float64), (10_000, torch.float64)],
)
def test_size_of_chunks_changes_no_bit(chunk, dtype):
    noisy, x = noisy_identities(2), torch.linspace(-1, 1, 900, dtype=dtype, device="cuda").reshape(300, 3)
    signals = layerbits.propagate(noisy, x, draws=2)["1"]
    assert signals.device.type == "cuda"
    assert torch.equal(layerbits.propagate(noisy, x, draws=2, chunk=chunk)["1"], signals)


def test_more_draws_and_more_inputs_begin_with_the_same_noise():
    noisy, x = noisy_identities(2), torch.ones(300, 3, device="cuda")
    signals = layerbits.propagate(noisy, x, draws=5)["1"]
    assert torch.equal(layerbits.propagate(noisy, x, draws=2)["1"], signals[:, :2])
    assert torch.equal(layerbits.propagate(noisy, x[:70], draws=5)["1"], signals[:70])


def test_noise_of_layers_draws_and_rows_is_normal_and_independent():
    signals = layerbits.propagate(noisy_identities(3), torch.zeros(512, 40, device="cuda"), draws=2)
    noise = torch.stack([signals["1"], signals["2"] - signals["1"]]).cpu().double() / SIGMA
    # Differences of float32 values below 8 are rounded to 2^-22, which does not change the result of the test.
    assert stats.kstest(noise.flatten(), "norm").pvalue > 1e-6
    groups = noise.reshape(2, 2, 256, 2, 40).permute(0, 1, 3, 2, 4).reshape(8, 256 * 40)
    bound = stats.norm.isf(1e-6) / (256 * 40) ** 0.5  # a correlation of independent normals is N(0, 1/n) to O(1/n)
    assert (torch.corrcoef(groups) - torch.eye(8)).abs().max() < bound


def test_passes_copy_at_most_8_bytes_at_once_to_the_host(copies_to_host):
    noisy, x = noisy_identities(3, np.full(5, 0.5)), torch.zeros(600, 5, device="cuda")
    copies_to_host()
    layerbits.propagate(noisy, x, draws=3, chunk=400)
    assert max(copies_to_host()) <= 8  # whether signals are finite


def test_error_of_signals_that_are_not_finite_names_their_layer():
    class Overflow(nn.Module):
        def forward(self, signal):
            return 10 * signal

    noisy = layerbits.noisify(nn.Sequential(nn.Identity(), Overflow(), nn.Identity()), sigma=SIGMA, layers="*")
    x = torch.full((4, 2), 3e38, device="cuda")
    with pytest.raises(ValueError, match=r"^inputs: got NaN or infinity in layer '1'"):
        layerbits.propagate(noisy, x, draws=2)


@pytest.mark.parametrize("scale", [np.array([0.5, 2.0]), np.array([[1.0, 0.6], [0.6, 0.5]])], ids=["units", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_of_units_has_its_covariance_and_is_whitened_on_the_device(scale, dtype):
    """Entries of a sample covariance of n pairs have standard errors of at most sqrt(2 / n) times the largest entry."""
    noisy = noisy_identities(2, scale)
    noise = layerbits.propagate(noisy, torch.zeros(20_000, 2, dtype=dtype, device="cuda"), draws=1)["1"][:, 0]
    white = layerbits.noise_of(noisy)["1"].whiten(noise)
    assert (noise.dtype, noise.device) == (dtype, white.device)
    covariance = np.diag(scale**2) if scale.ndim == 1 else scale
    for values, expected in ((noise, covariance), (white, np.eye(2))):
        bound = stats.norm.isf(1e-7) * (2 / 20_000) ** 0.5 * expected.max()
        assert np.abs(np.cov(values.cpu().numpy().T) - expected).max() < bound


def test_dropout_noise_has_the_variance_of_each_unit_and_its_entropy():
    """A sample variance of n values has a standard error of sqrt(2 / n) times the variance."""
    noise, n = layerbits.DropoutNoise(0.5, 0.3), 20_000
    signal = torch.tensor([0.0, 1.0, -3.0], device="cuda")
    values = layerbits.propagate(noisy_identities(2, noise), signal.expand(n, 3), draws=1)["1"][:, 0]
    ratios = values.double().var(0).cpu() / (0.25 * signal.double() ** 2 + 0.09).cpu()
    assert (ratios - 1).abs().max() < stats.norm.isf(1e-7) * (2 / n) ** 0.5
    signals = torch.stack([signal, 2 * signal])
    table = layerbits.layer_information(noisy_identities(1, noise), signals)
    deviations = np.hypot(0.5 * signals.double().cpu().numpy(), 0.3)
    assert table["0", "h(T|X)"].value == pytest.approx(stats.norm.entropy(scale=deviations).sum(1).mean(), abs=1e-12)


def test_information_of_dropout_noise_agrees_with_that_of_the_cpu():
    """The noise differs; a correct estimator errs by more than five standard errors once in 1.7 million."""
    noise, signals = layerbits.DropoutNoise(0.7, 0.3), torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 3
    tables = [
        layerbits.layer_information(noisy_identities(1, noise).to(device), signals.to(device), labels, queries=500)
        for device in ("cuda", "cpu")
    ]
    for row, expected in zip(*tables, strict=True):
        error = np.hypot(row.standard_error, expected.standard_error)
        assert abs(row.value - expected.value) <= 5 * error + 1e-12


def test_pickled_noise_contains_no_device():
    noisy = noisy_identities(1, np.array([0.5, 2.0]))
    noisy(torch.zeros(3, 2, device="cuda"))
    scale = layerbits.noise_of(noisy)["0"].scale
    for network in (pickle.loads(pickle.dumps(noisy)), copy.deepcopy(noisy)):
        assert torch.equal(layerbits.noise_of(network)["0"].scale, scale)
    assert b"cuda" not in pickle.dumps(noisy)


def test_noise_of_a_device_and_of_the_cpu_come_from_separate_generators():
    noisy, x = noisy_identities(1), torch.zeros(4, 2)
    torch.manual_seed(0)
    expected = noisy(x)
    torch.manual_seed(0)
    on_device, on_cpu = noisy(x.cuda()), noisy(x)
    assert torch.equal(on_cpu, expected)
    assert not torch.equal(noisy(x.cuda()), on_device)


def test_dropout_behind_noise_agrees_with_the_cpu():
    """The noise differs; correct plug-in bounds differ by more than five standard errors once in 1.7 million."""
    inputs = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    sigma = {"0": 0.5, "1": layerbits.DropoutNoise(0.7, 0.3)}
    rows = []
    for device in ("cuda", "cpu"):
        model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())
        layerbits.noisify(model, sigma=sigma, layers=torch.nn.Identity, inputs=inputs[:1])
        table = layerbits.layer_information(model, inputs.to(device), layers="1", draws=32)
        rows.append([table["1", quantity] for quantity in ("I(X;T)", "h(T)", "h(T|X)")])
    for on_device, on_cpu in zip(*rows, strict=True):
        error = np.hypot(on_device.plug_in_error, on_cpu.plug_in_error)
        assert abs(on_device.plug_in - on_cpu.plug_in) <= 5 * error
        assert max(on_device.lower, on_cpu.lower) <= min(on_device.upper, on_cpu.upper)
