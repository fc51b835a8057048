// The functions of lanes.h for registers of SSE2, the baseline of x86-64. SSE2 has no fused
// multiply-add: fma rounds twice, so only this level differs from the other levels in bits.
#pragma once

#include <emmintrin.h>

namespace {

// The sums of one block take 8 of 16 registers.
constexpr int kBlocksAtOnce = 1;
constexpr int kPowersAtOnce = 2;

template <>
struct Lanes<float> {
  using Register = __m128;
  static constexpr int kCount = 4;
};

template <>
struct Lanes<double> {
  using Register = __m128d;
  static constexpr int kCount = 2;
};

inline __m128 load(const float* p) { return _mm_loadu_ps(p); }
inline __m128d load(const double* p) { return _mm_loadu_pd(p); }
inline __m128d load_double(const float* p) { return _mm_set_pd(p[1], p[0]); }
inline void store(float* p, __m128 a) { _mm_storeu_ps(p, a); }
inline void store(double* p, __m128d a) { _mm_storeu_pd(p, a); }
inline __m128 broadcast(float a) { return _mm_set1_ps(a); }
inline __m128d broadcast(double a) { return _mm_set1_pd(a); }
inline __m128 fma(__m128 a, __m128 b, __m128 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
inline __m128d fma(__m128d a, __m128d b, __m128d c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }
inline __m128 min(__m128 a, __m128 b) { return _mm_min_ps(a, b); }
inline __m128d min(__m128d a, __m128d b) { return _mm_min_pd(a, b); }
inline __m128 max(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
inline __m128d max(__m128d a, __m128d b) { return _mm_max_pd(a, b); }
inline __m128 square_root(__m128 a) { return _mm_sqrt_ps(a); }
inline __m128d square_root(__m128d a) { return _mm_sqrt_pd(a); }

inline bool any_less(__m128 a, __m128 b) { return _mm_movemask_ps(_mm_cmplt_ps(a, b)) != 0; }
inline bool any_less(__m128d a, __m128d b) { return _mm_movemask_pd(_mm_cmplt_pd(a, b)) != 0; }
inline bool any_not_greater(__m128 a, __m128 b) {
  return _mm_movemask_ps(_mm_cmpngt_ps(a, b)) != 0;
}
inline bool any_not_greater(__m128d a, __m128d b) {
  return _mm_movemask_pd(_mm_cmpngt_pd(a, b)) != 0;
}
inline __m128 where_less(__m128 a, __m128 b, __m128 yes, __m128 no) {
  const __m128 mask = _mm_cmplt_ps(a, b);
  return _mm_or_ps(_mm_and_ps(mask, yes), _mm_andnot_ps(mask, no));
}
inline __m128d where_less(__m128d a, __m128d b, __m128d yes, __m128d no) {
  const __m128d mask = _mm_cmplt_pd(a, b);
  return _mm_or_pd(_mm_and_pd(mask, yes), _mm_andnot_pd(mask, no));
}

inline __m128 low_bits_to_exponent(__m128 a) {
  return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(a), 23));
}
inline __m128d low_bits_to_exponent(__m128d a) {
  return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(a), 52));
}

inline __m128d exponent_of(__m128d a) {
  const __m128i biased = _mm_srli_epi64(_mm_castpd_si128(a), 52);
  const __m128i integer = _mm_or_si128(biased, _mm_castpd_si128(_mm_set1_pd(0x1p52)));
  return _mm_castsi128_pd(integer) - _mm_set1_pd(0x1p52 + 1023);
}
inline __m128d mantissa_of(__m128d a) {
  const __m128d bits = _mm_castsi128_pd(_mm_set1_epi64x((1LL << 52) - 1));
  return _mm_or_pd(_mm_and_pd(a, bits), _mm_set1_pd(1));
}

}  // namespace
