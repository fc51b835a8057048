// Packing of the caller's arrays into the layouts of kernel_table.h: one copy in O((n + m) d), from
// strided memory, scaled by a power of two. Contains no arithmetic but this scaling.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../api/divide_up.h"
#include "../api/scaling.h"
#include "../api/status.h"
#include "../api/views.h"
#include "kernel_table.h"

namespace layerbits {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Rows [first, first + count) of one group, few enough to be one piece of work.
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

// The treatment of coordinates that are not finite. kKeep packs them unchanged. kZero packs 0 in
// place of them, because 0 times infinity would make a sum of products NaN; the caller handles such
// rows itself.
enum class NotFinite { kKeep, kZero };

// The unusual values of packed rows.
struct UnusualValues {
  bool too_large = false;  // a finite value that, scaled, exceeds a quarter of the largest number
  bool nan = false;
};

// Packs a tile of kWidth rows. The inner loop is unrolled, so that the compiler uses wide stores.
template <int kWidth, typename T>
void transpose(const Matrix<const T>& rows, int64_t first, T factor, T* out) {
  const T* row = &rows(first, 0);
  for (int64_t k = 0; k < rows.cols; ++k, row += rows.col_stride, out += kWidth)
    for (int lane = 0; lane < kWidth; ++lane) out[lane] = row[lane * rows.row_stride] * factor;
}

// Whether `count` rows from `first` on are contiguous and have no unusual value. Reads the caller's
// memory: wide loads from a tile that narrow stores have just written would wait for the stores.
template <typename T>
bool are_usual(const Kernels<T>& kernels, const Matrix<const T>& rows, int64_t first, int64_t count,
               double power) {
  const bool contiguous = rows.col_stride == 1 && rows.row_stride == rows.cols && count > 0;
  return contiguous && !kernels.any_unusual(&rows(first, 0), count * rows.cols, T(power));
}

// Packs rows in tiles of `width`: for each row kExtras values, then its coordinates times `power`.
// The unused rows of the last tile have the extra values `padding` and coordinates 0.
template <NotFinite kPolicy, typename T, size_t kExtras>
struct Packer {
  const Kernels<T>& kernels;
  const Matrix<const T>& rows;
  int width;
  double power;
  std::array<T, kExtras> padding = {};

  // Packs rows [first, first + count), whose extra values are extras(row).
  template <typename ExtrasOf>
  UnusualValues pack(int64_t first, int64_t count, const ExtrasOf& extras, T* out) const {
    return pack_range(first, count, are_usual(kernels, rows, first, count, power), extras, out);
  }
  UnusualValues pack(int64_t first, int64_t count, T* out) const {
    return pack(first, count, no_extras, out);
  }

  // Like pack(), with the result of are_usual() for these rows or for a range that contains them.
  template <typename ExtrasOf>
  UnusualValues pack_range(int64_t first, int64_t count, bool usual, const ExtrasOf& extras,
                           T* out) const {
    return pack_tiles([first](int64_t i) { return first + i; }, count, usual, extras, out);
  }

  // Packs the rows row_of(0), ..., row_of(count - 1).
  template <typename RowOf, typename ExtrasOf>
  UnusualValues pack_selected(const RowOf& row_of, int64_t count, const ExtrasOf& extras,
                              T* out) const {
    return pack_tiles(row_of, count, false, extras, out);
  }

  // Packs the coordinates of rows row_of(0), ..., row_of(count - 1) as one tile. Examines the
  // values one by one only if a kernel reports an unusual one.
  template <typename RowOf>
  UnusualValues pack_coordinates(const RowOf& row_of, int count, T* out) const {
    constexpr T kLimit = std::numeric_limits<T>::max() / 4;  // differences stay finite
    const T factor = T(power);
    UnusualValues unusual;
    if (count < width) std::fill_n(out, width * rows.cols, T(0));
    for (int lane = 0; lane < count; ++lane)
      for (int64_t k = 0; k < rows.cols; ++k)
        out[k * width + lane] = rows(row_of(lane), k) * factor;
    if (!kernels.any_unusual(out, width * rows.cols, T(1))) return unusual;
    for (int lane = 0; lane < count; ++lane)
      for (int64_t k = 0; k < rows.cols; ++k) {
        const T value = rows(row_of(lane), k);
        T& packed = out[k * width + lane];
        unusual.nan |= std::isnan(value);
        unusual.too_large |= std::isfinite(value) && std::abs(packed) > kLimit;
        if (!std::isfinite(value) && kPolicy == NotFinite::kZero) packed = 0;
      }
    return unusual;
  }

 private:
  static std::array<T, kExtras> no_extras(int64_t) { return {}; }

  // `usual`: the rows are consecutive and have no unusual value.
  template <typename RowOf, typename ExtrasOf>
  UnusualValues pack_tiles(const RowOf& row_of, int64_t count, bool usual, const ExtrasOf& extras,
                           T* out) const {
    const T factor = T(power);
    UnusualValues unusual;
    for (int64_t start = 0; start < count; start += width) {
      const int tile_rows = int(std::min<int64_t>(width, count - start));
      if (kExtras > 0)
        for (int lane = 0; lane < width; ++lane) {
          const std::array<T, kExtras> values =
              lane < tile_rows ? extras(row_of(start + lane)) : padding;
          for (size_t e = 0; e < kExtras; ++e) out[e * width + lane] = values[e];
        }
      out += kExtras * width;
      if (usual && tile_rows == 16) {
        transpose<16>(rows, row_of(start), factor, out);
      } else if (usual && tile_rows == 8 && width == 8) {
        transpose<8>(rows, row_of(start), factor, out);
      } else {
        const UnusualValues in_tile =
            pack_coordinates([&](int lane) { return row_of(start + lane); }, tile_rows, out);
        unusual.nan |= in_tile.nan;
        unusual.too_large |= in_tile.too_large;
      }
      out += width * rows.cols;
    }
    return unusual;
  }
};

}  // namespace layerbits
