// A thread pool without OpenMP: GNU OpenMP hangs in a child that is forked after its first use, and
// torch loads another OpenMP runtime.
//
// Workers start at first need and sleep between jobs. A forked child does not use the pool of its
// parent but starts its own. The caller always works on its own job, so that concurrent calls, and
// calls on a machine without spare cores, make progress. A result must not depend on which thread
// runs an item.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

#include "../api/status.h"

namespace layerbits {

// Whether a call must stop, checked between pieces of work. Only the calling thread polls
// `interrupted`, because Python runs handlers of POSIX signals on its main thread only; the workers
// read the flag that the caller sets.
class Cancellation {
 public:
  explicit Cancellation(std::function<bool()> interrupted);
  bool requested();

 private:
  std::function<bool()> interrupted_;
  const std::uint64_t caller_;
  std::int64_t next_poll_;
  std::atomic<bool> requested_{false};
};

// Calls work(i) once for every i in [0, items), on up to `threads` threads; stops early if a
// cancellation is requested or a call of `work` throws.
Status parallel_for(int threads, int64_t items, Cancellation& cancellation,
                    const std::function<void(int64_t)>& work);

// parallel_for for short work: a piece of work is a range of consecutive items.
template <typename Work>
Status parallel_for_short(int threads, int64_t items, Cancellation& cancellation,
                          const Work& work) {
  const int64_t grain = 1 + items / (32 * int64_t(std::max(threads, 1)));
  return parallel_for(threads, (items + grain - 1) / grain, cancellation, [&](int64_t piece) {
    for (int64_t i = piece * grain; i < std::min(items, (piece + 1) * grain); ++i) work(i);
  });
}

// Returns one thread for every 2^17 multiply-adds (about 4 us in float32 with AVX-512), because
// waking a worker takes microseconds; at least 1 and at most `threads`. A pair counts as dim + 8
// multiply-adds.
int worthwhile_threads(int threads, double pairs, int64_t dim);

// Returns the number of cores that affinity mask and cgroup quota allow this process, at least 1.
int usable_cores();

}  // namespace layerbits
