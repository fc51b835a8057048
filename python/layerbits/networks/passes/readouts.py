"""Readouts: linear views of a layer. The noise of a view of Gaussian noise is Gaussian with a known covariance.

With a matrix A, A^T T = A^T S + A^T Z, where A^T Z ~ N(0, A^T Sigma A). So I(X; A^T T) is estimated like I(X;T), and it
is at most I(X;T). With a mask, A depends on the input, and so may the covariance; I(X; A^T T) is at most I(X; T, mask).
"""

from __future__ import annotations

import dataclasses
import itertools
import numbers
from collections.abc import Sequence

from layerbits._base import check_count, shape_of, shown
from layerbits.networks.passes.slices import LearntSlices, PrincipalSlices, RandomSlices, Slices
from layerbits.networks.passes.unit_views import UnitView

_POSITIONS = {"first": 0, "last": -1}


@dataclasses.dataclass(frozen=True)
class Tokens:
    """A readout of the tokens of a layer: their mean, or the value of one of them.

    Parameters
    ----------
    which : {"mean", "first", "last"} or int
        The mean over the tokens, or the position of a token; negative numbers count from the end. Without a mask, the
        mean includes padding, and the last token may be padding.
    axis : int, optional
        Axis of the tokens, at least 1. Axis 0 is the axis of the inputs; where the signal of a layer has the inputs
        along another axis, count as if that axis were the first. By default the axis is 1, and only signals (n, L, d)
        are accepted.
    mask : str or int, optional
        The argument of the network that marks the tokens to keep by 1 or True, or those to leave out by -inf: its name
        if the inputs are a mapping, its position if they are a tuple. Its shape is (n, L), with any further axes of
        length 1. ``"mean"``, ``"first"`` and ``"last"`` are then those of the kept tokens of each input.
        I(X; readout) is at most I(X; T, mask), not I(X;T); the rows of the readout have the flag ``"masked"``. The mean
        of an input over m tokens has noise of deviation sigma / sqrt(m). If m differs by input, the noise itself has
        information on the input, and more in layers of more units. Then all units are kept: wide layers take longer,
        and behind noise more memory.
    padding : str or int, optional
        In place of `mask`, the argument that marks the tokens to leave out by 1 or True, as a key_padding_mask does.

    Raises
    ------
    TypeError, ValueError
        An argument has another type or value than wanted.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs = torch.nn.Sequential(torch.nn.Tanh()), torch.randn(10, 4, 3)
    >>> table = lb.layer_information(model, inputs, sigma=1.0, layers="0", readout=lb.Tokens("mean", axis=2))
    >>> table.rows[0].layer
    '0[mean axis=2]'
    """

    which: str | int
    axis: int | None = None
    mask: str | int | None = None
    padding: str | int | None = None

    def __post_init__(self) -> None:
        _check_which("which", self.which)
        if self.axis is not None:
            check_count("axis", self.axis, minimum=1)
        for name, argument in (("mask", self.mask), ("padding", self.padding)):
            if not isinstance(argument, str | int | None) or isinstance(argument, bool):
                raise TypeError(f"{name}: got {type(argument).__name__}, wanted the name or position of an argument")
        if self.mask is None and self.padding is None:
            return
        if self.mask is not None and self.padding is not None:
            raise ValueError("padding: got an argument beside mask, wanted one of both")
        if not isinstance(self.which, str):
            raise ValueError(f"which: got position {self.which} with a mask, wanted 'mean', 'first' or 'last'")
        if isinstance(self.mask, str) and "padding_mask" in self.mask:
            raise ValueError(
                f"mask: got {self.mask!r}, which by its name marks padding, wanted an argument that marks the tokens "
                f"to keep; if it marks padding, pass padding={self.mask!r} instead"
            )

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        options = {"axis": self.axis, "mask": self.mask, "padding": self.padding}
        return " ".join([f"{self.which}", *(f"{key}={value}" for key, value in options.items() if value is not None)])

    def view(self, layer: str, units: tuple[int, ...]) -> UnitView:
        """Return the view of a layer whose units have the shape `units`.

        Raises
        ------
        ValueError
            The layer has no such axis or position, or no axis beside that of the tokens, or several without `axis`.
        """
        axis = 1 if self.axis is None else self.axis
        if len(units) < max(axis, 2) or (self.axis is None and len(units) > 2):
            wanted = f"at least {max(axis, 2) + 1} axes; choose other layers"
            if self.axis is None:
                wanted = "tokens (n, L, d); choose other layers"
                if len(units) > 2:
                    wanted += f', name the axis, Tokens({self.which!r}, axis=...), or take Channels("mean")'
            raise ValueError(
                f"readout: got {self.name!r} for {layer!r}, whose signal has shape {shape_of(units)}, wanted {wanted}"
            )
        if self.which == "mean":
            return UnitView(units, (axis - 1,), None)
        position = _POSITIONS[self.which] if isinstance(self.which, str) else int(self.which)
        n_tokens = units[axis - 1]
        if not -n_tokens <= position < n_tokens:
            raise ValueError(
                f"readout: got position {position} for {layer!r}, whose signal has shape {shape_of(units)}, wanted one "
                f"of {n_tokens} tokens"
            )
        return UnitView(units, (axis - 1,), position)


