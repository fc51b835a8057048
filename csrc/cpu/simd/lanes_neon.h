// The functions of lanes.h for registers of NEON, the baseline of aarch64. min and max compare and
// select: vminq returns NaN if one operand is NaN, where lanes.h requires the second operand.
#pragma once

#include <arm_neon.h>

namespace {

// The sums of two blocks take 16 of 32 registers, enough to hide the latency of fma.
constexpr int kBlocksAtOnce = 2;
constexpr int kPowersAtOnce = 2;

template <>
struct Lanes<float> {
  using Register = float32x4_t;
  static constexpr int kCount = 4;
};

template <>
struct Lanes<double> {
  using Register = float64x2_t;
  static constexpr int kCount = 2;
};

inline float32x4_t load(const float* p) { return vld1q_f32(p); }
inline float64x2_t load(const double* p) { return vld1q_f64(p); }
inline float64x2_t load_double(const float* p) { return vcvt_f64_f32(vld1_f32(p)); }
inline void store(float* p, float32x4_t a) { vst1q_f32(p, a); }
inline void store(double* p, float64x2_t a) { vst1q_f64(p, a); }
inline float32x4_t broadcast(float a) { return vdupq_n_f32(a); }
inline float64x2_t broadcast(double a) { return vdupq_n_f64(a); }
inline float32x4_t fma(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
inline float64x2_t fma(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }

inline float32x4_t where_less(float32x4_t a, float32x4_t b, float32x4_t yes, float32x4_t no) {
  return vbslq_f32(vcltq_f32(a, b), yes, no);
}
inline float64x2_t where_less(float64x2_t a, float64x2_t b, float64x2_t yes, float64x2_t no) {
  return vbslq_f64(vcltq_f64(a, b), yes, no);
}
inline float32x4_t min(float32x4_t a, float32x4_t b) { return where_less(a, b, a, b); }
inline float64x2_t min(float64x2_t a, float64x2_t b) { return where_less(a, b, a, b); }
inline float32x4_t max(float32x4_t a, float32x4_t b) { return where_less(b, a, a, b); }
inline float64x2_t max(float64x2_t a, float64x2_t b) { return where_less(b, a, a, b); }
inline float32x4_t square_root(float32x4_t a) { return vsqrtq_f32(a); }
inline float64x2_t square_root(float64x2_t a) { return vsqrtq_f64(a); }

inline bool any_less(float32x4_t a, float32x4_t b) { return vmaxvq_u32(vcltq_f32(a, b)) != 0; }
inline bool any_less(float64x2_t a, float64x2_t b) {
  return vmaxvq_u32(vreinterpretq_u32_u64(vcltq_f64(a, b))) != 0;
}
inline bool any_not_greater(float32x4_t a, float32x4_t b) {
  return vminvq_u32(vcgtq_f32(a, b)) == 0;
}
inline bool any_not_greater(float64x2_t a, float64x2_t b) {
  return vminvq_u32(vreinterpretq_u32_u64(vcgtq_f64(a, b))) == 0;
}

inline float32x4_t low_bits_to_exponent(float32x4_t a) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a), 23));
}
inline float64x2_t low_bits_to_exponent(float64x2_t a) {
  return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(a), 52));
}

inline float64x2_t exponent_of(float64x2_t a) {
  const uint64x2_t biased = vshrq_n_u64(vreinterpretq_u64_f64(a), 52);
  return vcvtq_f64_u64(biased) - vdupq_n_f64(1023);
}
inline float64x2_t mantissa_of(float64x2_t a) {
  const uint64x2_t bits = vandq_u64(vreinterpretq_u64_f64(a), vdupq_n_u64((1ULL << 52) - 1));
  return vreinterpretq_f64_u64(vorrq_u64(bits, vreinterpretq_u64_f64(vdupq_n_f64(1))));
}

}  // namespace
