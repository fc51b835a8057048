"""The data of a measurement: a noisy network, the values of X, their classes, the layers, the devices.

`Problem.of` checks its arguments before the first measured pass; `check_settings` checks settings against the layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import nn

from layerbits.estimators.classes import Classes, classes_by_label_set, limits_by_symbol, quantity_names
from layerbits.estimators.input_decoders import InputDecoder, checked_decoders
from layerbits.estimators.same_arguments import check_same_arguments, check_same_noise, check_same_weights
from layerbits.estimators.settings import KNOWN, MeasurementSettings
from layerbits.kernels import ALONE, NO_WORKERS, Devices, Processes, Workers, resolve_devices
from layerbits.networks import (
    MAX_MEMORY,
    Channels,
    LayerPart,
    Layers,
    MeasuredNetwork,
    PassInputs,
    RandomSlices,
    Readouts,
    Sigma,
    Slices,
    Tokens,
    as_readouts,
    check_can_have_noise,
    is_noisy,
    layer_parts,
    measured_layers,
    network_without_noise,
    noisy_network,
    source_of,
    unsharded,
)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A noisy network, the N values of X, and the layers to measure; made by `Problem.of`.

    Attributes
    ----------
    model : torch.nn.Module
        The network.
    network : MeasuredNetwork
        The network as the measurement runs it.
    inputs : PassInputs
        The N inputs.
    classes : Classes
        The class Y of each input, by the first label set, and the ceiling of every information.
    label_sets : mapping of str to Classes
        The classes by the name of the label set; a single class without labels.
    layers : tuple of str
        The layers to measure, in the order of the pass.
    readouts : tuple of Tokens, Channels, slices or None
        The readouts of each layer to measure; None is the whole layer.
    parts : mapping of str to LayerPart
        The layers and readouts to measure, by their names in the table.
    sigma : float, tensor, array, mapping or None
        Noise that the measurement adds; None for a noisy network.
    workers : Workers
        Devices that share the work on the queries, and processes that share passes and queries.
    max_memory : int
        Budget of passes and recorded signals in bytes.
    decoders : tuple of InputDecoder
        Decoders of the caller, which compete with the built-in ones at layers behind noise.
    """

    model: nn.Module
    network: MeasuredNetwork
    inputs: PassInputs
    classes: Classes
    label_sets: Mapping[str, Classes]
    layers: tuple[str, ...]
    readouts: tuple[Tokens | Channels | Slices | None, ...]
    parts: Mapping[str, LayerPart]
    sigma: Sigma | None = None
    workers: Workers = NO_WORKERS
    max_memory: int = MAX_MEMORY
    decoders: tuple[InputDecoder, ...] = ()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        inputs: PassInputs,
        *,
        layers: Layers = None,
        readout: Readouts = None,
        sigma: Sigma | None = None,
        devices: Devices = None,
        processes: Processes = ALONE,
        max_memory: int = MAX_MEMORY,
        decoders: Sequence[InputDecoder] | None = None,
    ) -> Problem:
        """Check the arguments that `layer_information` documents, and return the problem.

        `inputs` are those that `read_inputs` returns.

        Raises
        ------
        NoNoiseError, LayerSelectionError, TypeError, ValueError
            As in `layer_information`.
        """
        readouts, own_decoders = as_readouts(readout), checked_decoders(decoders)
        whole = unsharded(model, processes)
        options = {"layers": layers, "readout": readout, "sigma": sigma, "max_memory": max_memory, "decoders": decoders}
        check_same_arguments(processes, whole, inputs, options)
        network = _measured_network(whole, inputs, layers, sigma, max_memory)
        names = measured_layers(network, inputs.tensors, layers)
        network_device = next((parameter.device for parameter in model.parameters()), inputs.tensors[0].device)
        label_sets = classes_by_label_set(inputs.labels, len(inputs))
        return cls(
            model,
            network,
            inputs,
            next(iter(label_sets.values())),
            label_sets,
            names,
            readouts,
            layer_parts(network, names, readouts, inputs),
            sigma,
            Workers(resolve_devices(devices, network_device), processes),
            max_memory,
            own_decoders,
        )

    def check_same_on_all_processes(self, settings: MeasurementSettings) -> None:
        """Raise a ValueError unless all processes measure the same network with the same noise and settings."""
        processes = self.workers.processes
        self.network.restore()
        check_same_weights(processes, self.network.module)
        check_same_noise(processes, self.network, **vars(settings), layers=tuple(self.parts))

    def for_present_network(self) -> Problem:
        """Return the problem for the present noise and buffers of the network, which training may have changed.

        Raises
        ------
        NoNoiseError, LayerSelectionError, ValueError
            The network has no noise now, or a layer of the problem is not noisy.
        """
        model = unsharded(self.model, self.workers.processes)
        network = _measured_network(model, self.inputs, self.layers, self.sigma, self.max_memory)
        measured_layers(network, self.inputs.tensors, self.layers)
        parts = layer_parts(network, self.layers, self.readouts, self.inputs)
        return dataclasses.replace(self, network=network, parts=parts)

    def free_gathered_weights(self) -> None:
        """Free the memory of the weights of a sharded network; `for_present_network` gathers them again."""
        if source_of(self.network.original) is not None:
            self.network.original.to("meta")
            self.network.module.to("meta")

    def check_settings(self, settings: MeasurementSettings) -> None:
        """Raise a ValueError if a layer behind noise has a single draw, or if there are decoders but no draws."""
        if settings.estimator == KNOWN and self.decoders:
            raise ValueError(f"decoders: got {len(self.decoders)} with estimator='known', wanted none; use 'auto'")
        later_layers = [layer for layer in self.layers if layer not in self.network.behind_no_noise]
        if later_layers and settings.estimator != KNOWN and settings.draws_for(self.n_inputs) < 2:
            # Without `draws`, only `max_draws` makes the default number smaller than 2.
            name = "max_draws" if settings.draws is None else "draws"
            raise ValueError(f"{name}: got 1, wanted at least 2, because {later_layers[0]!r} lies behind noise")

    @property
    def row_keys(self) -> list[tuple[str, str]]:
        """Layer, or readout, and quantity of each row of a table."""
        return [
            (layer, f"{part.slices.symbol}{quantity[1:]}" if part.slices and quantity.startswith("I") else quantity)
            for layer, part in self.parts.items()
            for quantity in quantity_names(self.label_sets)
            if not (isinstance(part.slices, RandomSlices) and quantity.startswith("h"))  # they have no entropies
        ]

    @property
    def n_rows(self) -> int:
        """Number of rows of a table, which is that of its intervals."""
        return len(self.row_keys)

    @property
    def limits(self) -> dict[str, float]:
        """Largest possible value of each information, in nats, by its symbol."""
        limits = limits_by_symbol(self.label_sets)
        symbols = dict.fromkeys(part.slices.symbol for part in self.parts.values() if part.slices is not None)
        return limits | {f"{symbol}{name[1:]}": limits[name] for symbol in symbols for name in limits}

    @property
    def n_inputs(self) -> int:
        """Number N of values of X."""
        return len(self.inputs)


def _measured_network(
    model: nn.Module, inputs: PassInputs, layers: Layers, sigma: Sigma | None, max_memory: int
) -> MeasuredNetwork:
    if sigma is None:
        check_can_have_noise(model)
        return noisy_network(model, inputs, max_memory=max_memory)
    if is_noisy(model):
        raise ValueError(
            "sigma: got a value for a network that has noise of its own, wanted None; or remove the noise with "
            "layerbits.remove_noise(model)"
        )
    return network_without_noise(model, inputs, layers, sigma, max_memory=max_memory)
