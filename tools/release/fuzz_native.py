"""Call all operations of the native module with random arguments, from several threads, for some minutes.

    python tools/release/fuzz_native.py FOLDER [MINUTES] [SEED]

FOLDER has the module _cpu; neither layerbits nor torch is imported, so that the module may be built with a sanitizer.
Outputs lie between guards, which must not change; inputs must not change either. A call returns, or raises a TypeError
or a ValueError.
"""

from __future__ import annotations

import collections
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]
_GUARD, _MARK = 64, 77  # bytes around an array, and their value
_SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 130, 300)
_WORKERS = 3


class _Calls:
    """Random calls of one thread."""

    def __init__(self, module: Any, seed: int) -> None:
        self._module, self._choice = module, np.random.default_rng(seed)
        self._arrays: list[tuple[_Array, bytes | None]] = []  # memory with guards, and its content if it is an input
        self.counts: collections.Counter[str] = collections.Counter()
        self._levels = ["", *module.levels(), "nonesuch"]

    def call(self) -> None:
        """Make one call, and check the guards and the inputs."""
        self._arrays = []
        operation = self._one_of((self._isotropic, self._gradient, self._full, self._diagonal, self._distances))
        try:
            operation()
            self.counts["returned"] += 1
        except (TypeError, ValueError) as error:
            self.counts[type(error).__name__] += 1
        for memory, content in self._arrays:
            if (memory[:_GUARD] != _MARK).any() or (memory[-_GUARD:] != _MARK).any():
                raise AssertionError(f"{operation.__name__}: wrote beyond an array")
            if content is not None and memory.tobytes() != content:
                raise AssertionError(f"{operation.__name__}: changed an input")

    def _one_of(self, values: Any) -> Any:
        return values[self._choice.integers(len(values))]

    def _rarely(self) -> bool:
        return bool(self._choice.random() < 0.03)

    def _guarded(self, shape: tuple[int, ...], dtype: Any, values: _Array | None) -> _Array:
        """Return an array between guards, rarely of another dtype, length, alignment or stride."""
        if self._rarely():
            dtype = self._one_of((np.float16, np.float32, np.float64, np.int64, np.complex64, np.uint8))
        if self._rarely():
            shape = tuple(max(0, length + self._one_of((-1, 0, 1))) for length in shape)
        dtype = np.dtype(dtype)
        n_bytes, offset = int(np.prod(shape)) * dtype.itemsize, self._one_of((0, 1, 4)) if self._rarely() else 0
        memory = np.full(2 * _GUARD + n_bytes + offset, _MARK, np.uint8)
        array: _Array = memory[_GUARD + offset : _GUARD + offset + n_bytes].view(dtype).reshape(shape)
        if values is not None:
            array[...] = np.resize(values, shape).astype(dtype)
        self._arrays.append((memory, None if values is None else memory.tobytes()))
        return array[::-1] if self._rarely() and array.ndim else array

    def _input(self, shape: tuple[int, ...], dtype: Any) -> _Array:
        scale = self._one_of((0.0, 1e-30, 1e-3, 1.0, 1.0, 1.0, 1e3, 1e30))
        values = scale * self._choice.standard_normal(shape)
        if self._rarely() and values.size:
            values.flat[self._choice.integers(values.size)] = self._one_of((np.nan, np.inf, -np.inf, 1e300))
        with np.errstate(all="ignore"):
            return self._guarded(shape, dtype, values)

    def _output(self, shape: tuple[int, ...], dtype: Any) -> _Array:
        return self._guarded(shape, dtype, None)

    def _options(self) -> dict[str, Any]:
        level = self._one_of(self._levels if self._rarely() else self._levels[:-1])
        return {"threads": self._one_of((-1, 0, 2**31 - 1) if self._rarely() else (1, 1, 2, 3)), "level": level}

    def _mixture(self) -> tuple[int, int, int, Any, _Array, _Array]:
        dtype = self._one_of((np.float32, np.float64))
        m, n, d = self._one_of(_SIZES), self._one_of(_SIZES), self._one_of((1, 1, 2, 2, 3, 5, 8, 17))
        return m, n, d, dtype, self._input((m, d), dtype), self._input((n, d), dtype)

    def _groups(self, m: int, n: int) -> dict[str, Any]:
        if self._choice.random() < 0.8:
            return {}
        k = self._one_of((1, 2, 5))
        offsets = (np.sort(self._choice.integers(0, length + 1, k - 1)) for length in (m, n))
        points, centers = ([0, *inner, length] for inner, length in zip(offsets, (m, n), strict=True))
        return {
            "point_offsets": self._guarded((k + 1,), np.int64, np.array(points)),
            "center_offsets": self._guarded((k + 1,), np.int64, np.array(centers)),
        }

    def _weights(self, n: int, dtype: Any) -> _Array | None:
        return None if self._choice.random() < 0.5 else np.abs(self._input((n,), dtype))

    def _sigma(self) -> float:
        return float(self._one_of((0.0, -1.0, np.nan, 1e-310) if self._rarely() else (1e-3, 0.05, 0.3, 1.0, 10.0)))

    def _isotropic(self) -> None:
        m, n, _, dtype, points, centers = self._mixture()
        self._module.log_sum_exp_isotropic(
            points, centers, self._sigma(), self._output((m,), np.float64), weights=self._weights(n, dtype),
            method=self._one_of(("auto", "auto", "dense", "pruned", "gridded")),
            tolerance=self._one_of((None, None, 1e-6, 0.1)), **self._groups(m, n), **self._options(),
        )  # fmt: skip

    def _gradient(self) -> None:
        m, n, d, dtype, points, centers = self._mixture()
        outputs = {"d_points": (m, d), "d_centers": (n, d), "d_weights": (n,)}
        wanted = {name: self._output(shape, dtype) for name, shape in outputs.items() if self._choice.random() < 0.7}
        if self._choice.random() < 0.7:
            wanted["d_sigma"] = self._output((m,), np.float64)
        self._module.log_sum_exp_isotropic_gradient(
            points, centers, self._sigma(), self._input((m,), np.float64), self._input((m,), np.float64),
            weights=self._weights(n, dtype), **wanted, **self._groups(m, n), **self._options(),
        )  # fmt: skip

    def _full(self) -> None:
        m, n, d, dtype, points, centers = self._mixture()
        self._module.log_sum_exp_full(
            points, centers, self._input((n, d, d), dtype), self._input((n,), np.float64),
            self._output((m,), np.float64), **self._options(),
        )  # fmt: skip

    def _diagonal(self) -> None:
        m, n, d, dtype, points, centers = self._mixture()
        self._module.log_sum_exp_diagonal(
            points, centers, self._input((n, d), dtype), self._input((n,), np.float64),
            self._output((m,), np.float64), **self._options(),
        )  # fmt: skip

    def _distances(self) -> None:
        m, bins, _, _, points, _ = self._mixture()
        options = self._options() | {"metric": self._one_of(("euclidean", "cosine"))}
        options["share"] = self._one_of(((0, 1), (0, 2), (1, 2), (2, 2) if self._rarely() else (2, 3)))
        if self._choice.random() < 0.3:
            self._module.largest_distance(points, **options)
            return
        edges = self._guarded((bins + 1,), np.float64, np.linspace(0, 3, bins + 1))
        labels = None if self._choice.random() < 0.5 else self._guarded((m,), np.int64, self._choice.integers(0, 3, m))
        counts = self._output((bins + 2, 2), np.int64)
        self._module.distance_histogram(points, edges, counts, labels=labels, **options)


def _work(calls: _Calls, end: float, failed: Callable[[BaseException], None]) -> None:
    try:
        while time.monotonic() < end:
            calls.call()
    except BaseException as error:
        failed(error)


def main() -> int:
    """Make calls until the time is up, print their number, and return the exit status."""
    folder, minutes = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns() % 2**32
    sys.path.insert(0, folder)
    import _cpu  # type: ignore[import-not-found]

    print(f"seed {seed}, levels {', '.join(_cpu.levels())}", flush=True)
    errors: list[BaseException] = []
    workers = [_Calls(_cpu, seed + number) for number in range(_WORKERS)]
    end = time.monotonic() + 60 * minutes
    threads = [threading.Thread(target=_work, args=(worker, end, errors.append)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = sum((worker.counts for worker in workers), collections.Counter())
    print(f"{counts.total()} native calls: {dict(counts)}; failures: {errors or 'none'}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
