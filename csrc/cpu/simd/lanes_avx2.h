// The functions of lanes.h for registers of AVX2 with FMA. The kernels are one source for all
// levels and call these functions.
#pragma once

#include <immintrin.h>

namespace {

// The sums of one block take 8 of 16 registers.
constexpr int kBlocksAtOnce = 1;
// 8 was faster than 2 and 4 on Zen 3.
constexpr int kPowersAtOnce = 8;

template <>
struct Lanes<float> {
  using Register = __m256;
  static constexpr int kCount = 8;
};

template <>
struct Lanes<double> {
  using Register = __m256d;
  static constexpr int kCount = 4;
};

inline __m256 load(const float* p) { return _mm256_loadu_ps(p); }
inline __m256d load(const double* p) { return _mm256_loadu_pd(p); }
inline __m256d load_double(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
inline void store(float* p, __m256 a) { _mm256_storeu_ps(p, a); }
inline void store(double* p, __m256d a) { _mm256_storeu_pd(p, a); }
inline __m256 broadcast(float a) { return _mm256_set1_ps(a); }
inline __m256d broadcast(double a) { return _mm256_set1_pd(a); }
inline __m256 fma(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
inline __m256d fma(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }
inline __m256 min(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
inline __m256d min(__m256d a, __m256d b) { return _mm256_min_pd(a, b); }
inline __m256 max(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
inline __m256d max(__m256d a, __m256d b) { return _mm256_max_pd(a, b); }
inline __m256 square_root(__m256 a) { return _mm256_sqrt_ps(a); }
inline __m256d square_root(__m256d a) { return _mm256_sqrt_pd(a); }

inline bool any_less(__m256 a, __m256 b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)) != 0;
}
inline bool any_less(__m256d a, __m256d b) {
  return _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ)) != 0;
}
inline bool any_not_greater(__m256 a, __m256 b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ)) != 0;
}
inline bool any_not_greater(__m256d a, __m256d b) {
  return _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_NGT_UQ)) != 0;
}
inline __m256 where_less(__m256 a, __m256 b, __m256 yes, __m256 no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline __m256d where_less(__m256d a, __m256d b, __m256d yes, __m256d no) {
  return _mm256_blendv_pd(no, yes, _mm256_cmp_pd(a, b, _CMP_LT_OQ));
}

inline __m256 low_bits_to_exponent(__m256 a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
inline __m256d low_bits_to_exponent(__m256d a) {
  return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a), 52));
}

inline __m256d exponent_of(__m256d a) {
  const __m256i biased = _mm256_srli_epi64(_mm256_castpd_si256(a), 52);
  const __m256i integer = _mm256_or_si256(biased, _mm256_castpd_si256(_mm256_set1_pd(0x1p52)));
  return _mm256_castsi256_pd(integer) - _mm256_set1_pd(0x1p52 + 1023);
}
inline __m256d mantissa_of(__m256d a) {
  const __m256d bits = _mm256_castsi256_pd(_mm256_set1_epi64x((1LL << 52) - 1));
  return _mm256_or_pd(_mm256_and_pd(a, bits), _mm256_set1_pd(1));
}

}  // namespace
