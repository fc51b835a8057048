"""The padding tokens of `torch.nn.TransformerEncoder`, which are 0 behind its layers where torch makes nested tensors.

In evaluation without gradients, torch drops the padding tokens at the start of the encoder, and sets them to 0 behind
its last layer. Where functions are noisy layers the encoder computes dense tensors, so hooks set these tokens to 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from layerbits.networks.execution.compilation import not_compiled_alone
from layerbits.networks.noise.hooks import NoiseHook
from layerbits.networks.noise.switch import NoiseSwitch

# The devices on which torch makes nested tensors from a padding mask.
_DEVICES = {"cpu", "cuda", "xpu"}


def dropped_tokens(encoder: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return whether torch drops each token (rows, tokens) of these arguments, in evaluation without gradients.

    Return None if torch makes no nested tensors of the arguments.
    """
    arguments = dict(zip(("src", "mask", "src_key_padding_mask", "is_causal"), args, strict=False)) | dict(kwargs)
    source, padding = arguments.get("src"), arguments.get("src_key_padding_mask")
    if (
        not isinstance(source, Tensor)
        or padding is None
        or arguments.get("mask") is not None
        or not torch.backends.mha.get_fastpath_enabled()
        or torch.is_autocast_enabled()
        or source.ndim != 3
        or source.is_nested
        or source.device.type not in _DEVICES
    ):
        return None
    if getattr(encoder, "mask_check", True) and not torch._nested_tensor_from_mask_left_aligned(
        source, padding.logical_not()
    ):
        return None
    dropped: Tensor = padding != 0  # additive masks are 0 at the tokens to keep
    return dropped


def clear_tokens(signal: Tensor, dropped: Tensor | None) -> Tensor:
    """Return a signal with 0 at the dropped tokens; the signal itself if it has other axes than the tokens."""
    if dropped is None or signal.shape[:2] != dropped.shape:
        return signal
    return signal.masked_fill(dropped.reshape(*dropped.shape, *[1] * (signal.ndim - 2)), 0)


def may_make_nested(encoder: nn.Module) -> bool:
    """Return whether an `nn.TransformerEncoder` makes nested tensors from some padding masks in its present mode."""
    return bool(getattr(encoder, "use_nested_tensor", False)) and not encoder.get_submodule("layers.0").training


class FindDroppedTokens(NoiseHook):
    """The forward pre-hook of an encoder that finds the tokens which torch would drop in this pass."""

    @not_compiled_alone
    def __call__(self, encoder: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Keep the dropped tokens with the state of the running pass."""
        self.switch.counts.dropped = None
        # Compiled code makes no nested tensors.
        if torch.compiler.is_compiling() or not may_make_nested(encoder):
            return
        tensors = (*args[:1], *kwargs.values(), *encoder.get_submodule("layers.0").parameters())
        if not (torch.is_grad_enabled() and any(getattr(tensor, "requires_grad", False) for tensor in tensors)):
            self.switch.counts.dropped = dropped_tokens(encoder, args, kwargs)


class ClearDroppedTokens(NoiseHook):
    """The forward hook of an encoder's last layer that sets the dropped tokens to 0."""

    @not_compiled_alone
    def __call__(self, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        """Return the output with 0 at the dropped tokens of this pass."""
        if torch.compiler.is_compiling():
            return output
        dropped, self.switch.counts.dropped = self.switch.counts.dropped, None
        return clear_tokens(output, dropped)


def add_padding_hooks(encoder: nn.TransformerEncoder, switch: NoiseSwitch) -> None:
    """Set padding tokens behind the layers of an encoder to 0 where torch does so."""
    find, clear = FindDroppedTokens(switch), ClearDroppedTokens(switch)
    find.handle = encoder.register_forward_pre_hook(find, with_kwargs=True)
    clear.handle = encoder.layers[-1].register_forward_hook(clear)
