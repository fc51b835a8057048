"""The tokens that a mask among the inputs keeps."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from layerbits.networks.inputs.pass_inputs import PassInputs


def kept_tokens(inputs: PassInputs, mask: str | int, n_tokens: int) -> Tensor:
    """Return whether the argument `mask` of the network keeps each token of each input, shape (n, L).

    Raises
    ------
    ValueError
        There is no such tensor among the inputs, or it has another shape or other values than 0 and 1.
    """
    args, kwargs = dataclasses.replace(inputs, device=None).arguments(inputs.tensors)
    arguments: dict[str | int, object] = dict(enumerate(args))
    arguments.update(kwargs)
    values = arguments.get(mask)
    if not isinstance(values, Tensor):
        names = ", ".join(repr(key) for key, value in arguments.items() if isinstance(value, Tensor))
        raise ValueError(f"mask: got {mask!r}, wanted the name or position of a tensor among the inputs: {names}")
    if tuple(values.shape) != (len(inputs), n_tokens):
        raise ValueError(
            f"mask: got {mask!r} of shape {tuple(values.shape)}, wanted ({len(inputs)}, {n_tokens}), one value for "
            "each token of the layer"
        )
    if not ((values == 0) | (values == 1)).all():
        raise ValueError(f"mask: got values of {mask!r} other than 0 and 1, wanted 1 for the tokens to keep")
    return values == 1
