// The log-sum-exp over Gaussian components that each have a factor in place of sigma. Components
// are packed once, points run by run. Each run takes all components in their order, so that the
// bits of a row do not depend on the other rows.
#pragma once

#include <memory>

#include "cpu_operations.h"
#include "dispatch.h"
#include "packing.h"

namespace layerbits {

// The largest absolute value of the finite values, and whether there are infinite values or NaN.
struct Extent {
  double largest = 0;
  bool infinite = false, nan = false;

  void add(double value) {
    if (std::isfinite(value))
      largest = std::max(largest, std::abs(value));
    else
      (std::isnan(value) ? nan : infinite) = true;
  }
  void add(const Extent& other) {
    largest = std::max(largest, other.largest);
    infinite |= other.infinite;
    nan |= other.nan;
  }
};

// Layout<T> packs a block of components:
//   Layout(components)
//   int64_t size()                           values of a packed component
//   Extent factor(j)                         the extent of the factor of component j
//   T* offset(j, block)                      the address of the offset of component j in its block
//   void pack(j, block)                      packs center and factor of component j into zeros
//   bool in_range(reach, largest_factor)     whether differences up to `reach` give no NaN
//   kRefusal                                 why points that may give NaN are refused
//   kernel(kernels)                          the kernel that reads the packed components
template <template <typename> typename Layout, typename T>
class ComponentSum {
 public:
  ComponentSum(const Matrix<const T>& points, const Layout<T>& layout, Vector<double> log_sum,
               const KernelTable& table, int threads)
      : points_(points),
        layout_(layout),
        log_sum_(log_sum),
        kernels_(kernels_of<T>(table)),
        threads_(threads),
        dim_(points.cols),
        size_(layout.size()),
        count_(layout.components.centers.rows),
        blocks_(divide_up(count_, kBlock)) {}

  Status run(Cancellation& cancellation) {
    if (Status status = find_largest_offset(); !status.ok()) return status;
    if (Status status = pack_components(cancellation); !status.ok()) return status;
    // 16 tiles are summed together over the components; fewer if there are few rows for the
    // threads, or if a block is so much work that Ctrl-C would take effect late.
    const int64_t max_tiles = std::clamp<int64_t>((1 << 21) / (kBlock * size_), 4, 16);
    const int64_t share = divide_up(points_.rows, kernels_.lanes) / (4 * threads_);
    const int64_t run_rows = kernels_.lanes * std::clamp<int64_t>(share, 1, max_tiles);
    Status status =
        parallel_for(threads_, divide_up(points_.rows, run_rows), cancellation, [&](int64_t r) {
          const int64_t first = r * run_rows;
          evaluate(first, std::min(run_rows, points_.rows - first), cancellation);
        });
    if (!status.ok() || !too_large_) return status;
    return Status::bad_value(std::string("points: got finite values ") + Layout<T>::kRefusal +
                             "; shift points and centers towards 0, or use float64");
  }

 private:
  struct Extents {
    Extent centers, factors;
  };

  Status find_largest_offset() {
    const Vector<const T>& offsets = layout_.components.offsets;
    for (int64_t j = 0; j < offsets.size; ++j) {
      const double offset = offsets[j];
      if (offset == kInfinity)
        return Status::bad_value("offsets: got inf at index " + std::to_string(j) +
                                 ", wanted numbers below it");
      nan_ |= std::isnan(offset);
      if (offset > largest_offset_) largest_offset_ = offset;
    }
    return {};
  }

  Status pack_components(Cancellation& cancellation) {
    // Uninitialised: zeroing is slow, serial and not interruptible.
    packed_components_ = std::make_unique_for_overwrite<T[]>(size_t(blocks_ * kBlock * size_));
    std::vector<Extents> block_extents(static_cast<size_t>(blocks_));
    Status status = parallel_for(threads_, blocks_, cancellation, [&](int64_t b) {
      for (int64_t j = b * kBlock; j < (b + 1) * kBlock; ++j) pack_component(j, block_extents[b]);
    });
    for (const Extents& block : block_extents) {
      extents_.centers.add(block.centers);
      extents_.factors.add(block.factors);
    }
    nan_ |= extents_.centers.nan || extents_.factors.nan;
    return status;
  }

