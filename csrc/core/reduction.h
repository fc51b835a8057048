// Sums over columns for runs of rows, in parallel and with the same bits for every number of
// threads: columns are taken in chunks whose size depends on the dimension alone, and the chunks of
// a row are folded in their order.
//
// A Reduction has: Value (its element type), Total; runs; chunks(run); partial_size(run);
// evaluate(run, chunk, partial, scratch); totals(run) how many; fold(run, partial, totals);
// finish(run, totals).
#pragma once

#include <algorithm>
#include <vector>

#include "packing.h"
#include "thread_pool.h"

namespace layerbits {

// Columns of a chunk: large enough that folding costs nothing, small enough that Ctrl-C is answered
// between chunks.
inline int64_t chunk_blocks(int64_t largest, int64_t dim) {
  return std::clamp<int64_t>((int64_t(1) << 20) / (dim + 16), 64, largest) / kBlock;
}

// A thread more for every 2^17 operations: waking one costs about as much.
inline int worthwhile_threads(int threads, double pairs, int64_t dim) {
  return int(std::clamp(pairs * double(dim + 8) / (1 << 17), 1.0, double(std::max(threads, 1))));
}

template <typename Reduction>
Status reduce(const Reduction& reduction, int threads, Cancellation& cancellation) {
  using Value = typename Reduction::Value;
  using Total = typename Reduction::Total;
  const std::vector<Run>& runs = reduction.runs;
  const int64_t count = int64_t(runs.size());

  if (count >= 8 * int64_t(threads) || threads == 1) {
    const int64_t grain = std::max<int64_t>(1, count / (32 * int64_t(threads)));
    return parallel_for(threads, divide_up(count, grain), cancellation, [&](int64_t item) {
      std::vector<Value> partial, scratch;
      std::vector<Total> totals;
      for (int64_t r = item * grain; r < std::min(count, (item + 1) * grain); ++r) {
        partial.resize(size_t(reduction.partial_size(runs[r])));
        totals.assign(size_t(reduction.totals(runs[r])), Total{});
        for (int64_t c = 0; c < reduction.chunks(runs[r]); ++c) {
          if (cancellation.requested()) return;
          reduction.evaluate(runs[r], c, partial.data(), scratch);
          reduction.fold(runs[r], partial.data(), totals.data());
        }
        reduction.finish(runs[r], totals.data());
      }
    });
  }

  // Few rows against many columns: chunks are the pieces of work, and their partial sums wait to be
  // folded.
  std::vector<int64_t> first_piece(size_t(count) + 1, 0), first_value(size_t(count) + 1, 0);
  for (int64_t r = 0; r < count; ++r) {
    const int64_t chunks = reduction.chunks(runs[r]);
    first_piece[r + 1] = first_piece[r] + chunks;
    first_value[r + 1] = first_value[r] + chunks * reduction.partial_size(runs[r]);
  }
  std::vector<Value> partials(static_cast<size_t>(first_value.back()));
  const auto partial = [&](int64_t r, int64_t chunk) {
    return partials.data() + first_value[r] + chunk * reduction.partial_size(runs[r]);
  };
  Status status = parallel_for(threads, first_piece.back(), cancellation, [&](int64_t piece) {
    const int64_t r =
        std::upper_bound(first_piece.begin(), first_piece.end(), piece) - first_piece.begin() - 1;
    std::vector<Value> scratch;
    const int64_t chunk = piece - first_piece[r];
    reduction.evaluate(runs[r], chunk, partial(r, chunk), scratch);
  });
  if (!status.ok()) return status;
  return parallel_for(threads, count, cancellation, [&](int64_t r) {
    std::vector<Total> totals(size_t(reduction.totals(runs[r])));
    for (int64_t c = 0; c < reduction.chunks(runs[r]); ++c)
      reduction.fold(runs[r], partial(r, c), totals.data());
    reduction.finish(runs[r], totals.data());
  });
}

}  // namespace layerbits
