// The functions of lanes.h for registers of AVX-512 (F, DQ, VL).
#pragma once

#include <immintrin.h>

namespace {

// The sums of two blocks take 16 of 32 registers. A core with two pipes of multiply-adds and a
// latency of 4 cycles needs at least eight independent sums; sixteen are 10 to 20 % faster on
// Zen 5.
constexpr int kBlocksAtOnce = 2;
constexpr int kPowersAtOnce = 2;

template <>
struct Lanes<float> {
  using Register = __m512;
  static constexpr int kCount = 16;
};

template <>
struct Lanes<double> {
  using Register = __m512d;
  static constexpr int kCount = 8;
};

inline __m512 load(const float* p) { return _mm512_loadu_ps(p); }
inline __m512d load(const double* p) { return _mm512_loadu_pd(p); }
inline __m512d load_double(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
inline void store(float* p, __m512 a) { _mm512_storeu_ps(p, a); }
inline void store(double* p, __m512d a) { _mm512_storeu_pd(p, a); }
inline __m512 broadcast(float a) { return _mm512_set1_ps(a); }
inline __m512d broadcast(double a) { return _mm512_set1_pd(a); }
inline __m512 fma(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
inline __m512d fma(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }
inline __m512 min(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
inline __m512d min(__m512d a, __m512d b) { return _mm512_min_pd(a, b); }
inline __m512 max(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
inline __m512d max(__m512d a, __m512d b) { return _mm512_max_pd(a, b); }
inline __m512 square_root(__m512 a) { return _mm512_sqrt_ps(a); }
inline __m512d square_root(__m512d a) { return _mm512_sqrt_pd(a); }

inline bool any_less(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ) != 0; }
inline bool any_less(__m512d a, __m512d b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ) != 0; }
inline bool any_not_greater(__m512 a, __m512 b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ) != 0;
}
inline bool any_not_greater(__m512d a, __m512d b) {
  return _mm512_cmp_pd_mask(a, b, _CMP_NGT_UQ) != 0;
}
inline __m512 where_less(__m512 a, __m512 b, __m512 yes, __m512 no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline __m512d where_less(__m512d a, __m512d b, __m512d yes, __m512d no) {
  return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), no, yes);
}

inline __m512 low_bits_to_exponent(__m512 a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
inline __m512d low_bits_to_exponent(__m512d a) {
  return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), 52));
}

inline __m512d exponent_of(__m512d a) {
  const __m512i biased = _mm512_srli_epi64(_mm512_castpd_si512(a), 52);
  const __m512i integer = _mm512_or_epi64(biased, _mm512_castpd_si512(_mm512_set1_pd(0x1p52)));
  return _mm512_castsi512_pd(integer) - _mm512_set1_pd(0x1p52 + 1023);
}
inline __m512d mantissa_of(__m512d a) {
  const __m512i bits = _mm512_and_epi64(_mm512_castpd_si512(a), _mm512_set1_epi64((1LL << 52) - 1));
  return _mm512_castsi512_pd(_mm512_or_epi64(bits, _mm512_castpd_si512(_mm512_set1_pd(1))));
}

}  // namespace
