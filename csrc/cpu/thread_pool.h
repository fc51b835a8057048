// The thread pool. It is our own because a child process with OpenMP hangs after fork, and because
// torch loads another OpenMP runtime.
//
// Workers start at first need and sleep between jobs. A forked child does not use the pool of its
// parent but starts its own. The caller always works on its own job, so that concurrent calls, and
// calls on a machine without spare cores, make progress. A result must not depend on which thread
// runs an item.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "../api/status.h"

namespace layerbits {

// Whether to stop, checked between pieces of work. Only the calling thread polls `interrupted`,
// because Python handles signals only there; the workers read the flag that the caller sets.
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

// Calls work(i) once for every i in [0, items), on up to `threads` threads; stops early if
// cancelled.
Status parallel_for(int threads, int64_t items, Cancellation& cancellation,
                    const std::function<void(int64_t)>& work);

// A thread for every 2^17 operations: to wake a worker costs about as much.
int worthwhile_threads(int threads, double pairs, int64_t dim);

// Cores that the affinity mask and the cgroup's quota grant to this process, at least 1.
int usable_cores();

}  // namespace layerbits
