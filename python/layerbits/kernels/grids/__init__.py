"""Log-sums of mixtures in one and two dimensions by expansions in cells, with operators of torch, for CUDA devices.

csrc/cpu/grid_tables.h and plane_tables.h describe the method and derive its bounds; the C++ core computes the tables.
The operators of torch sum in any order and round every product. In one dimension, the bounds of rounding are therefore
larger here (`line`). In two dimensions, the bounds of the C++ code hold for any order (`plane`).
"""

from layerbits.kernels.grids.log_sums import LEAST_TOLERANCE, gridded_log_sums

__all__ = ["LEAST_TOLERANCE", "gridded_log_sums"]
