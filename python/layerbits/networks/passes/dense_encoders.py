"""Run `torch.nn.TransformerEncoder` with dense tensors where torch makes nested ones from a padding mask.

In evaluation without gradients, torch drops the padding tokens at the start of the encoder, and sets them to 0 behind
its last layer. With nested tensors it calls no modules inside the layers of the encoder, so a shadow computes dense
tensors instead, and sets the padding tokens to 0 where they are recorded, and behind the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# The devices on which torch makes nested tensors from a padding mask.
_DEVICES = {"cpu", "cuda", "xpu"}


class PaddingTokens:
    """The padding tokens within the layers of an encoder that runs, for which torch would make nested tensors."""

    def __init__(self) -> None:
        self._padding: Tensor | None = None  # (rows, tokens)

    def make_dense(self, shadow: nn.Module) -> None:
        """Make all encoders in a shadow of a network compute dense tensors with the same outputs."""
        for encoder in shadow.modules():
            if isinstance(encoder, nn.TransformerEncoder) and getattr(encoder, "use_nested_tensor", False):
                encoder.use_nested_tensor = False
                encoder.register_forward_pre_hook(self._begin, with_kwargs=True)
                encoder.layers[-1].register_forward_hook(self._end)

    def end(self) -> None:
        """Forget the padding tokens of a pass that has ended, perhaps within an encoder."""
        self._padding = None

    def cleared(self, signal: Tensor) -> Tensor:
        """Return a signal in which the padding tokens are 0; the signal itself outside of the layers of an encoder."""
        padding = self._padding
        if padding is None or signal.shape[:2] != padding.shape:
            return signal
        return signal.masked_fill(padding.reshape(*padding.shape, *[1] * (signal.ndim - 2)), 0)

    def _begin(self, encoder: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        arguments = dict(zip(("src", "mask", "src_key_padding_mask", "is_causal"), args, strict=False)) | dict(kwargs)
        source, padding = arguments["src"], arguments.get("src_key_padding_mask")
        self._padding = None
        if padding is None:
            return
        makes_nested = (
            arguments.get("mask") is None
            and torch.backends.mha.get_fastpath_enabled()
            and not torch.is_autocast_enabled()
            and source.ndim == 3
            and source.device.type in _DEVICES
        )
        if makes_nested and getattr(encoder, "mask_check", True):
            makes_nested = torch._nested_tensor_from_mask_left_aligned(source, padding.logical_not())
        if makes_nested:
            self._padding = padding != 0  # additive masks are 0 at the tokens to keep

    def _end(self, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        cleared = self.cleared(output)
        self._padding = None
        return cleared
