// Which kernels this build has and this machine can run, best first.
#pragma once

#include <string_view>
#include <vector>

#include "../api/status.h"
#include "kernel_table.h"

namespace layerbits {

// The levels that the CPU and the operating system support, best first; never empty.
const std::vector<const KernelTable*>& usable_levels();

// The table for `level`, or for an empty name the best one that LAYERBITS_MAX_ISA allows.
Status find_level(std::string_view level, const KernelTable*& table);

}  // namespace layerbits
