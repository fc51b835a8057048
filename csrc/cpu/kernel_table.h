// The table of kernels that every ISA level fills in, and the packed layouts that they read.
// Included by cpu/ files, which are compiled with ISA flags: therefore C headers only, and no
// inline function that a linker could merge across levels.
#pragma once

#include <stdint.h>

namespace layerbits {

// Columns are packed in blocks of kBlock: first the extra values of a column, then its coordinates,
// kBlock of each. Rows are packed in tiles of `lanes` in the same way. Packed coordinates are
// scaled by a power of two, so exactly.
inline constexpr int kBlock = 8;
inline constexpr int kMaxLanes = 16;

// For each row q the sum over columns c of 2^(-scale (|q - c|^2 + offset_c)).
// points: no extra value. centers: one, offset_c >= 0.
// state[tile][3][lanes]: reference, high, low, where the sum is (high + low) 2^reference.
template <typename T>
using LogSumExpKernel = void (*)(const T* points, int64_t tiles, const T* centers, int64_t blocks,
                                 int64_t dim, T scale, T* state);

// A balanced tree over packed centers. Its leaves are kLeafBlocks blocks each, in order, the last
// one perhaps fewer. A node over more than one leaf has the first half of them, rounded up, in its
// first child, which follows it; the second child comes after all of the first. A node holds
//   the error, per unit of weight and of the largest kernel value, of taking its centers as one;
//   the offset of that one, and its factor: their weight where it exceeds 1, less half of the trace
//   of their covariance in sigmas where that is taken into account; their mean squared distance
//   from their mean; what the squared distance from their mean is less than that of one center of
//   weight 1 that their sum exceeds;
//   for each dimension the least and the largest coordinate, the mean, and what it is rounded by;
//   up to kMomentDims dimensions, for k <= l, what u_k u_l is multiplied by in u' covariance u / 2,
//   times the factor.
inline constexpr int kLeafBlocks = 4;
inline constexpr int kNodeExtras = 5;
inline constexpr int kNodeSides = 4;
inline constexpr int kMomentDims = 8;

inline constexpr int64_t node_size(int64_t dim) {
  return kNodeExtras + kNodeSides * dim + (dim <= kMomentDims ? dim * (dim + 1) / 2 : 0);
}

template <typename T>
struct CenterTree {
  const T* centers;  // as for log_sum_exp_isotropic
  const T* nodes;
  int64_t blocks;
  int64_t leaves;
};

// As log_sum_exp_isotropic for one tile, without the centers whose nodes are not nearer than the
// query's cutoff, and with nodes as one center where their error is within its allowance. points:
// three extra values, the reference to start from, the cutoff of squared distances, and the
// allowance.
template <typename T>
using PrunedLogSumExpKernel = void (*)(const T* points, const CenterTree<T>& tree, int64_t dim,
                                       T scale, T* state);

// A Gaussian with a covariance of its own is packed as one component: its offset, then its lower
// triangular factor in bands of kFactorRows rows, or of dim % kFactorRows for the first where that
// is not 0. A band holds, for each column up to its last row, the coordinate of the mean and what
// the column has in the band from the diagonal down.
inline constexpr int kFactorRows = 4;

inline constexpr int64_t component_size(int64_t dim) {
  const int64_t rest = dim % kFactorRows, bands = dim / kFactorRows;
  return 1 + rest * (rest + 3) / 2 + bands * kFactorRows * (kFactorRows + 3) / 2 +
         (1 + kFactorRows) * bands * (rest + kFactorRows * (bands - 1) / 2);
}

// Adds to the state of each row q, with a reference of -max where it is empty, the sum over
// components c of exp(-(|factor_c (q - mean_c)|^2 + offset_c) / 2), in blocks of kBlock of them.
// The products must not overflow.
template <typename T>
using GaussianLogSumExpKernel = void (*)(const T* points, int64_t tiles, const T* components,
                                         int64_t blocks, int64_t dim, T* state);

// With K_rc = factor_r 2^(-scale |r - c|^2 + exponent_r + exponent_c):
// row_sums[tile][1 + dim][lanes], the sums over columns of K |r - c|^2 and of K (r - c);
// column_sums[block][1 + dim][kBlock], the sums over rows of K and of K (r - c). Either may be
// null. rows: two extra values, exponent_r and factor_r. columns: one, exponent_c. scratch, for
// column_sums: [together blocks][1 + dim][kBlock][lanes of 64 bytes].
template <typename T>
using SoftmaxGradientKernel = void (*)(const T* rows, int64_t tiles, const T* columns,
                                       int64_t blocks, int64_t dim, T scale, T* row_sums,
                                       T* column_sums, T* scratch, int64_t together);

// out[tile][block][kBlock][lanes], the squared distances of rows and columns. No extra values.
template <typename T>
using SquaredDistancesKernel = void (*)(const T* rows, int64_t tiles, const T* columns,
                                        int64_t blocks, int64_t dim, T* out);

// Bin b holds the squared distances from first[b] up to below first[b + 1]. The first and the last
// bin are for what is outside of the range: first[0] is -inf, first[count] NaN, which none reaches.
// Where bins are even, (x - low) * per_unit + 1 is the bin or its neighbour, with x the root of the
// square or half of it.
template <typename T>
struct DistanceBins {
  const T* first;
  int64_t count;  // at most kMaxBins, so that a float holds it
  bool is_root;
  T low, per_unit;
};
inline constexpr int64_t kMaxBins = int64_t(1) << 24;

// Adds to counts[bin][2] the pairs of a tile, whose first row is `row`, with `columns` columns from
// `column` on, but only those of a row with a later column; [1] is for equal labels.
// squares[columns][lanes] as squared_distances leaves them.
template <typename T>
using CountPairsKernel = void (*)(const T* squares, int64_t row, int64_t column, int64_t columns,
                                  const int64_t* labels, const DistanceBins<T>& bins,
                                  int64_t* counts);

// out[tile][lanes], the logarithms of sums as log_sum_exp_isotropic leaves them; none is negative.
template <typename T>
using LogOfSumsKernel = void (*)(const T* state, int64_t tiles, double* out);

// Is there, times the factor, a value of more than a quarter of the largest number, or NaN?
template <typename T>
using AnyUnusualKernel = bool (*)(const T* values, int64_t count, T factor);

// Runs independent operations in registers, starting from values[lanes]; returns how many values it
// computed.
template <typename T>
using PeakKernel = int64_t (*)(int64_t steps, T* values);

template <typename T>
struct Kernels {
  int lanes;
  LogSumExpKernel<T> log_sum_exp_isotropic;
  PrunedLogSumExpKernel<T> pruned_log_sum_exp;
  GaussianLogSumExpKernel<T> log_sum_exp_full;
  SoftmaxGradientKernel<T> softmax_gradient;
  LogOfSumsKernel<T> log_of_sums;
  AnyUnusualKernel<T> any_unusual;
  SquaredDistancesKernel<T> squared_distances;
  CountPairsKernel<T> count_pairs;
  PeakKernel<T> multiply_adds, multiply_adds_and_additions;
};

struct KernelTable {
  const char* level;
  Kernels<float> f32;
  Kernels<double> f64;
};

}  // namespace layerbits
