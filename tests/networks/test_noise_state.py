"""Noise that is turned off, copied, saved and resumed."""

import copy
import io
import pickle

import pytest
import torch

from layerbits import noisify
from tests.support.networks import noisy_identities, tanh_mlp

SIGMA = 0.3


def mlp():
    return tanh_mlp(4, 3, 3, 2)


def noisy_identity(**options):
    return noisy_identities(1, SIGMA, **options)


def noise_of(noisy, *shape, dtype=torch.float32):
    return noisy(torch.zeros(*shape, dtype=dtype))


def saved_and_loaded(noisy):
    file = io.BytesIO()
    torch.save(noisy, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = [copy.deepcopy, lambda noisy: pickle.loads(pickle.dumps(noisy)), saved_and_loaded]
any_copy = pytest.mark.parametrize("make_copy", COPIES, ids=["deepcopy", "pickle", "torch.save"])


def test_network_without_noise_gives_its_original_output():
    model, x = mlp(), torch.ones(2, 4)
    clean = model(x)
    noisy = noisify(model)
    with noisy.noise_off():
        assert torch.equal(noisy(x), clean)


def test_noise_off_can_be_nested():
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


def test_noise_off_does_not_advance_the_noise():
    noisy, expected = noisy_identity(), noisy_identity()
    with noisy.noise_off():
        noise_of(noisy, 8)
    assert torch.equal(noise_of(noisy, 8), noise_of(expected, 8))


@any_copy
def test_copy_continues_with_the_same_noise(make_copy):
    noisy = noisy_identity()
    noise_of(noisy, 8)
    copied = make_copy(noisy)
    assert torch.equal(noise_of(copied, 8), noise_of(noisy, 8))


@any_copy
def test_copy_does_not_advance_the_noise_of_the_original(make_copy):
    noisy, untouched = noisy_identity(), noisy_identity()
    noise_of(make_copy(noisy), 8)
    assert torch.equal(noise_of(noisy, 8), noise_of(untouched, 8))


@any_copy
def test_noise_off_of_a_copy_does_not_affect_the_original(make_copy):
    noisy = noisy_identity()
    with make_copy(noisy).noise_off():
        assert noise_of(noisy, 8).all()


@any_copy
def test_copy_made_within_noise_off_is_noisy(make_copy):
    noisy = noisy_identity()
    with noisy.noise_off():
        copied = make_copy(noisy)
    assert noise_of(copied, 8).all()


@any_copy
def test_copy_adds_noise_once_at_each_layer(make_copy):
    copied = copied(noisify(mlp()))
    assert sum(len(module._forward_hooks) for module in copied.modules()) == len(copied.layer_names)


def test_later_hooks_do_not_overwrite_the_hooks_of_a_loaded_network(monkeypatch):
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", 0)  # the value in a new process
    pickled = pickle.dumps(noisy_identity())
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", 0)
    noisy = pickle.loads(pickled)
    noisy.model[0].register_forward_hook(lambda module, args, output: None)
    assert noise_of(noisy, 8).all()


def test_resumed_noise_equals_uninterrupted_noise():
    noisy, resumed = noisy_identity(), noisy_identity(seed=5)
    noise_of(noisy, 8)
    resumed.load_state_dict(noisy.state_dict())
    assert torch.equal(noise_of(resumed, 8), noise_of(noisy, 8))


def test_noise_that_was_never_used_resumes_at_its_start():
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


def test_state_of_an_unavailable_device_is_preserved():
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
