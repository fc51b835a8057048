// From the caller's arrays to the layouts of kernel_table.h. Copies are made once, in O((n + m) d),
// straight from strided memory; scaling by a power of two is exact, and makes kernels independent
// of the size of sigma.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "../api/scaling.h"
#include "../api/status.h"
#include "../api/views.h"
#include "kernel_table.h"

namespace layerbits {

// Rows [first, first + count) of one group, small enough to be one piece of work.
struct Run {
  int64_t group, first, count;
};

inline std::vector<Run> split_into_runs(const Groups& groups, int64_t largest) {
  std::vector<Run> runs;
  for (int64_t g = 0; g < groups.count(); ++g)
    for (int64_t i = groups.begin(g); i < groups.end(g); i += largest)
      runs.push_back({g, i, std::min(largest, groups.end(g) - i)});
  return runs;
}

// What becomes of a coordinate that is not finite: the log-sum-exp sees it; a gradient must not
// multiply it by a weight of 0, and knows by the extra values whether the row is absent or NaN.
enum class NotFinite { kKeep, kZero };

// What packing found besides ordinary numbers.
struct Found {
  bool too_large = false;  // a finite value that leaves the range
  bool nan = false;
};

// A tile of kWidth rows, coordinate by coordinate: unrolled, so that it is written in wide stores.
template <int kWidth, typename T>
void transpose(const Matrix<const T>& rows, int64_t first, T factor, T* out) {
  const T* row = &rows(first, 0);
  for (int64_t k = 0; k < rows.cols; ++k, row += rows.col_stride, out += kWidth)
    for (int lane = 0; lane < kWidth; ++lane) out[lane] = row[lane * rows.row_stride] * factor;
}

// Packs the coordinates of rows row_of(0), ..., row_of(count - 1) as one tile of `width`, with
// zeros in the places that are left over, and looks closer where kernels find something unusual in
// it.
template <NotFinite kPolicy, typename T, typename RowOf>
Found pack_tile(const Kernels<T>& kernels, const Matrix<const T>& rows, const RowOf& row_of,
                int count, int width, T factor, T* out) {
  constexpr T kLimit = std::numeric_limits<T>::max() / 4;  // differences stay finite
  Found found;
  if (count < width) std::fill_n(out, width * rows.cols, T(0));
  for (int lane = 0; lane < count; ++lane)
    for (int64_t k = 0; k < rows.cols; ++k) out[k * width + lane] = rows(row_of(lane), k) * factor;
  if (!kernels.any_unusual(out, width * rows.cols, T(1))) return found;
  for (int lane = 0; lane < count; ++lane)
    for (int64_t k = 0; k < rows.cols; ++k) {
      const T value = rows(row_of(lane), k);
      T& packed = out[k * width + lane];
      found.nan |= std::isnan(value);
      found.too_large |= std::isfinite(value) && std::abs(packed) > kLimit;
      if (!std::isfinite(value) && kPolicy == NotFinite::kZero) packed = 0;
    }
  return found;
}

// Packs `count` rows in tiles of `width`: per row the kExtras values extras(row), then the
// coordinates. Places left over in the last tile get `padding` and zeros. The rows are row_of(0),
// row_of(1), ...; `in_sequence`: they follow each other, and none has an unusual value.
template <NotFinite kPolicy, typename T, size_t kExtras, typename RowOf, typename ExtrasOf>
Found pack_rows(const Kernels<T>& kernels, const Matrix<const T>& rows, const RowOf& row_of,
                int64_t count, int width, double power, const std::array<T, kExtras>& padding,
                const ExtrasOf& extras, T* out, bool in_sequence = false) {
  const T factor = T(power);
  Found found;
  for (int64_t start = 0; start < count; start += width) {
    const int used = int(std::min<int64_t>(width, count - start));
    if (kExtras > 0)
      for (int lane = 0; lane < width; ++lane) {
        const std::array<T, kExtras> values = lane < used ? extras(row_of(start + lane)) : padding;
        for (size_t e = 0; e < kExtras; ++e) out[e * width + lane] = values[e];
      }
    out += kExtras * width;
    if (in_sequence && used == 16) {
      transpose<16>(rows, row_of(start), factor, out);
    } else if (in_sequence && used == 8 && width == 8) {
      transpose<8>(rows, row_of(start), factor, out);
    } else {
      const Found here = pack_tile<kPolicy>(
          kernels, rows, [&](int lane) { return row_of(start + lane); }, used, width, factor, out);
      found.nan |= here.nan;
      found.too_large |= here.too_large;
    }
    out += width * rows.cols;
  }
  return found;
}

// Have rows from `first` on no unusual value? A look at the caller's memory, where it has no gaps:
// wide loads of what was just stored in narrow pieces wait for it.
template <typename T>
bool are_usual(const Kernels<T>& kernels, const Matrix<const T>& rows, int64_t first, int64_t count,
               double power) {
  const bool whole = rows.col_stride == 1 && rows.row_stride == rows.cols && count > 0;
  return whole && !kernels.any_unusual(&rows(first, 0), count * rows.cols, T(power));
}

// Packs rows from `first` on.
template <NotFinite kPolicy, typename T, size_t kExtras, typename ExtrasOf>
Found pack(const Kernels<T>& kernels, const Matrix<const T>& rows, int64_t first, int64_t count,
           int width, double power, const std::array<T, kExtras>& padding, const ExtrasOf& extras,
           T* out) {
  return pack_rows<kPolicy>(
      kernels, rows, [first](int64_t i) { return first + i; }, count, width, power, padding, extras,
      out, are_usual(kernels, rows, first, count, power));
}

}  // namespace layerbits
