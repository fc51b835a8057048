// How fast this machine can compute at all: the roof under which the kernels work.
#pragma once

#include "mixture.h"

namespace layerbits {

// Runs `pieces` equal pieces of independent operations in registers, some 0.2 ms each on one core:
// multiply-adds, or with `additions` as many additions beside them. `operations` is how many values
// were computed; a multiply-add computes one. The caller holds the clock.
template <typename T>
Status multiply_adds(int64_t pieces, bool additions, double& operations, Execution execution);

}  // namespace layerbits
