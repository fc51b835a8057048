"""The tokens that a mask among the inputs keeps."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from layerbits.networks.inputs.pass_inputs import PassInputs

# A mask that is added to the scores of attention has 0 for tokens to keep, and at most this for the others: -10,000,
# rounded to bfloat16.
_EXCLUDED = -9984.0


def kept_tokens(inputs: PassInputs, mask: str | int, n_tokens: int, *, marks_padding: bool) -> Tensor:
    """Return whether the argument `mask` of the network keeps each token of each input, shape (n, L).

    The mask may have further axes of length 1. Its values are 1 for tokens to keep and 0 for others, the reverse with
    `marks_padding`, or those that are added to the scores of attention: 0 for tokens to keep, and otherwise at most
    -10,000 (also rounded to bfloat16), such as -inf.

    Raises
    ------
    ValueError
        There is no such tensor among the inputs, or it has another shape or other values; it has floating-point
        zeros alone; or it seems to keep padding: another tensor of the inputs has one value at all tokens that it
        keeps, and several at others.
    """
    option = "padding" if marks_padding else "mask"
    args, kwargs = dataclasses.replace(inputs, device=None).arguments(inputs.tensors)
    arguments: dict[str | int, object] = dict(enumerate(args))
    arguments.update(kwargs)
    values = arguments.get(mask)
    if not isinstance(values, Tensor):
        names = ", ".join(repr(key) for key, value in arguments.items() if isinstance(value, Tensor))
        raise ValueError(f"{option}: got {mask!r}, wanted the name or position of a tensor among the inputs: {names}")
    shape = tuple(values.shape)
    if [size for size in shape[1:] if size > 1] != [n_tokens] * (n_tokens > 1) or len(shape) < 2:
        raise ValueError(
            f"{option}: got {mask!r} of shape {shape}, wanted ({len(inputs)}, {n_tokens}), one value for each token of "
            "the layer, or with further axes of length 1; pass such a mask as another argument of the network"
        )
    values = values.reshape(len(inputs), n_tokens)
    if values.is_floating_point() and (values < 0).any() and ((values == 0) | (values <= _EXCLUDED)).all():
        return values == 0
    if not ((values == 0) | (values == 1)).all():
        raise ValueError(
            f"{option}: got values of {mask!r} other than 0 and 1, or 0 and at most -10,000, wanted 1 for the tokens "
            f"to {'leave out' if marks_padding else 'keep'}; pass such a mask as another argument of the network"
        )
    if values.is_floating_point() and not marks_padding and not values.any():
        raise ValueError(
            f"mask: got {mask!r} of floating-point zeros alone, which keep all tokens if they are added to the scores "
            "of attention, and none if 1 marks the tokens to keep, wanted a mask of one meaning; name it by "
            f"padding={mask!r} instead of mask=, where zeros keep tokens, or pass 1 for the tokens to keep"
        )
    kept = values == (0 if marks_padding else 1)
    for key, argument in arguments.items():
        if isinstance(argument, Tensor) and argument.shape[:2] == kept.shape and _keeps_constant(argument, kept):
            raise ValueError(
                f"{option}: got {mask!r}, which keeps tokens at which {key!r} has one value alone, as of padding, "
                "wanted the tokens to keep; name a mask of padding by padding= instead of mask=, or the reverse"
            )
    return kept


def _keeps_constant(tensor: Tensor, kept: Tensor) -> bool:
    """Return whether the values (n, L, ...) at kept tokens are all equal, and those at other tokens are not."""
    at_kept, at_others = tensor[kept.to(tensor.device)], tensor[~kept.to(tensor.device)]
    return all(len(values) > 1 for values in (at_kept, at_others)) and bool(
        (at_kept == at_kept[:1]).all() and not (at_others == at_others[:1]).all()
    )
