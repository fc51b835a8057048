"""Order rows so that consecutive rows are close in space, on the device of the rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def spatial_order(rows: Tensor) -> Tensor:
    """Return the order of the rows in the leaves of a k-d tree, a permutation of shape (n,) and dtype int64.

    A node of more than 32 rows is halved at the median of its widest dimension.
    """
    count = len(rows)
    levels = max(0, math.ceil(math.log2(max(count, 1) / 32)))
    # Nodes must have equal sizes: indices beyond the last row stand for copies of the last row, removed at the end.
    order = torch.arange(-(-count >> levels) << levels, device=rows.device)[None]
    for _ in range(levels):
        values = rows[order.clamp(max=count - 1)]
        widest = (values.amax(1) - values.amin(1)).argmax(1)
        keys = values.gather(2, widest[:, None, None].expand(-1, values.shape[1], 1)).squeeze(2)
        order = order.gather(1, keys.sort(dim=1, stable=True).indices).view(2 * len(order), -1)
    order = order.flatten()
    return order[order < count]
