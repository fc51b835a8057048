// Standard normal values from a counter-based generator. Philox4x32-10 computes four words from a
// key and a counter (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC
// 2011). The Box-Muller transform computes two values from two words (float) or from four (double).
// A value depends only on the key and on its position in the stream.
#include <algorithm>

#include "device.h"

namespace layerbits::cuda {
namespace {

constexpr int kMaxKeys = 128;  // a launch has at most 4096 bytes of arguments

struct Keys {
  uint64_t key[kMaxKeys];
};

struct Words {
  uint32_t word[4];
};

__device__ __forceinline__ Words philox(uint64_t key, uint64_t counter) {
  uint32_t a = uint32_t(counter), b = uint32_t(counter >> 32), c = 0, d = 0;
  uint32_t key_low = uint32_t(key), key_high = uint32_t(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t product_a = uint64_t(0xD2511F53u) * a;
    const uint64_t product_c = uint64_t(0xCD9E8D57u) * c;
    a = uint32_t(product_c >> 32) ^ b ^ key_low;
    b = uint32_t(product_c);
    c = uint32_t(product_a >> 32) ^ d ^ key_high;
    d = uint32_t(product_a);
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// The number of values of a counter.
template <typename T>
inline constexpr int kPerCounter = int(16 / sizeof(T));

// The argument of the logarithm is in (0, 1]. In float no value exceeds 6.67 in magnitude, which a
// normal variable does with probability 3e-11; in double no value exceeds 9.42 (5e-21).
__device__ __forceinline__ void box_muller(uint32_t radius, uint32_t angle, float* values) {
  const float length = sqrtf(-2 * logf((float(radius) + 1) * 0x1p-32f));
  float sine, cosine;
  sincospif(float(angle) * 0x1p-31f, &sine, &cosine);
  values[0] = length * cosine;
  values[1] = length * sine;
}

__device__ __forceinline__ void box_muller(uint64_t radius, uint64_t angle, double* values) {
  const double length = sqrt(-2 * log((double(radius) + 1) * 0x1p-64));
  double sine, cosine;
  sincospi(double(angle) * 0x1p-63, &sine, &cosine);
  values[0] = length * cosine;
  values[1] = length * sine;
}

__device__ __forceinline__ void to_normal(const Words& words, float (&values)[4]) {
  box_muller(words.word[0], words.word[1], values);
  box_muller(words.word[2], words.word[3], values + 2);
}

__device__ __forceinline__ void to_normal(const Words& words, double (&values)[2]) {
  box_muller(words.word[0] | uint64_t(words.word[1]) << 32,
             words.word[2] | uint64_t(words.word[3]) << 32, values);
}

// Each stream has row_blocks thread blocks, and each counter a thread.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    fill_normal(Matrix<T> values, Keys keys, int64_t first, int64_t row_blocks) {
  constexpr int kValues = kPerCounter<T>;
  for (int64_t block = blockIdx.x; block < values.rows * row_blocks; block += gridDim.x) {
    const int64_t row = block / row_blocks;
    const int64_t counter = first / kValues + (block - row * row_blocks) * blockDim.x + threadIdx.x;
    T normal[kValues];
    to_normal(philox(keys.key[row], uint64_t(counter)), normal);
#pragma unroll
    for (int k = 0; k < kValues; ++k) {
      const int64_t column = counter * kValues - first + k;
      if (column >= 0 && column < values.cols)
        values.data[row * values.row_stride + column * values.col_stride] = normal[k];
    }
  }
}

}  // namespace

template <typename T>
Status standard_normal(const Matrix<T>& values, const std::vector<uint64_t>& keys, int64_t first,
                       const Stream& stream) {
  const CurrentDevice current(stream);
  Status status = current.status;
  const int64_t counters =
      values.cols == 0 ? 0
                       : (first + values.cols - 1) / kPerCounter<T> - first / kPerCounter<T> + 1;
  const int64_t row_blocks = (counters + kThreads - 1) / kThreads;
  for (int64_t row = 0; status.ok() && row < values.rows; row += kMaxKeys) {
    Matrix<T> rows = values;
    rows.data += row * values.row_stride;
    rows.rows = std::min<int64_t>(kMaxKeys, values.rows - row);
    Keys row_keys{};
    std::copy_n(keys.begin() + row, rows.rows, row_keys.key);
    status = launch(fill_normal<T>, rows.rows * row_blocks, kThreads, 0, stream, rows, row_keys,
                    first, row_blocks);
  }
  return status;
}

template Status standard_normal(const Matrix<float>&, const std::vector<uint64_t>&, int64_t,
                                const Stream&);
template Status standard_normal(const Matrix<double>&, const std::vector<uint64_t>&, int64_t,
                                const Stream&);

}  // namespace layerbits::cuda