  // Components without weight or with values that are not finite, and padding, have an offset of
  // +inf.
  void pack_component(int64_t j, Extents& extents) const {
    T* block = packed_components_.get() + j / kBlock * kBlock * size_;
    if (j % kBlock == 0) std::fill_n(block, kBlock * size_, T(0));
    *layout_.offset(j, block) = T(kInfinity);
    if (j >= count_) return;
    Extent center;
    for (int64_t k = 0; k < dim_; ++k) center.add(layout_.components.centers(j, k));
    const Extent factor = layout_.factor(j);
    extents.centers.add(center);
    extents.factors.add(factor);
    const double offset = 2 * (largest_offset_ - layout_.components.offsets[j]);
    const bool finite = !(center.infinite || center.nan || factor.infinite || factor.nan);
    if (!finite || !(offset < std::numeric_limits<T>::max())) return;
    *layout_.offset(j, block) = T(offset);
    layout_.pack(j, block);
  }

  void evaluate(int64_t first, int64_t count, Cancellation& cancellation) {
    std::vector<Extent> rows(static_cast<size_t>(count));
    Extent run_extent;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t k = 0; k < dim_; ++k) rows[i].add(points_(first + i, k));
      run_extent.add(rows[i]);
    }
    const double reach = run_extent.largest + extents_.centers.largest;
    if (!layout_.in_range(reach, extents_.factors.largest)) {
      too_large_ = true;
      return;
    }
    const std::vector<double> logs = logarithms(first, count, cancellation);
    for (int64_t i = 0; i < count; ++i) {
      const double log_sum = rows[i].infinite ? -kInfinity : logs[i] + largest_offset_;
      log_sum_[first + i] = nan_ || rows[i].nan ? kNan : log_sum;
    }
  }

  std::vector<double> logarithms(int64_t first, int64_t count, Cancellation& cancellation) const {
    const int lanes = kernels_.lanes;
    const int64_t tiles = divide_up(count, lanes);
    std::vector<T> packed(size_t(tiles * lanes * dim_)), state(size_t(3 * tiles * lanes), T(0));
    Packer<NotFinite::kZero, T, 0>{kernels_, points_, lanes, 1}.pack(first, count, packed.data());
    for (int64_t t = 0; t < tiles; ++t)
      std::fill_n(state.data() + 3 * t * lanes, lanes, -std::numeric_limits<T>::max());
    // A chunk of at most 2^15 values, which stays in the second-level cache while all tiles use it;
    // a larger block is a chunk by itself.
    const int64_t chunk = std::max<int64_t>(1, (1 << 15) / (kBlock * size_));
    for (int64_t b = 0; b < blocks_ && !cancellation.requested(); b += chunk)
      layout_.kernel(kernels_)(packed.data(), tiles, packed_components_.get() + b * kBlock * size_,
                               std::min(chunk, blocks_ - b), dim_, state.data());
    std::vector<double> logs(size_t(tiles * lanes));
    kernels_.log_of_sums(state.data(), tiles, logs.data());
    return logs;
  }

  const Matrix<const T>& points_;
  const Layout<T>& layout_;
  const Vector<double> log_sum_;
  const Kernels<T>& kernels_;
  const int threads_;
  const int64_t dim_, size_, count_, blocks_;
  double largest_offset_ = -kInfinity;
  Extents extents_;
  bool nan_ = false;  // whether a component has NaN
  std::unique_ptr<T[]> packed_components_;
  std::atomic<bool> too_large_{false};
};

// Runs the sum over the components of a layout.
template <template <typename> typename Layout, typename T>
Status component_log_sums(const Matrix<const T>& points, const Layout<T>& layout,
                          Vector<double> log_sum, Execution execution) {
  const KernelTable* table = nullptr;
  if (Status status = find_level(execution.level, table); !status.ok()) return status;
  const double pairs = double(points.rows) * double(layout.components.centers.rows);
  const int threads = worthwhile_threads(execution.threads, pairs, layout.size());
  return ComponentSum<Layout, T>(points, layout, log_sum, *table, threads)
      .run(execution.cancellation);
}

}  // namespace layerbits
