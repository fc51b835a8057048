"""The native module of CUDA, from csrc/bindings/cuda_module.cpp. Arrays are passed by DLPack."""

from collections.abc import Callable, Sequence

from layerbits._base import Array

def log_sum_exp_isotropic(
    points: Array,
    centers: Array,
    sigma: float,
    log_sum: Array,
    *,
    stream: int,
    allocate: Callable[[int], Array],
    weights: Array | None = None,
    point_offsets: Array | None = None,
    center_offsets: Array | None = None,
    point_order: Array | None = None,
    center_order: Array | None = None,
    tolerance: float | None = None,
) -> float: ...
def log_sum_exp_isotropic_gradient(
    points: Array,
    centers: Array,
    sigma: float,
    log_sum: Array,
    upstream: Array,
    *,
    stream: int,
    allocate: Callable[[int], Array],
    weights: Array | None = None,
    point_offsets: Array | None = None,
    center_offsets: Array | None = None,
    d_points: Array | None = None,
    d_centers: Array | None = None,
    d_weights: Array | None = None,
    d_sigma: Array | None = None,
) -> None: ...
def log_sum_exp_full(
    points: Array,
    centers: Array,
    factors: Array,
    offsets: Array,
    log_sum: Array,
    *,
    stream: int,
    allocate: Callable[[int], Array],
) -> None: ...
def log_sum_exp_diagonal(
    points: Array,
    centers: Array,
    factors: Array,
    offsets: Array,
    log_sum: Array,
    *,
    stream: int,
    allocate: Callable[[int], Array],
) -> None: ...
def distance_histogram(
    points: Array,
    edges: Array,
    counts: Array,
    *,
    stream: int,
    allocate: Callable[[int], Array],
    labels: Array | None = None,
    metric: str = "euclidean",
) -> None: ...
def largest_distance(
    points: Array, *, stream: int, allocate: Callable[[int], Array], metric: str = "euclidean"
) -> float: ...
def standard_normal(
    values: Array, keys: Sequence[int], first: int, *, stream: int, allocate: Callable[[int], Array]
) -> None: ...
def peak(
    values: Array,
    steps: int,
    powers: bool,
    *,
    stream: int,
    allocate: Callable[[int], Array] | None,
) -> int: ...
def devices() -> list[tuple[str, str]]: ...
def architectures() -> str: ...
