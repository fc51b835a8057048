"""The SZT data: all patterns of 12 bits, with labels that are invariant under the symmetries of the icosahedron.

The licence of the published file forbids redistribution. So a rule generates the labels, and a hash of the published
labels checks them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
import torch

from layerbits._base import DataError

_SHA256 = "77732f16f85e91b49d3997196b56163b3bd362d8cf631468a8de3f986e88359f"
_BITS = 12
_PHI = (1 + math.sqrt(5)) / 2
_ICOSAHEDRON = np.array(
    [
        (0, 1, _PHI),
        (1, _PHI, 0),
        (0, 1, -_PHI),
        (-1, _PHI, 0),
        (_PHI, 0, -1),
        (0, -1, _PHI),
        (1, -_PHI, 0),
        (-1, -_PHI, 0),
        (-_PHI, 0, -1),
        (0, -1, -_PHI),
        (-_PHI, 0, 1),
        (_PHI, 0, 1),
    ]
) / math.hypot(1, _PHI)


@dataclasses.dataclass(frozen=True, eq=False)
class SztData:
    """The inputs and labels of the SZT task.

    Attributes
    ----------
    inputs : torch.Tensor
        Shape (4096, 12), float32, zeros and ones; row k is k in binary, most significant bit first.
    labels : torch.Tensor
        Shape (4096,), int64, zeros and ones; 2118 of them are ones.

    Examples
    --------
    >>> import layerbits as lb
    >>> data = lb.data.szt_dataset()
    >>> data.inputs[5].tolist(), int(data.labels.sum())
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0], 2118)
    """

    inputs: torch.Tensor
    labels: torch.Tensor

    def to(self, device: torch.device | str) -> SztData:
        """Return the data on a device."""
        return SztData(self.inputs.to(device), self.labels.to(device))


def szt_dataset() -> SztData:
    """Generate the SZT data.

    Bit x_i belongs to vertex u_i of a regular icosahedron. The label is 1 if (number of set bits) + ‖Σ x_i u_i‖ exceeds
    7.63. For every pattern this sum is at least 0.067 away from 7.63, so rounding cannot change a label.

    Returns
    -------
    SztData

    Raises
    ------
    DataError
        The labels differ from the published labels.

    References
    ----------
    Shwartz-Ziv and Tishby, "Opening the black box of deep neural networks via information", 2017.

    Examples
    --------
    >>> import layerbits as lb
    >>> data = lb.data.szt_dataset()
    >>> tuple(data.inputs.shape), int(data.labels.sum())
    ((4096, 12), 2118)
    """
    bits = (np.arange(2**_BITS)[:, None] >> np.arange(_BITS)[::-1]) & 1
    labels = bits.sum(axis=1) + np.linalg.norm(bits @ _ICOSAHEDRON, axis=1) > 7.63
    digest = hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()
    if digest != _SHA256:
        raise DataError(f"SZT labels: got sha256 {digest}, wanted {_SHA256}; check the installation of NumPy")
    return SztData(inputs=torch.from_numpy(bits).float(), labels=torch.from_numpy(labels).long())
