# layerbits_add_kernels(target): adds the SIMD kernels, compiled once for each ISA level that this compiler can emit.
#
# The first level of an architecture is its ABI baseline and needs no flags. -ffp-contract=off: the kernels state which
# products and sums are one fma, so that AVX2 and AVX-512 agree in bits.
include(CheckCXXCompilerFlag)

function(_layerbits_add_level target name)
  set(flags ${ARGN})
  string(TOUPPER ${name} upper)
  string(SUBSTRING ${upper} 0 1 head) # kKernelsAvx512
  string(SUBSTRING ${name} 1 -1 tail)
  if(flags)
    string(REPLACE ";" " " joined "${flags}")
    set(CMAKE_REQUIRED_QUIET ON)
    check_cxx_compiler_flag("${joined}" LAYERBITS_COMPILER_EMITS_${upper})
    if(NOT LAYERBITS_COMPILER_EMITS_${upper})
      message(STATUS "layerbits: this compiler cannot emit ${name}; built without this level")
      return()
    endif()
  endif()
  set(object layerbits_kernels_${name})
  add_library(${object} OBJECT csrc/cpu/simd/kernels.cpp)
  target_compile_features(${object} PRIVATE cxx_std_20)
  target_compile_options(${object} PRIVATE ${flags} -O3 -ffp-contract=off -fno-math-errno)
  target_compile_definitions(
    ${object} PRIVATE LAYERBITS_LEVEL_${upper} LAYERBITS_LEVEL="${name}"
                      LAYERBITS_TABLE=kKernels${head}${tail})
  set_target_properties(${object} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden)
  layerbits_harden(${object})
  layerbits_set_warnings(${object})
  # No level uses every function of lanes.h. GCC's AVX-512 headers cause the other two warnings (GCC bug 105593).
  target_compile_options(${object} PRIVATE -Wno-unused-function -Wno-uninitialized
                                           $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
  target_compile_definitions(${target} PRIVATE LAYERBITS_HAS_${upper})
endfunction()

function(layerbits_add_kernels target)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    _layerbits_add_level(${target} sse2)
    _layerbits_add_level(${target} avx2 -mavx2 -mfma)
    _layerbits_add_level(${target} avx512 -mavx512f -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
    _layerbits_add_level(${target} neon)
  else()
    message(FATAL_ERROR "layerbits: no kernels for ${CMAKE_SYSTEM_PROCESSOR}; wanted x86-64 or aarch64")
  endif()
endfunction()
