// Standard normal values by counting: Philox4x32-10 makes four words of a key and a counter
// (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011), Box and
// Muller's transform makes two values of two of them (float) or of all four (double). So a value
// depends on the key and on its place in the stream alone.
#include <algorithm>

#include "launch.h"

namespace layerbits::cuda {
namespace {

constexpr int kMostKeys = 128;  // of a launch, whose arguments have 4096 bytes

struct Keys {
  uint64_t key[kMostKeys];
};

struct Words {
  uint32_t word[4];
};

__device__ __forceinline__ Words philox(uint64_t key, uint64_t counter) {
  uint32_t a = uint32_t(counter), b = uint32_t(counter >> 32), c = 0, d = 0;
  uint32_t low_key = uint32_t(key), high_key = uint32_t(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t(0xD2511F53u) * a, second = uint64_t(0xCD9E8D57u) * c;
    a = uint32_t(second >> 32) ^ b ^ low_key;
    b = uint32_t(second);
    c = uint32_t(first >> 32) ^ d ^ high_key;
    d = uint32_t(first);
    low_key += 0x9E3779B9u;
    high_key += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// Values of a counter.
template <typename T>
inline constexpr int kPerCounter = int(16 / sizeof(T));

// The logarithm is of a number in (0, 1] that is never 0: no value exceeds 6.67 in float, where a
// normal one does with probability 3e-11, and 9.42 in double (5e-21).
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

__device__ __forceinline__ void normal_of(const Words& words, float (&values)[4]) {
  box_muller(words.word[0], words.word[1], values);
  box_muller(words.word[2], words.word[3], values + 2);
}

__device__ __forceinline__ void normal_of(const Words& words, double (&values)[2]) {
  box_muller(words.word[0] | uint64_t(words.word[1]) << 32,
             words.word[2] | uint64_t(words.word[3]) << 32, values);
}

// A row of blocks for each stream, a thread for each counter.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    draw_normal(Matrix<T> values, Keys keys, int64_t first, int64_t row_blocks) {
  constexpr int kValues = kPerCounter<T>;
  for (int64_t block = blockIdx.x; block < values.rows * row_blocks; block += gridDim.x) {
    const int64_t row = block / row_blocks;
    const int64_t counter = first / kValues + (block - row * row_blocks) * blockDim.x + threadIdx.x;
    T normal[kValues];
    normal_of(philox(keys.key[row], uint64_t(counter)), normal);
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
  for (int64_t row = 0; status.ok() && row < values.rows; row += kMostKeys) {
    Matrix<T> some = values;
    some.data += row * values.row_stride;
    some.rows = std::min<int64_t>(kMostKeys, values.rows - row);
    Keys mine{};
    std::copy_n(keys.begin() + row, some.rows, mine.key);
    status = launch(draw_normal<T>, some.rows * row_blocks, kThreads, 0, stream, some, mine, first,
                    row_blocks);
  }
  return status;
}

template Status standard_normal(const Matrix<float>&, const std::vector<uint64_t>&, int64_t,
                                const Stream&);
template Status standard_normal(const Matrix<double>&, const std::vector<uint64_t>&, int64_t,
                                const Stream&);

}  // namespace layerbits::cuda
