// The log-sum-exp of every point over components that each have a factor in place of sigma.
//
// A lane has kPoints points; the warps of a thread block take the components of a share in turn. A
// packed component is read from the first-level cache, each value once for all points of the warp,
// so that the dimension has no limit. Sums of squares only grow: once all terms of a thread are
// certain to be exactly 0, a layout skips the remaining dimensions.
//
// A Layout has the members of component_checks.h, and
//   add_component(problem, points, component, lane, sums)   adds the terms of one component
//   in_range<T>(checks, dim)     whether no infinity is subtracted from infinity
//   kRefusal                     why other points are refused
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "../api/divide_up.h"
#include "../api/scaling.h"
#include "component_checks.h"
#include "cuda_operations.h"
#include "running_log_sum.h"
#include "shared_tiles.h"

namespace layerbits::cuda {

inline constexpr int kWarps = 4, kLanes = 32, kPoints = 4, kTile = kLanes * kPoints;

template <typename T>
struct ComponentProblem {
  const T* points;  // [tile][dim][kTile]
  const T* components;
  int64_t dim, count, tiles, shares;
  Scale<T> scale;
  double* sums;  // [share][3][tiles * kTile]
};

template <typename Layout, typename T>
__global__ void __launch_bounds__(kWarps* kLanes, 3)
    sum_components(const ComponentProblem<T> problem) {
  T* const memory = shared_memory<T>();  // [warp][3][kTile]
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  const int64_t size = Layout::component_values(problem.dim);
  for (int64_t item = blockIdx.x; item < problem.tiles * problem.shares; item += gridDim.x) {
    const int64_t share = item / problem.tiles, tile = item % problem.tiles;
    const T* const points = problem.points + tile * problem.dim * kTile;
    RunningSum<T> sums[kPoints];
#pragma unroll
    for (int i = 0; i < kPoints; ++i) sums[i].clear();
    const int64_t end = problem.count * (share + 1) / problem.shares;
    for (int64_t j = problem.count * share / problem.shares + warp; j < end; j += kWarps)
      Layout::add_component(problem, points, problem.components + j * size, lane, sums);

#pragma unroll
    for (int i = 0; i < kPoints; ++i) {
      T* state = memory + 3 * warp * kTile + column_of<T, kPoints, kLanes>(lane, i);
      state[0] = sums[i].reference;
      state[kTile] = sums[i].high;
      state[2 * kTile] = sums[i].low;
    }
    __syncthreads();
    for (int q = threadIdx.x; q < kTile; q += kWarps * kLanes) {
      ScaledSum total;
      for (int w = 0; w < kWarps; ++w) {
        const T* state = memory + 3 * w * kTile + q;
        total.add(state[0], state[kTile], state[2 * kTile]);
      }
      double* sum = problem.sums + 3 * share * problem.tiles * kTile + tile * kTile + q;
      sum[0] = total.reference;
      sum[problem.tiles * kTile] = total.high;
      sum[2 * problem.tiles * kTile] = total.low;
    }
    __syncthreads();
  }
}

template <typename Layout, typename T>
__global__ void fold_component_shares(ComponentProblem<T> problem, Matrix<const T> points,
                                      const ComponentChecks* checks, Vector<double> log_sum) {
  if (checks->infinite_offset != ~0ull || !Layout::template in_range<T>(*checks, problem.dim))
    return;
  for (int64_t i = first_index(); i < log_sum.size; i += index_stride()) {
    ScaledSum total;
    for (int64_t share = 0; share < problem.shares; ++share) {
      const double* sum = problem.sums + 3 * share * problem.tiles * kTile + i;
      total.add(sum[0], sum[problem.tiles * kTile], sum[2 * problem.tiles * kTile]);
    }
    Extent row;
    for (int64_t k = 0; k < points.cols; ++k)
      row.add(points.data[i * points.row_stride + k * points.col_stride]);
    const double value = row.infinite ? double(-INFINITY) : total.logarithm() + checks->offset();
    log_sum.data[i * log_sum.stride] = checks->nan || row.nan ? double(NAN) : value;
  }
}

// Returns a number of shares that keeps the device busy: 1, or more with at least kMinComponents
// components in each share.
inline int64_t choose_component_shares(int64_t tiles, int64_t components, int multiprocessors) {
  constexpr int64_t kBlocksPerMultiprocessor = 24, kMinComponents = 32;
  const int64_t wanted =
      divide_up(kBlocksPerMultiprocessor * multiprocessors, std::max<int64_t>(tiles, 1));
  return std::clamp<int64_t>(wanted, 1, std::max<int64_t>(components / kMinComponents, 1));
}

template <typename Layout, typename T, typename Components>
Status component_log_sums(const Matrix<const T>& points, const Components& components,
                          Vector<double> log_sum, const Stream& stream) {
  const CurrentDevice current(stream);
  if (!current.status.ok()) return current.status;
  const int64_t dim = points.cols, count = components.centers.rows;
  const int64_t tiles = divide_up(points.rows, kTile);
  const int64_t shares = choose_component_shares(tiles, count, current.multiprocessors);
  const int64_t size = count * Layout::component_values(dim);

  Scratch scratch;
  ComponentChecks* checks = nullptr;
  unsigned* absent = nullptr;
  T *packed_points = nullptr, *packed_components = nullptr;
  double* sums = nullptr;
  scratch.add(checks, 1);
  scratch.add(absent, count);
  scratch.add(packed_points, tiles * kTile * dim);
  scratch.add(packed_components, size);
  scratch.add(sums, 3 * shares * tiles * kTile);
  if (Status status = scratch.allocate(stream); !status.ok()) return status;
  const std::vector<ComponentChecks> initial(1);
  Status status = upload(checks, initial, stream);
  if (status.ok())
    status = status_of(cudaMemsetAsync(absent, 0, size_t(count) * sizeof *absent, handle(stream)));
  if (status.ok())
    status =
        status_of(cudaMemsetAsync(packed_components, 0, size_t(size) * sizeof(T), handle(stream)));
  if (status.ok())
    status = launch_each(check_points<T>, std::min<int64_t>(points.rows, 1 << 18), stream, points,
                         checks);
  if (status.ok())
    status = launch_each(check_components<Layout, Components>, count * dim, stream, components,
                         checks, absent);
  if (status.ok())
    status = launch_each(pack_tiles<kTile, T>, tiles * dim * kTile, stream, points, tiles,
                         packed_points);
  if (status.ok())
    status = launch_each(pack_components<Layout, Components, T>, count * dim, stream, components,
                         checks, absent, packed_components);
  const ComponentProblem<T> problem{.points = packed_points,
                                    .components = packed_components,
                                    .dim = dim,
                                    .count = count,
                                    .tiles = tiles,
                                    .shares = shares,
                                    .scale = Scale<T>(T(kLog2E / 2)),  // of exp(-distance / 2)
                                    .sums = sums};
  if (status.ok())
    status = launch(sum_components<Layout, T>, tiles * shares, kWarps * kLanes,
                    3 * kWarps * kTile * sizeof(T), stream, problem);
  if (status.ok())
    status = launch_each(fold_component_shares<Layout, T>, log_sum.size, stream, problem, points,
                         checks, log_sum);
  if (status.ok()) status = finish(stream);
  ComponentChecks result;
  if (status.ok()) status = download(&result, checks, 1, stream);
  if (!status.ok()) return status;
  if (result.infinite_offset != ~0ull)
    return Status::bad_value("offsets: got inf at index " + std::to_string(result.infinite_offset) +
                             ", wanted numbers below it");
  if (!Layout::template in_range<T>(result, dim))
    return Status::bad_value(std::string("points: got finite values ") + Layout::kRefusal +
                             "; shift points and centers towards 0, or use float64");
  return {};
}

}  // namespace layerbits::cuda
