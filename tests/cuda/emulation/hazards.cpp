// A program that calls every operation on problems of many shapes, under the checker of the build
// (see cuda_runtime.h); each array has its own allocation. With the name of a fault as argument,
// the program runs a small kernel with this fault instead, which the checker must detect.
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../../../csrc/cuda/device.h"

namespace layerbits::cuda {
namespace {

// An array whose accesses are checked.
template <typename T>
class Array {
 public:
  Array(size_t size, bool written) : size_(size), values_(new T[size]) {
    emulation::watch(data(), size * sizeof(T), written);
  }
  ~Array() { emulation::forget(data(), size_ * sizeof(T)); }
  T* data() const { return values_.get(); }

 private:
  size_t size_;
  std::unique_ptr<T[]> values_;
};

// Rows, with gaps between them if the stride is larger than their length.
template <typename T>
class Rows {
 public:
  Rows(int64_t rows, int64_t cols, int64_t stride, bool written)
      : rows_(rows), cols_(cols), stride_(stride), values_(size_t(rows * stride), written) {}

  template <typename F>
  void fill(const F& value) {
    for (int64_t i = 0; i < rows_ * stride_; ++i) values_.data()[i] = value(i);
  }
  template <typename U = T>
  Matrix<U> matrix() const {
    return {values_.data(), rows_, cols_, stride_, 1};
  }
  template <typename U = T>
  Vector<U> vector() const {
    return {values_.data(), rows_, stride_};
  }

