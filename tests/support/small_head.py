"""Networks of torchvision with few weights."""

import itertools

import torch
from torch import nn


def with_small_head(build, classes):
    """Build a network with 8 units in its hidden linear layers, which would otherwise hold most of its weights."""
    with torch.device("meta"):
        model = build(num_classes=classes)
    linear = [index for index, module in enumerate(model.classifier) if isinstance(module, nn.Linear)]
    widths = (model.classifier[linear[0]].in_features, *[8] * (len(linear) - 1), classes)
    for index, (inputs, outputs) in zip(linear, itertools.pairwise(widths), strict=True):
        model.classifier[index] = nn.Linear(inputs, outputs, device="meta")
    model.to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model