def _check_which(name: str, which: object) -> None:
    wanted = "'mean', 'first', 'last' or a position"
    if name == "readout":
        wanted += ", or an object such as Channels('mean')"
    if isinstance(which, str):
        if which != "mean" and which not in _POSITIONS:
            raise ValueError(f"{name}: got {shown(which)!r}, wanted {wanted}")
    elif not isinstance(which, numbers.Integral) or isinstance(which, bool):
        raise TypeError(f"{name}: got {type(which).__name__}, wanted {wanted}")
    elif abs(int(which)) > _LARGEST_POSITION:
        raise ValueError(f"{name}: got {shown(which)}, wanted {wanted}, at most {_LARGEST_POSITION}")


@dataclasses.dataclass(frozen=True)
class Channels:
    """A readout of a feature map: the mean of each channel over all positions, of shape (n, C).

    Parameters
    ----------
    which : {"mean"}
        The mean over the positions of (n, C, L), (n, C, H, W), ...

    Raises
    ------
    ValueError
        `which` has another value.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model, inputs = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU()), torch.randn(10, 1, 8, 8)
    >>> table = lb.layer_information(model, inputs, sigma=1.0, layers="1", readout=lb.Channels("mean"))
    >>> table.rows[0].layer
    '1[channels mean]'
    """

    which: str = "mean"

    def __post_init__(self) -> None:
        if not isinstance(self.which, str) or self.which != "mean":
            raise ValueError(f"which: got {shown(self.which)!r}, wanted 'mean'")

    @property
    def name(self) -> str:
        """Name of the readout in tables."""
        return f"channels {self.which}"

    def view(self, layer: str, units: tuple[int, ...]) -> UnitView:
        """Return the view of a layer whose units have the shape `units`.

        Raises
        ------
        ValueError
            The layer is no feature map: its units have a single axis.
        """
        if len(units) < 2:
            raise ValueError(
                f"readout: got {self.name!r} for {layer!r}, whose signal has shape {shape_of(units)}, wanted a feature "
                "map (n, C, L) or (n, C, H, W); choose other layers"
            )
        return UnitView(units, tuple(range(1, len(units))), None)


_MOST_READOUTS = 1000
_LARGEST_POSITION = 2**31 - 1

# Values of the argument `readout`; None is the whole layer.
Readout = str | int | Tokens | Channels | RandomSlices | PrincipalSlices | LearntSlices
Readouts = Readout | Sequence[Readout | None] | None


def as_readouts(readout: Readouts) -> tuple[Tokens | Channels | Slices | None, ...]:
    """Return the readouts in the argument `readout`, which is a readout or a sequence of readouts.

    Raises
    ------
    TypeError, ValueError
        An item is no readout; there are no items, or two equal ones.
    """
    if isinstance(readout, bytes):
        raise TypeError(f"readout: got {readout!r}, wanted text, such as 'mean'")
    sequence = readout if isinstance(readout, Sequence) and not isinstance(readout, str) else [readout]
    items = list(itertools.islice(sequence, _MOST_READOUTS + 1))
    if len(items) > _MOST_READOUTS:
        raise ValueError(f"readout: got more than {_MOST_READOUTS} readouts, wanted fewer")
    if not items:
        raise ValueError("readout: got an empty sequence, wanted at least one readout; None is the whole layer")
    kept = Tokens | Channels | RandomSlices | PrincipalSlices | LearntSlices | None
    for item in items:
        if not isinstance(item, kept):
            _check_which("readout", item)
    readouts = tuple(item if isinstance(item, kept) else Tokens(item) for item in items)
    names = [None if item is None else item.name for item in readouts]
    if len(set(names)) < len(names):
        raise ValueError(f"readout: got {names}, wanted different readouts")
    return readouts
