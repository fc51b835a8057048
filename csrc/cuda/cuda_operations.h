// The verbs of core/ on a CUDA device. Views are of memory of that device, but for offsets of
// groups and edges of bins, which the host reads. Each verb puts its work on the caller's stream
// and returns when it is done, with what it has to say of the values; standard_normal, which has
// nothing to say, returns at once. Results are the same in all bits whenever a call is repeated on
// a device of the same kind.
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
  std::function<void*(std::size_t)> allocate;  // device memory for the stream; null where it fails
  std::function<bool()> interrupted;
};

struct Device {
  std::string name;
  int major = 0, minor = 0;
  std::string reason;  // why it is not usable; empty when it is
};

// The devices of this machine. An error where the driver or a device is missing.
Status find_devices(std::vector<Device>& devices);

template <typename T>
Status log_sum_exp_isotropic(const Mixture<T>& mixture, Vector<double> log_sum,
                             const Stream& stream);

// The same for a single group, of 1 to kPrunedDims dimensions and with centers, but for what
// changes no result by more than `tolerance`, in nats; 0: the unit roundoff of T. Orders are
// permutations of the rows that bring together what is near; `taken` gets the share of all pairs
// that were taken.
inline constexpr int64_t kPrunedDims = 32;
template <typename T>
Status pruned_log_sum_exp(const Mixture<T>& mixture, Vector<const int64_t> point_order,
                          Vector<const int64_t> center_order, double tolerance,
                          Vector<double> log_sum, double& taken, const Stream& stream);

template <typename T>
Status log_sum_exp_isotropic_gradient(const Mixture<T>& mixture, const Gradient<T>& gradient,
                                      const Stream& stream);

template <typename T>
Status log_sum_exp_full(const Matrix<const T>& points, const Gaussians<T>& gaussians,
                        Vector<double> log_sum, const Stream& stream);

template <typename T>
Status distance_histogram(const Matrix<const T>& points, Vector<const int64_t> labels,
                          Vector<const double> edges, Metric metric, Matrix<int64_t> counts,
                          const Stream& stream);

template <typename T>
Status largest_distance(const Matrix<const T>& points, Metric metric, double& largest,
                        const Stream& stream);

// Row i becomes the values first, first + 1, ... of the stream keys[i].
template <typename T>
Status standard_normal(const Matrix<T>& values, const std::vector<uint64_t>& keys, int64_t first,
                       const Stream& stream);

// Puts many operations on the stream and returns at once: multiply-adds, or powers of two, with
// each of the values a thread, which it writes so that nothing is left out. `operations`: how many.
template <typename T>
Status peak(Vector<T> values, int64_t steps, bool powers, int64_t& operations,
            const Stream& stream);

}  // namespace layerbits::cuda
