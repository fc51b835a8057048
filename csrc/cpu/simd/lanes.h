// The functions of vector registers that the kernels use, for the ISA level of this compilation.
// The operators + - * / are those of the register types. Kernels contain no intrinsics.
//
//   load, store                       from and to unaligned memory
//   broadcast                         one value in all lanes
//   load_double                       as many floats as a register holds doubles, converted
//   fma(a, b, c)                      a * b + c, rounded once (twice on SSE2)
//   square_root                       rounded once
//   min, max                          the second operand if either operand is NaN
//   any_less(a, b)                    whether a < b in a lane
//   any_not_greater(a, b)             whether a > b is false in a lane, as for NaN
//   where_less(a, b, yes, no)         yes in lanes with a < b, no in the other lanes
//   low_bits_to_exponent(a)           the bits of a, shifted left by the width of the mantissa
//   exponent_of(a), mantissa_of(a)    a = mantissa 2^exponent, mantissa in [1, 2), for positive,
//                                     normal doubles
#pragma once

#include <float.h>

namespace {

template <typename T>
struct Lanes;

template <typename T>
constexpr T kLargest = FLT_MAX;
template <>
constexpr double kLargest<double> = DBL_MAX;

}  // namespace

// GCC keeps an array in registers only if it unrolls the loops over it early.
#if defined(__clang__)
#define LAYERBITS_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LAYERBITS_UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(LAYERBITS_LEVEL_AVX512)
#include "lanes_avx512.h"
#elif defined(LAYERBITS_LEVEL_AVX2)
#include "lanes_avx2.h"
#elif defined(LAYERBITS_LEVEL_SSE2)
#include "lanes_sse2.h"
#elif defined(LAYERBITS_LEVEL_NEON)
#include "lanes_neon.h"
#else
#error "cmake/IsaKernels.cmake defines the level"
#endif
