"""Networks of torchvision and timm with noise have the same gradients with checkpoints as without."""

import copy

import pytest
import torch

from tests.networks.test_vision_networks import built, built_with_noise, gradients_of_step, is_activation


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["densenet", "timm mobilenet", "timm vit"])
def test_checkpointed_network_has_the_gradients_of_the_network_without_checkpoints(name):
    images = built(name)[1]
    model, checkpointed, calls = copy.deepcopy(built_with_noise(name)), copy.deepcopy(built_with_noise(name)), []
    for module in checkpointed.modules():
        if hasattr(module, "memory_efficient"):
            module.memory_efficient = True
        if is_activation(module):
            module.register_forward_hook(lambda module, args, output: calls.append(module))
    if hasattr(checkpointed, "set_grad_checkpointing"):
        checkpointed.set_grad_checkpointing()
    gradients, plain = (gradients_of_step(network, images) for network in (checkpointed, model))
    assert len(calls) > len(set(calls))
    assert gradients.keys() == plain.keys()
    for name, gradient in gradients.items():
        assert torch.equal(gradient, plain[name]), name
