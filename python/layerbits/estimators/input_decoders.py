"""`InputDecoder`: the decoders q(x|t) that a caller may pass, and the check of the argument `decoders`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

_METHODS = ("fit", "scores")


@runtime_checkable
class InputDecoder(Protocol):
    """A decoder q(x|t) of one's own: any object with the methods `fit` and `scores`.

    Every decoder bounds I(X;T), I(T;Y) and I(X;T|Y) from below, however it was made, if it does not depend on the
    queries. So a decoder is fitted to some passes, and evaluated at queries of others. Trial queries choose the best of
    the built-in decoders and of the caller's; further queries evaluate it (`layer_information`).

    Signals and queries are in coordinates in which the noise of a layer is standard normal: for `sigma` as one number,
    the signals of the layer divided by it, without the axes that carry no information. So T = S + Z with Z ~ N(0, I)
    for every layer and every sigma; a decoder may add such noise to the signals, as often as it needs.
    Where the noise differs by input (a `DropoutNoise`, means over different numbers of tokens), every unit of Z has a
    variance of at least 1.

    Each fit takes a copy of the decoder: one for each layer, label set and round. Torch's, NumPy's and Python's global
    generators are seeded by the measurement for `fit` and `scores`, and restored afterwards; torch runs one thread.
    With ``group=`` one process fits a decoder for all, so that it must be possible to pickle the fitted copy.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> class NearestMean:
    ...     def fit(self, signals, inputs):
    ...         n = int(inputs.max()) + 1
    ...         sums = torch.zeros(n, signals.shape[1]).index_add(0, inputs, signals)
    ...         self.means = sums / inputs.bincount()[:, None]
    ...
    ...     def scores(self, queries):
    ...         return -torch.cdist(queries, self.means).square() / 2
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2), torch.nn.Tanh())
    >>> noisy = lb.noisify(model, sigma=0.1)
    >>> table = lb.layer_information(noisy, torch.eye(2), draws=8, decoders=[NearestMean()])
    >>> table["1", "I(X;T)"].lower >= 0
    True
    """

    def fit(self, signals: Tensor, inputs: Tensor) -> object:
        """Fit the decoder to passes that carry no queries.

        Parameters
        ----------
        signals : Tensor of shape (N r, k)
            Signals S of r passes of each of N inputs, before the noise.
        inputs : integer Tensor of shape (N r,)
            Index of the input of each signal; each of 0 to N - 1 occurs r times.
        """
        ...

    def scores(self, queries: Tensor) -> Tensor:
        """Return log q(x|t) for all inputs, up to a constant for each query, which normalization removes.

        Parameters
        ----------
        queries : Tensor of shape (m, k)
            Noisy values T. The scores of a query must not depend on the other queries.

        Returns
        -------
        Tensor of shape (m, N)
            In the dtype and on the device of the queries, without gradients. -infinity excludes an input.
        """
        ...


def checked_decoders(decoders: Sequence[InputDecoder] | None) -> tuple[InputDecoder, ...]:
    """Return decoders as a tuple, empty for None.

    Raises
    ------
    TypeError
        `decoders` is not a sequence, or an entry is a class or lacks a method.
    """
    if decoders is None:
        return ()
    if not isinstance(decoders, Sequence) or isinstance(decoders, str):
        raise TypeError(f"decoders: got {type(decoders).__name__}, wanted a list of objects with fit and scores")
    for index, decoder in enumerate(decoders):
        if isinstance(decoder, type):
            raise TypeError(f"decoders[{index}]: got the class {decoder.__name__}, wanted an instance of it")
        missing = [name for name in _METHODS if not callable(getattr(decoder, name, None))]
        if missing:
            raise TypeError(
                f"decoders[{index}]: got {type(decoder).__name__} without the method {missing[0]}, wanted an object "
                "with fit(signals, inputs) and scores(queries)"
            )
    return tuple(decoders)


def decoder_descriptions(decoders: Sequence[InputDecoder]) -> list[str]:
    """Return the printed form of each decoder, without addresses, which differ in each process."""
    return [re.sub(r" at 0x[0-9a-f]+", "", repr(decoder)) for decoder in decoders]
