// The peak rate of a device: multiply-adds, or powers of two, in registers. Benchmarks compare
// kernels with it; no result uses it.
#include "arithmetic.h"
#include "device.h"

namespace layerbits::cuda {
namespace {

// Independent chains of a thread: enough, with the other warps, to hide every latency.
constexpr int kChains = 8;

template <typename T, bool kPowers>
__global__ void __launch_bounds__(kThreads) compute_chains(Vector<T> values, int64_t steps) {
  for (int64_t i = first_index(); i < values.size; i += index_stride()) {
    const T half = values.data[i * values.stride];
    T chain[kChains];
#pragma unroll
    for (int c = 0; c < kChains; ++c) chain[c] = half + T(c);
#pragma unroll 16
    for (int64_t step = 0; step < steps; ++step)
#pragma unroll
      for (int c = 0; c < kChains; ++c)
        chain[c] = kPowers ? exp2_or_zero(chain[c]) : multiply_add(chain[c], half, half);
    T total = 0;
#pragma unroll
    for (int c = 0; c < kChains; ++c) total += chain[c];
    values.data[i * values.stride] = total;
  }
}

}  // namespace

template <typename T>
Status peak(Vector<T> values, int64_t steps, bool powers, int64_t& count, const Stream& stream) {
  const CurrentDevice current(stream);
  count = values.size * steps * kChains;
  if (!current.status.ok()) return current.status;
  return launch_each(powers ? compute_chains<T, true> : compute_chains<T, false>, values.size,
                     stream, values, steps);
}

template Status peak(Vector<float>, int64_t, bool, int64_t&, const Stream&);
template Status peak(Vector<double>, int64_t, bool, int64_t&, const Stream&);

}  // namespace layerbits::cuda
