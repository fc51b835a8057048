"""Properties of torch, on real devices and on the stand-in, on which the other tests of this folder rely."""

import copy

import pytest
import torch
from torch import nn

EPS = torch.finfo(torch.float64).eps


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def assert_same(on_device, on_cpu, tolerance=0.0):
    assert on_device.device.type == "cuda"
    torch.testing.assert_close(on_device.cpu(), on_cpu, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 2 * x - 1,
        lambda x: torch.stack([x, -x]).sum(0),
        lambda x: x.T.reshape(2, 6)[:, ::2],
        lambda x: x[torch.tensor([2, 0])],
        lambda x: x[:, x[0] > 0],
        lambda x: torch.cat([x.argsort(0), x.topk(2, 0).indices]),
        lambda x: x.abs().cumsum(0).clamp(max=2),
        lambda x: torch.where(x > 0, x, torch.tensor(0.0, dtype=x.dtype)),
        lambda x: x.unique(),
        lambda x: x.float().double(),
    ],
    ids=range(10),
)
def test_functions_agree_with_those_of_the_cpu(function):
    x = normal(4, 3)
    assert_same(function(x.cuda()), function(x), 4 * EPS * x.abs().sum().item())


def test_views_share_memory():
    x = torch.zeros(3, 4, device="cuda")
    x[1] = 1
    x.T[2].add_(2)
    x.view(-1)[-1] = 5
    x.unsqueeze(0).mul_(2)
    part = x[:2]
    x.zero_()
    assert part.sum() == 0
    assert x.T.data_ptr() == x.data_ptr()
    assert part._version == x._version == 5


def test_results_are_written_into_given_tensors():
    x = normal(3, 4).cuda()
    out = torch.empty(0, dtype=torch.float64, device="cuda")
    assert torch.add(x, 1, out=out) is out
    assert_same(out, x.cpu() + 1)
    assert x.resize_(2).shape == (2,)


@pytest.mark.parametrize("name", ["linalg.eigh", "linalg.qr", "linalg.cholesky", "linalg.inv", "linalg.svdvals"])
def test_decompositions_agree_with_those_of_the_cpu(name):
    matrix = normal(6, 4).T @ normal(6, 4) + torch.eye(4, dtype=torch.float64)
    function = torch.linalg.__dict__[name.removeprefix("linalg.")]
    results, expected = (x if isinstance(x, tuple) else (x,) for x in (function(matrix.cuda()), function(matrix)))
    for result, expected_result in zip(results, expected, strict=True):
        # The signs of columns are arbitrary; the condition number is below 1e3.
        assert_same(result.abs(), expected_result.abs(), 1e5 * EPS)


def test_solutions_of_triangular_systems_agree_with_those_of_the_cpu():
    factor = torch.linalg.cholesky(normal(6, 4).T @ normal(6, 4))
    solution = torch.linalg.solve_triangular(factor.cuda(), normal(4, 2).cuda(), upper=False)
    # Each solution x errs by at most d eps / 2 |L^-1| |L| |x|, whose entries are below 9 here; d = 4.
    assert_same(solution, torch.linalg.solve_triangular(factor, normal(4, 2), upper=False), 2 * 4 / 2 * 9 * EPS)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),  # the gradient of a bias before batch norm is rounding alone
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.ReLU(),
        nn.Linear(5, 2),
    ).double()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_agrees_with_that_of_the_cpu(optimizer):
    on_cpu = network()
    models = [on_cpu, copy.deepcopy(on_cpu).to("cuda")]
    inputs, classes = normal(8, 1, 4, 4), torch.arange(8) % 2
    for model in models:
        device = next(model.parameters()).device
        steps = optimizer(model.parameters(), lr=1e-2)
        for _ in range(5):
            steps.zero_grad()
            nn.functional.cross_entropy(model(inputs.to(device)), classes.to(device)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            steps.step()
    for name, value in models[1].state_dict().items():
        # Adam divides by the root of a mean square: 1e-16 of a gradient of 1e-6 changes a relative step by 1e-10.
        assert_same(value, models[0].state_dict()[name], 1e-9)


def test_generators_keep_their_state():
    generator = torch.Generator("cuda").manual_seed(3)
    assert generator.device.type == "cuda"
    state = generator.get_state()
    values = torch.randn(5, device="cuda", generator=generator)
    generator.set_state(state)
    assert torch.equal(torch.randn(5, device="cuda", generator=generator), values)
    assert not torch.equal(torch.empty(5, device="cuda").normal_(generator=generator), values)


def test_noise_of_a_device_does_not_change_the_generator_of_the_cpu():
    state = torch.get_rng_state()
    torch.randn(3, device="cuda")
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.randn(3, device="cuda", generator=torch.Generator())


def test_manual_seed_applies_to_all_devices():
    torch.manual_seed(5)
    values = torch.randn(3, device="cuda")
    torch.manual_seed(5)
    assert torch.equal(torch.randn(3, device="cuda"), values)


@pytest.mark.parametrize(
    "mix",
    [
        lambda device, host: device + host,
        lambda device, host: host * device,
        lambda device, host: device @ host,
        lambda device, host: host.add_(device),
        lambda device, host: torch.cat([device, host]),
        lambda device, host: nn.functional.linear(host, device),
        lambda device, host: torch.where(device > 0, device, host),
        lambda device, host: torch.add(device, device, out=host),
        lambda device, host: device.gather(0, host.long()),
        lambda device, host: torch.zeros((), dtype=device.dtype).add_(device.sum()),
    ],
    ids=range(10),
)
def test_tensors_of_device_and_host_do_not_mix(mix):
    with pytest.raises(RuntimeError, match=r"same device|on cpu"):
        mix(normal(3, 3).cuda(), normal(3, 3))


def test_tensors_of_two_devices_do_not_mix(second_device):
    with pytest.raises(RuntimeError, match="same device"):
        normal(3).to("cuda:0") + normal(3).to(second_device)


def test_scalars_of_the_cpu_are_accepted():
    x = normal(3)
    assert_same(x.cuda() * torch.tensor(2.0), x * 2)
    assert_same(x.cuda().index_select(0, torch.tensor([1]).cuda()), x[1:2])
    y = x.cuda()
    y[1] = torch.tensor(4.0)
    assert y[1].item() == 4.0


def test_tensor_of_a_device_does_not_become_an_array():
    with pytest.raises(TypeError, match="cuda"):
        normal(3).cuda().numpy()


def test_copies_go_both_ways(second_device):
    x = normal(3, 4)
    on_device = x.to("cuda")
    assert_same(on_device, x)
    assert_same(on_device.to(second_device).T, x.T)
    on_host = torch.empty(4, 3, dtype=torch.float32)
    on_host.copy_(on_device.T)
    assert torch.equal(on_host, x.T.float())
    assert torch.cuda.current_device() == 0
    with torch.cuda.device(1):
        assert torch.empty(1, device="cuda").device.index == 1


def test_checkpoints_load_on_another_device(tmp_path):
    torch.save({"x": normal(3).cuda()}, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt")["x"].device.type == "cuda"
    assert torch.load(tmp_path / "x.pt", map_location="cpu")["x"].device.type == "cpu"


def test_copies_to_the_host_are_counted(copies_to_host):
    x = normal(3, 4).cuda()
    (x @ x.T).tanh_()
    assert copies_to_host() == []
    x[1].cpu()
    x.sum().item()
    assert copies_to_host() == [32, 8]
