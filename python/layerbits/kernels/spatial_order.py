"""An order of rows in which neighbours are near each other, found on the device of the rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def near_order(rows: Tensor) -> Tensor:
    """Return a permutation that brings together rows that are near: the leaves of a k-d tree, one after the other.

    Parts of equal size are halved at the median of their widest dimension until none has more than 32 rows. (n,) int64.
    """
    count = len(rows)
    levels = max(0, math.ceil(math.log2(max(count, 1) / 32)))
    # What fills the last rows up stands for the last row, and is left out in the end.
    order = torch.arange(-(-count >> levels) << levels, device=rows.device)[None]
    for _ in range(levels):
        values = rows[order.clamp(max=count - 1)]
        widest = (values.amax(1) - values.amin(1)).argmax(1)
        keys = values.gather(2, widest[:, None, None].expand(-1, values.shape[1], 1)).squeeze(2)
        order = order.gather(1, keys.sort(dim=1, stable=True).indices).view(2 * len(order), -1)
    order = order.flatten()
    return order[order < count]
