"""Log-sums of mixtures in one and two dimensions by expansions in cells, with operators of torch, for CUDA devices.

csrc/cpu/grid_tables.h and plane_tables.h have the method, its bounds, and the tables that are used here. The operators
of torch sum in any order and round every product, so the bounds of rounding are larger here than in the C++ code for
the line; those for the plane have room for these operators.
"""

from layerbits.kernels.grids.log_sums import LEAST_TOLERANCE, gridded_log_sums

__all__ = ["LEAST_TOLERANCE", "gridded_log_sums"]
