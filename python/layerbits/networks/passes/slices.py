"""Slices of a layer: readouts A^T T by frames A with orthonormal columns, which a measurement samples or fits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from layerbits._base import check_count, shape_of, shown

# With fewer frames, no interval for their mean is narrower than the range of the slices.
_LEAST_COUNT = 8


@dataclasses.dataclass(frozen=True)
class RandomSlices:
    """A readout of many random slices: SI_k, the mean of I(X; A^T T) over uniform k-frames A.

    A frame is a matrix (d, k) with orthonormal columns, in the units of the layer. SI_k rises with k, and is I(X;T) at
    k = d, the number of units. It may rise from layer to layer, so it is not compared with the layer before. In a
    wide layer the inputs are far apart, so I(X;T) is log N; SI_1 is the mean information in a single random direction.

    Parameters
    ----------
    k : int
        Dimension of a slice, at most the number of units of the layer.
    count : int
        Number m of frames, at least 8, sampled from the seed of the measurement. The interval of SI_k includes the
        sampling of the frames, and is never narrower than about 4 c / m, where c is the largest information of a slice.

    Raises
    ------
    TypeError, ValueError
        `k` or `count` is no integer, or too small.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs = torch.nn.Sequential(torch.nn.Tanh()), torch.randn(10, 4)
    >>> table = lb.layer_information(model, inputs, sigma=1.0, layers="0", readout=lb.RandomSlices(1, count=64))
    >>> [(row.layer, row.quantity) for row in table]
    [('0[random 1 x 64]', 'SI_1(X;T)')]
    """

    k: int = 1
    count: int = 256

    def __post_init__(self) -> None:
        check_count("k", self.k, minimum=1)
        check_count("count", self.count, minimum=_LEAST_COUNT)

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        return f"random {self.k} x {self.count}"

    @property
    def symbol(self) -> str:
        """Symbol of the information in tables."""
        return f"SI_{self.k}"

    def check(self, layer: str, units: Sequence[int], *, labelled: bool) -> None:
        """Raise a ValueError unless a layer has at least two units, and at least k."""
        _check_size(self.k, self.name, layer, units)


@dataclasses.dataclass(frozen=True)
class PrincipalSlices:
    """A readout of the slice of the k leading principal axes of a layer: PI_k, which is at most I(X;T).

    The axes are those of the covariance of the signals in the units of the layer. They come from at most 1024 inputs,
    behind noise from separate passes.

    Parameters
    ----------
    k : int
        Dimension of the slice, at most the number of units of the layer.

    Raises
    ------
    TypeError, ValueError
        `k` is no integer, or less than 1.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs = torch.nn.Sequential(torch.nn.Tanh()), torch.randn(10, 4)
    >>> table = lb.layer_information(model, inputs, sigma=1.0, layers="0", readout=lb.PrincipalSlices(2))
    >>> table.rows[0].layer, table.rows[0].quantity
    ('0[principal 2]', 'PI_2(X;T)')
    """

    k: int = 1

    def __post_init__(self) -> None:
        check_count("k", self.k, minimum=1)

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        return f"principal {self.k}"

    @property
    def symbol(self) -> str:
        """Symbol of the information in tables."""
        return f"PI_{self.k}"

    def check(self, layer: str, units: Sequence[int], *, labelled: bool) -> None:
        """Raise a ValueError unless a layer has at least two units, and at least k."""
        _check_size(self.k, self.name, layer, units)


@dataclasses.dataclass(frozen=True)
class LearntSlices:
    """A readout of a slice that is fitted to have much information: LI_k, which is at most I(X;T).

    The frame maximizes an estimate of I(X; A^T T) or I(A^T T; Y) by gradient steps, on passes and noise that the
    measurement does not use, and on at most 512 inputs. So the interval holds for the frame that was found; it says
    nothing about better frames.

    Parameters
    ----------
    k : int
        Dimension of the slice, at most the number of units of the layer.
    target : {"X", "Y"}
        Whether the frame is fitted to I(X; A^T T) or to I(A^T T; Y); with several label sets, Y is the first.

    Raises
    ------
    TypeError, ValueError
        `k` is no integer, or less than 1; `target` has another value.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs, labels = torch.nn.Sequential(torch.nn.Tanh()), torch.randn(10, 4), torch.arange(10) % 2
    >>> slices = lb.LearntSlices(1, target="Y")
    >>> table = lb.layer_information(model, inputs, labels, sigma=1.0, layers="0", readout=slices)
    >>> table["0[learnt 1 Y]", "LI_1(T;Y)"].upper <= 0.6932  # log 2
    True
    """

    k: int = 1
    target: str = "X"

    def __post_init__(self) -> None:
        check_count("k", self.k, minimum=1)
        if not isinstance(self.target, str) or self.target not in ("X", "Y"):
            raise ValueError(f"target: got {shown(self.target)!r}, wanted 'X' or 'Y'")

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        return f"learnt {self.k} {self.target}"

    @property
    def symbol(self) -> str:
        """Symbol of the information in tables."""
        return f"LI_{self.k}"

    def check(self, layer: str, units: Sequence[int], *, labelled: bool) -> None:
        """Raise a ValueError unless a layer has at least two units and at least k, and target Y has labels."""
        _check_size(self.k, self.name, layer, units)
        if self.target == "Y" and not labelled:
            raise ValueError("target: got 'Y' without labels, wanted 'X'; or pass labels")


Slices = RandomSlices | PrincipalSlices | LearntSlices


def _check_size(k: int, name: str, layer: str, units: Sequence[int]) -> None:
    dim = math.prod(units)
    shape = shape_of(units)
    if not units or dim < 2:
        raise ValueError(
            f"readout: got {name!r} for {layer!r}, whose signal has shape {shape}, wanted at least 2 units for each "
            "input; measure the whole layer"
        )
    if k > dim:
        raise ValueError(f"k: got {k} for {layer!r}, whose signal has shape {shape}, wanted at most {dim}, its units")
