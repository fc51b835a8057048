"""The parts of the layers that a measurement estimates: whole layers and readouts of layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from layerbits._base import MASKED, LayerSelectionError
from layerbits.networks.inputs.pass_inputs import PassInputs
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.passes.frame_views import FrameView, RandomFramesView, check_gaussian
from layerbits.networks.passes.kept_tokens import kept_tokens
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.readouts import Channels, Tokens
from layerbits.networks.passes.slices import Slices
from layerbits.networks.passes.unit_views import MaskedView, UnitView


@dataclasses.dataclass(frozen=True)
class LayerPart:
    """A layer or a readout of a layer, which has a name of its own in tables.

    Attributes
    ----------
    layer : str
        Name of the layer.
    view : UnitView, MaskedView, FrameView, RandomFramesView or None
        The readout; None for the whole layer, and for slices whose frames are not known yet.
    slices : RandomSlices, PrincipalSlices, LearntSlices or None
        The slices that the readout consists of; None for other parts.
    """

    layer: str
    view: UnitView | MaskedView | FrameView | RandomFramesView | None = None
    slices: Slices | None = None

    def flags(self, network: MeasuredNetwork) -> tuple[str, ...]:
        """Return the flags of the part in an information table."""
        return network.flags(self.layer) + (MASKED,) * isinstance(self.view, MaskedView)

    def with_scales(self, noise: Noise) -> LayerPart:
        """Return the part with a view whose values carry the scales of their noise, where these depend on the input.

        `noise` is that of the layer.
        """
        view = self.view
        if isinstance(view, MaskedView):
            token_noise = view.noise_of_token(self.layer, noise)
            return dataclasses.replace(self, view=dataclasses.replace(view, token_noise=token_noise))
        if isinstance(view, UnitView) and isinstance(noise, DropoutNoise):
            return dataclasses.replace(self, view=dataclasses.replace(view, with_scales=True))
        return self

    def noise(self, network: MeasuredNetwork) -> Noise:
        """Return the noise of the part.

        Raises
        ------
        ValueError
            The part is a readout, and the noise of the layer has another number of units; the part is slices, and the
            noise is a `DropoutNoise`; or under a mask, the noise differs by token or has a covariance.
        """
        noise = network.noise[self.layer]
        if self.slices is not None:
            check_gaussian(self.layer, noise)
        return noise if self.view is None else self.view.noise(self.layer, noise)


def layer_parts(
    network: MeasuredNetwork,
    layers: Sequence[str],
    readouts: Sequence[Tokens | Channels | Slices | None],
    inputs: PassInputs,
) -> dict[str, LayerPart]:
    """Return the parts of every layer by their names in tables: ``layer[readout]``, or ``layer`` for the whole layer.

    Raises
    ------
    LayerSelectionError
        A layer has the name of a readout.
    ValueError
        A layer has no such readout; the noise of a readout is refused as in `LayerPart.noise`; the mask is no tensor
        (n, L) of 0 and 1 among the inputs, or keeps no token of an input.
    """
    parts: dict[str, LayerPart] = {}
    for layer in layers:
        for readout in readouts:
            name = layer if readout is None else f"{layer}[{readout.name}]"
            part = _part(readout, layer, network.unit_shape(layer), inputs)
            if layer in network.noise:
                part = part.with_scales(network.noise[layer])
            if name in parts or (readout is not None and name in network.layer_names):
                raise LayerSelectionError(
                    f"layers: got a layer of the name {name!r}, which is that of a readout, wanted different names; "
                    "rename the module"
                )
            parts[name] = part
            parts[name].noise(network)
    return parts


def _part(
    readout: Tokens | Channels | Slices | None, layer: str, units: tuple[int, ...], inputs: PassInputs
) -> LayerPart:
    if readout is None:
        return LayerPart(layer)
    if not isinstance(readout, Tokens | Channels):
        readout.check(layer, units, labelled=bool(inputs.labels))
        return LayerPart(layer, slices=readout)
    view = readout.view(layer, units)
    if isinstance(readout, Channels):
        return LayerPart(layer, view)
    mask = readout.mask if readout.padding is None else readout.padding
    if mask is None:
        return LayerPart(layer, view)
    axis = view.axes[0]
    kept = kept_tokens(inputs, mask, units[axis], marks_padding=readout.padding is not None)
    return LayerPart(layer, MaskedView.of(units, axis, str(readout.which), kept))
