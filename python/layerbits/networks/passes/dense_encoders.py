"""Run `torch.nn.TransformerEncoder` with dense tensors where torch makes nested ones from a padding mask.

With nested tensors torch calls no modules inside the layers of the encoder, so a shadow computes dense tensors instead,
and sets the padding tokens to 0 where they are recorded, and behind the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from layerbits.networks.noise.padding_tokens import clear_tokens, dropped_tokens


class PaddingTokens:
    """The padding tokens within the layers of an encoder that runs, for which torch would make nested tensors."""

    def __init__(self) -> None:
        self._dropped: Tensor | None = None  # (rows, tokens)

    def make_dense(self, shadow: nn.Module) -> None:
        """Make all encoders in a shadow of a network compute dense tensors with the same outputs."""
        for encoder in shadow.modules():
            if isinstance(encoder, nn.TransformerEncoder) and getattr(encoder, "use_nested_tensor", False):
                encoder.use_nested_tensor = False
                encoder.register_forward_pre_hook(self._begin, with_kwargs=True)
                encoder.layers[-1].register_forward_hook(self._end)

    def end(self) -> None:
        """Forget the padding tokens of a pass that has ended, perhaps within an encoder."""
        self._dropped = None

    def cleared(self, signal: Tensor) -> Tensor:
        """Return a signal in which the padding tokens are 0; the signal itself outside of the layers of an encoder."""
        return clear_tokens(signal, self._dropped)

    def _begin(self, encoder: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._dropped = dropped_tokens(encoder, args, kwargs)

    def _end(self, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        cleared = self.cleared(output)
        self._dropped = None
        return cleared
