// The peak of multiply-adds of this machine, to which benchmarks compare the kernels.
#include <algorithm>
#include <atomic>

#include "cpu_operations.h"
#include "dispatch.h"

namespace layerbits {

template <typename T>
Status multiply_adds(int64_t pieces, bool additions, double& values, Execution execution) {
  const KernelTable* table = nullptr;
  if (Status status = find_level(execution.level, table); !status.ok()) return status;
  const Kernels<T>& kernels = kernels_of<T>(*table);
  const auto kernel = additions ? kernels.multiply_adds_and_additions : kernels.multiply_adds;
  std::atomic<int64_t> computed{0};
  Status status = parallel_for(execution.threads, pieces, execution.cancellation, [&](int64_t) {
    constexpr int64_t kSteps = int64_t(1) << 16;
    T lanes[kMaxLanes];
    std::fill_n(lanes, kMaxLanes, T(0.5));
    computed += kernel(kSteps, lanes);
  });
  values = double(computed);
  return status;
}

template Status multiply_adds<float>(int64_t, bool, double&, Execution);
template Status multiply_adds<double>(int64_t, bool, double&, Execution);

}  // namespace layerbits
