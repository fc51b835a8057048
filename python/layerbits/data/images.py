"""The type of a data set of labelled images."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of one size with their classes.

    Attributes
    ----------
    inputs : torch.Tensor
        Shape (n, 1, h, w), float32, from 0 (background) to 1.
    labels : torch.Tensor
        Shape (n,), int64: class numbers.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> images = lb.data.LabelledImages(torch.zeros(5, 1, 8, 6), torch.arange(5))
    >>> len(images), images.size, len(images.first(2))
    (5, (8, 6), 2)
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.inputs.shape[2], self.inputs.shape[3]

    def first(self, count: int | None) -> LabelledImages:
        """Return the first `count` images, or all if `count` is None or larger than their number."""
        return LabelledImages(self.inputs[:count], self.labels[:count])

    def to(self, device: torch.device | str) -> LabelledImages:
        """Return the images and their labels on a device."""
        return LabelledImages(self.inputs.to(device), self.labels.to(device))
