// The ISA levels that this build contains and this machine can run.
#pragma once

#include <string_view>
#include <vector>

#include "../api/status.h"
#include "kernel_table.h"

namespace layerbits {

// The levels of this build that the CPU and the operating system support, best first; never empty.
const std::vector<const KernelTable*>& usable_levels();

// Finds the table for `level`. For an empty name this is the best level up to LAYERBITS_MAX_ISA, or
// the lowest level of this machine if all levels exceed LAYERBITS_MAX_ISA.
Status find_level(std::string_view level, const KernelTable*& table);

template <typename T>
const Kernels<T>& kernels_of(const KernelTable& table) {
  if constexpr (sizeof(T) == sizeof(float))
    return table.f32;
  else
    return table.f64;
}

}  // namespace layerbits