 private:
  int64_t rows_, cols_, stride_;
  Array<T> values_;
};

// A stream whose scratch memory is checked.
struct Host {
  Host() {
    stream.allocate = [this](size_t bytes) {
      memory = std::make_unique<Array<double>>(bytes / sizeof(double) + 2, false);
      return memory->data() + 1;  // aligned only to a double
    };
  }
  Stream stream;
  std::unique_ptr<Array<double>> memory;
};

bool passed = true;

void expect(const Status& status) {
  if (status.ok()) return;
  passed = false;
  std::fprintf(stderr, "%s\n", status.message.c_str());
}

struct Sizes {
  int64_t points, centers, dim;
  std::vector<int64_t> point_offsets, center_offsets;
};

template <typename T>
void call_all(const Sizes& sizes, bool weighted, std::mt19937& random) {
  const auto [m, n, d, point_offsets, center_offsets] = sizes;
  std::normal_distribution<double> normal;
  const auto random_value = [&](int64_t) { return T(normal(random)); };
  Host host;
  Rows<T> points(m, d, d + 1, true), centers(n, d, d, true), weights(n, 1, 2, true);
  points.fill(random_value), centers.fill(random_value);
  weights.fill([](int64_t j) { return T((j + 1) % 3); });
  Rows<double> log_sum(m, 1, 1, false), upstream(m, 1, 1, true), d_sigma(m, 1, 1, false);
  upstream.fill([](int64_t i) { return double(i % 4) - 1; });
  Rows<T> d_points(m, d, d, false), d_centers(n, d, d + 3, false), d_weights(n, 1, 1, false);
  const auto groups = [](const std::vector<int64_t>& offsets, int64_t rows) {
    return Groups{{offsets.empty() ? nullptr : offsets.data(), int64_t(offsets.size()), 1}, rows};
  };
  const Mixture<T> mixture{points.template matrix<const T>(),
                           centers.template matrix<const T>(),
                           weighted ? weights.template vector<const T>() : Vector<const T>{},
                           0.7,
                           groups(point_offsets, m),
                           groups(center_offsets, n)};
  expect(log_sum_exp_isotropic(mixture, log_sum.vector(), host.stream));
  if (point_offsets.empty() && d <= kPrunedDims) {
    const auto reversed = [](int64_t rows) { return [rows](int64_t i) { return rows - 1 - i; }; };
    Rows<int64_t> point_order(m, 1, 1, true), center_order(n, 1, 2, true);
    point_order.fill(reversed(m)), center_order.fill([&](int64_t i) { return n - 1 - i / 2; });
    Mixture<T> narrow = mixture;
    narrow.sigma = 0.01;
    double summed_share = 0;
    for (const Mixture<T>& problem : {narrow, mixture})
      expect(pruned_log_sum_exp(problem, point_order.vector<const int64_t>(),
                                center_order.vector<const int64_t>(), 1e-3, log_sum.vector(),
                                summed_share, host.stream));
  }
  Gradient<T> gradient{log_sum.vector<const double>(),
                       upstream.vector<const double>(),
                       d_points.matrix(),
                       d_centers.matrix(),
                       d_weights.vector(),
                       d_sigma.vector()};
  expect(log_sum_exp_isotropic_gradient(mixture, gradient, host.stream));
  gradient.d_points = {}, gradient.d_centers = {};
  expect(log_sum_exp_isotropic_gradient(mixture, gradient, host.stream));
  if (weighted || !point_offsets.empty()) return;

  const int64_t streams = std::min<int64_t>(n, 130);  // more than a launch takes
  Rows<T> noise(streams, 11, 13, false);
  const std::vector<uint64_t> keys(size_t(streams), 7);
  for (const int64_t first : {0, 3})
    expect(standard_normal(noise.matrix(), keys, first, host.stream));

  Rows<T> values(m, 1, 2, true);
  values.fill([](int64_t) { return T(0.5); });
  for (const bool powers : {false, true}) {
    int64_t operations = 0;
    expect(peak(values.vector(), 3, powers, operations, host.stream));
  }

  const int64_t components = std::min<int64_t>(n, 70);
  Rows<T> factors(components * d, d, d, true), offsets(components, 1, 1, true);
  factors.fill(random_value), offsets.fill(random_value);
  const Matrix<const T> rows = factors.template matrix<const T>();
  const Components<T> mixture_components{{centers.matrix().data, components, d, d, 1},
                                         {rows.data, d * rows.row_stride, rows.row_stride, 1},
                                         offsets.template vector<const T>()};
  expect(log_sum_exp_full(points.template matrix<const T>(), mixture_components, log_sum.vector(),
                          host.stream));

  Rows<T> scales(components, d, d, true);
  scales.fill(random_value);
  const DiagonalComponents<T> diagonal_components{mixture_components.centers,
                                                  scales.template matrix<const T>(),
                                                  offsets.template vector<const T>()};
  expect(log_sum_exp_diagonal(points.template matrix<const T>(), diagonal_components,
                              log_sum.vector(), host.stream));

  Rows<int64_t> labels(m, 1, 1, true);
  labels.fill([](int64_t i) { return i % 3; });
  for (const Metric metric : {Metric::kEuclidean, Metric::kCosine})
    // Shared memory holds several copies of the counts, one copy, or none.
    for (const int64_t bins : {3, 2000, 9000}) {
      std::vector<double> edges(size_t(bins) + 1);
      for (int64_t b = 0; b <= bins; ++b) edges[size_t(b)] = 2.0 * double(b) / double(bins);
      Rows<int64_t> counts(bins + 2, 2, 2, false);
      expect(distance_histogram(points.template matrix<const T>(), labels.vector<const int64_t>(),
                                {edges.data(), bins + 1, 1}, metric, counts.matrix(), host.stream));
      double largest = 0;
      expect(largest_distance(points.template matrix<const T>(), metric, largest, host.stream));
    }
}

void call_all() {
  std::mt19937 random(0);
  for (const bool weighted : {false, true})
    for (const Sizes& sizes : std::vector<Sizes>{{1, 1, 1, {}, {}},
                                                 {9, 70, 3, {}, {}},
                                                 {140, 900, 2, {}, {}},
                                                 {67, 130, 10, {}, {}},
                                                 {70, 90, 33, {}, {}},
                                                 {3, 600, 65, {}, {}},
                                                 {20, 31, 5, {0, 3, 3, 20}, {0, 20, 24, 31}},
                                                 {130, 131, 4, {0, 129, 130}, {0, 66, 131}}}) {
      call_all<float>(sizes, weighted, random);
      call_all<double>(sizes, weighted, random);
    }
}

// Kernels with one fault each.
__global__ void race_in_a_block(int* out) {
  int* const shared = shared_memory<int>();
  shared[threadIdx.x] = int(threadIdx.x);
  if (threadIdx.x > 0) out[first_index()] = shared[threadIdx.x - 1];
}
__global__ void race_of_blocks(int* out) { out[threadIdx.x] = int(blockIdx.x); }
__global__ void race_with_an_atomic(int* out) {
  if (threadIdx.x == 0)
    atomicAdd(out, 1);
  else if (*out > 0)
    out[1] = 1;
}
__global__ void never_written(int* out) {
  const int* const shared = shared_memory<int>();
  if (threadIdx.x == 0) out[0] = shared[1];
}
__global__ void shared_out_of_bounds(int* out) {
  out[first_index()] = shared_memory<int>()[threadIdx.x + 4];
}
__global__ void out_of_bounds(int* out) { out[first_index() + 4] = 0; }
struct alignas(16) Wide {
  int values[4];
};
__global__ void misaligned(int* out) { *reinterpret_cast<Wide*>(out + 1) = {}; }
__global__ void divergent_barrier(int* out) {
  if (threadIdx.x > 1) __syncthreads();
  out[first_index()] = 0;
}

Status plant(const std::string& fault) {
  using Kernel = void (*)(int*);
  const std::vector<std::pair<std::string, Kernel>> faults = {
      {"race_in_a_block", race_in_a_block},
      {"race_of_blocks", race_of_blocks},
      {"race_with_an_atomic", race_with_an_atomic},
      {"never_written", never_written},
      {"shared_out_of_bounds", shared_out_of_bounds},
      {"out_of_bounds", out_of_bounds},
      {"misaligned", misaligned},
      {"divergent_barrier", divergent_barrier}};
  Host host;
  Scratch scratch;
  int *out = nullptr, *behind = nullptr;
  scratch.add(out, 64);
  scratch.add(behind, 64);
  if (Status status = scratch.allocate(host.stream); !status.ok()) return status;
  if (Status status = status_of(cudaMemsetAsync(out, 0, 64 * sizeof *out, nullptr)); !status.ok())
    return status;
  for (const auto& [name, kernel] : faults)
    if (name == fault) return launch(kernel, 16, 4, 16, host.stream, out);
  return Status::bad_value("unknown fault " + fault);
}

}  // namespace
}  // namespace layerbits::cuda

int main(int count, char** arguments) {
  using namespace layerbits::cuda;
  if (count > 1)
    expect(plant(arguments[1]));
  else
    call_all();
  return passed ? 0 : 2;
}
