"""The data of a measurement: a noisy network, the values of X, their classes, the layers, the devices.

Everything that can be checked without running the network is checked when a `Problem` is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from layerbits._base import Array
from layerbits.estimators.classes import Classes
from layerbits.estimators.settings import MeasurementSettings
from layerbits.kernels import Devices, resolve_devices
from layerbits.networks import Inputs, NoisyModule, check_noisy, input_tensors, wanted_layers


@dataclasses.dataclass(frozen=True)
class Problem:
    """A noisy network, the N values of X, and the layers to measure; made by `Problem.of`.

    Attributes
    ----------
    noisy : NoisyModule
        The noisy network.
    inputs : tuple of Tensor of shape (N, ...)
        The positional arguments of the network.
    classes : Classes
        The class Y of each input, and the limits of every information.
    layers : tuple of str
        The layers to measure, in the order of the data.
    devices : tuple of torch.device
        Devices that share the work on the queries; empty if the device of the network does it alone.
    """

    noisy: NoisyModule
    inputs: tuple[Tensor, ...]
    classes: Classes
    layers: tuple[str, ...]
    devices: tuple[torch.device, ...] = ()

    @classmethod
    def of(
        cls,
        noisy: NoisyModule,
        inputs: Inputs,
        labels: Array | None = None,
        *,
        layers: str | Sequence[str] | None = None,
        devices: Devices = None,
    ) -> Problem:
        """Check the arguments that `layer_information` documents, and return the problem.

        Raises
        ------
        NoNoiseError, LayerSelectionError, TypeError, ValueError
            As `layer_information`.
        """
        check_noisy(noisy)
        names = wanted_layers(noisy, layers)
        tensors = input_tensors(inputs, noisy)
        network_device = next((parameter.device for parameter in noisy.parameters()), tensors[0].device)
        classes = Classes.of(labels, len(tensors[0]))
        return cls(noisy, tensors, classes, names, resolve_devices(devices, network_device))

    def check_settings(self, settings: MeasurementSettings) -> None:
        """Raise a ValueError if the settings cannot measure these layers: only the first layer can do with one draw."""
        later = [layer for layer in self.layers if layer != self.noisy.layer_names[0]]
        if later and settings.draws < 2:
            raise ValueError(f"draws: got {settings.draws}, wanted at least 2, because {later[0]!r} lies behind noise")

    @property
    def n_inputs(self) -> int:
        """Number N of values of X."""
        return len(self.inputs[0])
