"""The native module of the CPU, from csrc/bindings/cpu_module.cpp. Arrays are passed by DLPack."""

from layerbits._base import Array

def log_sum_exp_isotropic(
    points: Array,
    centers: Array,
    sigma: float,
    log_sum: Array,
    *,
    weights: Array | None = None,
    point_offsets: Array | None = None,
    center_offsets: Array | None = None,
    method: str = "auto",
    tolerance: float | None = None,
    threads: int = 1,
    level: str = "",
) -> str: ...
def choose_method(
    points: Array,
    centers: Array,
    sigma: float,
    *,
    weights: Array | None = None,
    threads: int = 1,
    level: str = "",
) -> str: ...
def log_sum_exp_isotropic_gradient(
    points: Array,
    centers: Array,
    sigma: float,
    log_sum: Array,
    upstream: Array,
    *,
    weights: Array | None = None,
    point_offsets: Array | None = None,
    center_offsets: Array | None = None,
    d_points: Array | None = None,
    d_centers: Array | None = None,
    d_weights: Array | None = None,
    d_sigma: Array | None = None,
    threads: int = 1,
    level: str = "",
) -> None: ...
def log_sum_exp_full(
    points: Array,
    centers: Array,
    factors: Array,
    offsets: Array,
    log_sum: Array,
    *,
    threads: int = 1,
    level: str = "",
) -> None: ...
def log_sum_exp_diagonal(
    points: Array,
    centers: Array,
    factors: Array,
    offsets: Array,
    log_sum: Array,
    *,
    threads: int = 1,
    level: str = "",
) -> None: ...
def distance_histogram(
    points: Array,
    edges: Array,
    counts: Array,
    *,
    labels: Array | None = None,
    metric: str = "euclidean",
    share: tuple[int, int] = (0, 1),
    threads: int = 1,
    level: str = "",
) -> None: ...
def largest_distance(
    points: Array,
    *,
    metric: str = "euclidean",
    share: tuple[int, int] = (0, 1),
    threads: int = 1,
    level: str = "",
) -> float: ...
def multiply_adds(
    pieces: int, *, additions: bool = False, bits: int = 32, threads: int = 1, level: str = ""
) -> float: ...
def grid_tables(dim: int, fraction: float, tolerance: float) -> list[tuple[str, list[float]]]: ...
def levels() -> list[str]: ...
def level() -> str: ...
def usable_cores() -> int: ...
