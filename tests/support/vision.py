"""Import torchvision, also beside a build of torch for which its wheel lacks compiled operators."""

import importlib
import sys

import torch

# The compiled operators whose schemas torchvision reads at import; the networks of the tests call none of them.
_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_library = torch.library.Library("torchvision", "FRAGMENT")  # definitions hold as long as this object


def import_torchvision():
    """Return the package torchvision.

    The package index has one wheel of torchvision, built beside CUDA. With a CPU build of torch its compiled library
    does not load, and the import fails for want of two operators; they are then declared, without a kernel.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in _OPERATORS:
        _library.define(operator + _SCHEMA)
    return importlib.import_module("torchvision")
