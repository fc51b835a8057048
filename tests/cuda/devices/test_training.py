"""Training on a device: checkpoints for any device, Parseval steps, and copies to the host."""

import numpy as np
import pytest
import torch
from torch import nn

import layerbits
from layerbits.training import Batches, Checkpoints, TrainingCurves, TrainingSession, load_checkpoint, train

INPUTS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


def training(directory, device, *, kind=torch.optim.Adam, sigma=0.1):
    """Return a noisy network with its optimizer and checkpoints; initial weights and noise are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    torch.manual_seed(0)
    noisy = layerbits.noisify(model, sigma=sigma, inputs=INPUTS).to(device)
    options = {"fused": True} if kind is torch.optim.Adam else {"momentum": 0.9}
    optimizer = kind(noisy.parameters(), lr=0.01, **options)
    return noisy, optimizer, Checkpoints(noisy, optimizer, at=(2, 5), directory=directory, run="run")


def train_epochs(noisy, optimizer, checkpoints, first, last):
    device = next(noisy.parameters()).device
    epochs = range(first, last + 1)
    for epoch in train(noisy, optimizer, Batches(INPUTS.to(device), LABELS.to(device), batch_size=16, seed=0), epochs):
        checkpoints.step(epoch)


def weights(noisy):
    return torch.cat([parameter.detach().flatten() for parameter in noisy.parameters()])


def test_resumed_training_agrees_with_uninterrupted_training(tmp_path):
    uninterrupted = training(tmp_path / "uninterrupted", "cuda")
    train_epochs(*uninterrupted, 1, 8)
    train_epochs(*training(tmp_path / "interrupted", "cuda"), 1, 6)
    resumed = training(tmp_path / "interrupted", "cuda")
    assert resumed[2].resume() == 5  # the sixth epoch has no checkpoint
    train_epochs(*resumed, 6, 8)
    # Other noise would change the weights by about 0.01, the learning rate.
    torch.testing.assert_close(weights(resumed[0]), weights(uninterrupted[0]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize(("before", "after"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_training_resumes_on_another_device(tmp_path, kind, before, after):
    """The noise is negligible, so the weights equal those of uninterrupted training up to rounding in 32 steps."""
    uninterrupted = training(tmp_path / "uninterrupted", after, kind=kind, sigma=1e-30)
    train_epochs(*uninterrupted, 1, 8)
    train_epochs(*training(tmp_path / "moved", before, kind=kind, sigma=1e-30), 1, 5)
    moved = training(tmp_path / "moved", after, kind=kind, sigma=1e-30)
    assert moved[2].resume() == 5
    train_epochs(*moved, 6, 8)
    assert weights(moved[0]).device.type == after
    torch.testing.assert_close(weights(moved[0]), weights(uninterrupted[0]), rtol=0, atol=1e-4)


def test_checkpoint_of_a_device_loads_without_a_device(tmp_path, monkeypatch):
    on_device = training(tmp_path, "cuda")
    train_epochs(*on_device, 1, 2)
    on_cpu = training(tmp_path / "other", "cpu")[0]
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)  # torch.load checks it for tensors of devices
        load_checkpoint(tmp_path, 2, on_cpu, run="run")
    assert torch.equal(weights(on_cpu), weights(on_device[0]).cpu())
    on_cpu(INPUTS)


def test_session_gives_each_device_its_own_noise_and_restores_the_generators(tmp_path, second_device):
    devices = ("cuda:0", second_device)
    model = nn.Sequential(*(nn.Linear(4, 4, device=device) for device in devices))
    checkpoints = Checkpoints(model, torch.optim.SGD(model.parameters()), at=(1,), directory=tmp_path, run="run")
    values = []

    def train_epochs(epochs):
        for epoch in epochs:
            values.extend(torch.randn(4, device=device).cpu() for device in devices)
            yield epoch

    def states():
        return torch.stack([torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)])

    before = states()
    TrainingSession(checkpoints, TrainingCurves(model, {}, at=(9,), directory=tmp_path)).run(train_epochs, epochs=1)
    assert not torch.equal(*values)
    assert torch.equal(states(), before)


def test_session_on_the_cpu_does_not_change_the_generators_of_devices(tmp_path):
    model, before = nn.Linear(4, 4), torch.cuda.get_rng_state()
    checkpoints = Checkpoints(model, torch.optim.SGD(model.parameters()), at=(1,), directory=tmp_path, run="run")
    TrainingSession(checkpoints, TrainingCurves(model, {}, at=(9,), directory=tmp_path)).run(iter, epochs=1)
    assert torch.equal(torch.cuda.get_rng_state(), before)


def linear_layers(device):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(1)
        return nn.Sequential(*(nn.Linear(size, size + 1) for size in range(3, 11))).to(device)


def test_parseval_step_agrees_with_that_of_the_cpu():
    models = [linear_layers(device) for device in ("cpu", "cuda")]
    for model in models:
        layerbits.ParsevalRegularizer(model, strength=0.1).step()
    for on_cpu, on_device in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(on_device.cpu(), on_cpu, rtol=1e-5, atol=1e-6)


def test_parseval_step_copies_all_norms_at_once(copies_to_host):
    regularizer = layerbits.ParsevalRegularizer(linear_layers("cuda"), strength=0.1)
    copies_to_host()
    regularizer.step()
    assert copies_to_host() == [8 * 4]  # a norm for each weight matrix


def test_parseval_step_refuses_large_singular_values():
    model = linear_layers("cuda")
    with torch.no_grad():
        model[3].weight.mul_(1000)
    with pytest.raises(layerbits.UsageError, match="'3' has a singular value of"):
        layerbits.ParsevalRegularizer(model, strength=0.1).step()


def test_only_the_evaluation_of_an_epoch_copies_to_the_host(tmp_path, copies_to_host):
    noisy, optimizer, _ = training(tmp_path, "cuda", kind=torch.optim.SGD)
    data = INPUTS.cuda(), LABELS.cuda()
    curves = TrainingCurves(noisy, {"train": data}, at=(1, 2, 3), directory=tmp_path)
    for epoch in train(noisy, optimizer, Batches(*data, batch_size=16, seed=0), range(1, 4)):
        assert copies_to_host() == []
        curves.step(epoch)
        assert max(copies_to_host()) <= 8  # loss and accuracy


def test_measurements_on_a_device_are_resumed_on_the_cpu(tmp_path):
    noisy, optimizer, _ = training(tmp_path, "cuda")
    data = INPUTS[:, :4].cuda(), LABELS.cuda()
    settings = layerbits.MeasurementSettings(draws=4)
    arguments = {"at": (1, 3), "directory": tmp_path / "measured", "settings": settings}
    monitor = layerbits.Monitor(noisy, *data, **arguments)
    for epoch in train(noisy, optimizer, Batches(*data, batch_size=16, seed=0), range(1, 4)):
        monitor.step(epoch)
    resumed = layerbits.Monitor(noisy.cpu(), INPUTS, LABELS, **arguments)
    assert list(resumed.tables) == [1, 3]  # equal data count as the same data on any device
    for table in resumed.tables.values():
        row = table["1", "I(X;T)"]
        assert 0 <= row.lower <= row.value <= row.upper <= np.log(64)
