"""Import torchvision and transformers, also beside a build of torch for which torchvision lacks operators."""

import importlib
import importlib.util
import sys
from types import ModuleType

import torch

# The compiled operators whose schemas torchvision reads at import; the networks of the tests call none of them.
_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# Definitions hold as long as this object.
_library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


def import_torchvision() -> ModuleType:
    """Return the package torchvision.

    The package index has one wheel of torchvision, built for CUDA. With a CPU build of torch its compiled library does
    not load, and the import fails because two operators are missing; they are then declared, without a kernel.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in _OPERATORS:
        _library.define(operator + _SCHEMA)  # type: ignore[no-untyped-call]
    return importlib.import_module("torchvision")


def import_transformers() -> ModuleType:
    """Return the package transformers, which imports torchvision where that is installed."""
    if importlib.util.find_spec("torchvision") is not None:
        import_torchvision()
    return importlib.import_module("transformers")
