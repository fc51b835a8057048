// The operations of the CUDA back end; api/operations.h has their arguments and contract. Views
// refer to memory of the stream's device, except offsets of groups and edges of bins, which the
// host reads. An operation puts its kernels on the caller's stream, waits for them and reports bad
// values; after Ctrl-C it returns while the device completes them. standard_normal and peak check
// no values and return at once. A repeated call on a device of the same model has the same bits.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "../api/operations.h"
#include "../api/status.h"

namespace layerbits::cuda {

struct Stream {
  int device = 0;
  void* handle = nullptr;                      // a cudaStream_t
  std::function<void*(std::size_t)> allocate;  // device memory for the stream; null if it fails
  std::function<bool()> interrupted;
};

struct Device {
  std::string name;
  int major = 0, minor = 0;
  std::string reason;  // why the device is not usable; empty if it is usable
};

// Lists the devices of this machine. Fails without a driver or a device.
Status find_devices(std::vector<Device>& devices);

template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, Vector<double> log_sum,
                             const Stream& stream);

// Computes log_sum_exp_isotropic for a single group with points and centers, in 1 to kPrunedDims
// dimensions. Omits pairs that together change no result by more than the error tolerance, in nats;
// 0 stands for the unit roundoff of T. The orders are permutations of the rows; rows that follow
// one another in them are close in space. `summed_share` becomes the share of the pairs of tiles
// that are summed.
inline constexpr int64_t kPrunedDims = 32;
template <typename T>
Status pruned_log_sum_exp(const Mixture<T>& mixture, Vector<const int64_t> point_order,
                          Vector<const int64_t> center_order, double error_tolerance,
                          Vector<double> log_sum, double& summed_share, const Stream& stream);

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      const Stream& stream);

template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Components<T>& components,
                        Vector<double> log_sum, const Stream& stream);

template <typename T>
Status log_sum_exp_diagonal(const Matrix<const T>& points, const DiagonalComponents<T>& components,
                            Vector<double> log_sum, const Stream& stream);

template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          const Stream& stream);

template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest,
                        const Stream& stream);

// Fills row i with the values at positions first, first + 1, ... of the random stream keys[i].
template <typename T>
Status standard_normal(const Matrix<T>& values, const std::vector<uint64_t>& keys, int64_t first,
                       const Stream& stream);

// Computes multiply-adds, or powers of two if `powers`, in a thread for each value; returns at
// once. Writes the results to `values`, so that the compiler removes no arithmetic. `count` becomes
// the number of multiply-adds or powers.
template <typename T>
Status peak(Vector<T> values, int64_t steps, bool powers, int64_t& count, const Stream& stream);

}  // namespace layerbits::cuda
