"""The kernels of CUDA: on a device where there is one, and on the host by emulation where that is built.

The contracts are those of tests/kernels, which `stand_in` turns to these kernels; here is what only CUDA has: barriers,
shares of centers, an approximate power of two, a process that must not be forked.
"""

import contextlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import layerbits
from layerbits.kernels import _cpu, reference
from layerbits.kernels import operations as kernels
from tests.cuda import stand_in

try:
    stand_in.emulated()
    NO_EMULATION = ""
except ImportError as error:
    NO_EMULATION = str(error)
DEVICE = layerbits.backends()[1]

needs_emulation = pytest.mark.skipif(bool(NO_EMULATION), reason=NO_EMULATION or "built")
BOTH_KINDS = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("emulated", marks=needs_emulation),
        pytest.param(
            "device",
            marks=[pytest.mark.cuda, pytest.mark.skipif(not DEVICE.usable, reason=DEVICE.reason or "usable")],
        ),
    ],
)
BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
KERNEL_TESTS = Path(__file__).parents[2] / "kernels"


def verbs(kind):
    return stand_in.StandIn(stand_in.Emulated() if kind == "emulated" else stand_in.OnDevice())


def results(core, dtype, *, m=40, n=700, d=5):
    """What every verb says of one problem."""
    generator = np.random.default_rng(0)
    points, centers = (generator.standard_normal((k, d)).astype(dtype) for k in (m, n))
    factors = (generator.standard_normal((n, d, d)) + np.eye(d)).astype(dtype)
    log_sum, gaussian, d_points = np.full(m, 7.0), np.full(m, 7.0), np.full_like(points, 7)
    d_centers, d_sigma, counts = np.full_like(centers, 7), np.full(m, 7.0), np.full((12, 2), 7)
    core.log_sum_exp_isotropic(points, centers, 0.5, log_sum)
    pruned = np.full(m, 7.0)
    core.log_sum_exp_isotropic(points, centers, 0.5, pruned, method="pruned", tolerance=0.1)
    core.log_sum_exp_isotropic_gradient(
        points, centers, 0.5, log_sum, np.ones(m), d_points=d_points, d_centers=d_centers, d_sigma=d_sigma
    )
    core.log_sum_exp_full(points, centers, factors, np.zeros(n, dtype), gaussian)
    core.distance_histogram(centers, np.linspace(0, 4, 11), counts, labels=np.arange(n) % 3)
    return log_sum, pruned, d_points, d_centers, d_sigma, gaussian, counts


@pytest.mark.parametrize("error", ["-1", "1"])
@needs_emulation
def test_contract_holds_where_every_power_of_two_errs_to_one_side(error):
    # The bound of the special-function unit, 2^-22, is two of the four units that the contract allows.
    environment = os.environ | {
        "LAYERBITS_STAND_IN": "emulated",
        "LAYERBITS_EMULATED_EXP2": error,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
    }
    chosen = "equal_terms or every_width or weights_keep"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.cuda.stand_in",
        "-k",
        chosen,
        str(KERNEL_TESTS / "test_log_sum_exp.py"),
    ]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]


SAME_BITS = """
    import hashlib
    import numpy as np
    from tests.cuda import stand_in
    from tests.cuda.kernels.test_cuda_kernels import results

    for dtype in (np.float32, np.float64):
        for d in (5, 40):
            for array in results(stand_in.StandIn(stand_in.Emulated()), dtype, d=d):
                print(hashlib.sha256(array.tobytes()).hexdigest())
"""


@needs_emulation
def test_order_of_threads_between_barriers_changes_no_bit():
    printed = []
    for order in ("forward", "backward", "shuffled"):
        path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
        environment = os.environ | {"LAYERBITS_EMULATED_ORDER": order, "PYTHONPATH": path}
        command = [sys.executable, "-c", textwrap.dedent(SAME_BITS)]
        printed.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert printed[0].count("\n") == 28
    assert printed[0] == printed[1] == printed[2]


@BOTH_KINDS
@BOTH_DTYPES
def test_a_repeated_call_has_the_same_bits(kind, dtype):
    core = verbs(kind)
    first = results(core, dtype, m=20)
    for _ in range(3 if kind == "emulated" else 100):
        for array, again in zip(first, results(core, dtype, m=20), strict=True):
            np.testing.assert_array_equal(array, again)


@BOTH_KINDS
@BOTH_DTYPES
@pytest.mark.parametrize("d", [1, 3, 33, 300])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_pairs_are_counted_as_on_the_cpu(kind, dtype, d, metric):
    # Squares have the same bits there, but on SSE2, which has no fused multiply-add.
    if _cpu.level() == "sse2":
        pytest.skip("sse2 rounds products first")
    points = np.random.default_rng(d).standard_normal((130, d)).astype(dtype)
    got, want, edges = np.full((39, 2), 7), np.full((39, 2), 7), np.linspace(0, 1.5, 38)
    verbs(kind).distance_histogram(points, edges, got, metric=metric)
    _cpu.distance_histogram(points, edges, want, metric=metric)
    np.testing.assert_array_equal(got, want)
    assert verbs(kind).largest_distance(points, metric=metric) == _cpu.largest_distance(points, metric=metric)


@BOTH_KINDS
@pytest.mark.parametrize("sizes", [[3, 0, 200, 1], [64] * 3], ids=["ragged", "even"])
def test_groups_are_summed_by_themselves(kind, sizes):
    generator = np.random.default_rng(1)
    offsets = np.append(0, np.cumsum(sizes))
    points, centers = (generator.standard_normal((offsets[-1], 3)) for _ in range(2))
    log_sum = np.full(len(points), 7.0)
    options = {"point_offsets": offsets, "center_offsets": offsets}
    verbs(kind).log_sum_exp_isotropic(points, centers, 0.7, log_sum, **options)
    want = reference.log_sum_exp_isotropic(points, centers, 0.7, **options)
    np.testing.assert_allclose(log_sum, want, rtol=0, atol=5 * 2.0**-52 * (1 + np.abs(want).max()))


@BOTH_KINDS
def test_weights_on_the_device_are_checked(kind):
    for weights, message in (
        (np.array([1.0, -1e-10, 1]), "weights: got -1e-10 at index 1"),
        (np.zeros(3), "weights: got all 0"),
    ):
        with pytest.raises(ValueError, match=message):
            verbs(kind).log_sum_exp_isotropic(np.zeros((2, 2)), np.zeros((3, 2)), 1.0, np.zeros(2), weights=weights)


@BOTH_KINDS
@BOTH_DTYPES
def test_weight_of_minus_zero_is_no_weight(kind, dtype):
    # Its bits are those of the largest integer.
    points, log_sum = np.zeros((2, 2), dtype), np.full(2, 7.0)
    verbs(kind).log_sum_exp_isotropic(points, points, 1.0, log_sum, weights=np.array([-0.0, 2.0], dtype))
    np.testing.assert_allclose(log_sum, np.log(2), rtol=2 * np.finfo(dtype).eps)


@needs_emulation
def test_autograd_reaches_the_kernels(monkeypatch):
    core = stand_in.emulated()

    class WithoutMethod:
        def __getattr__(self, verb):
            def call(*arguments, **options):
                return getattr(core, verb)(
                    *arguments, **{k: v for k, v in options.items() if k not in ("method", "tolerance")}
                )

            return call

    @contextlib.contextmanager
    def native(_):
        yield (
            WithoutMethod(),
            {"stream": 0, "allocate": lambda count: torch.full((count,), torch.nan, dtype=torch.float64)},
        )

    monkeypatch.setattr(kernels, "_native", native)
    generator = torch.Generator().manual_seed(0)
    points, centers = (torch.randn(k, 2, dtype=torch.float64, generator=generator) for k in (3, 4))
    inputs = [
        x.requires_grad_() for x in (points, centers, torch.tensor(0.8, dtype=torch.float64), torch.rand(4).double())
    ]
    assert torch.autograd.gradcheck(lambda p, c, s, w: kernels.log_sum_exp_isotropic(p, c, s, weights=w), inputs)


FORK = """
    import os
    import numpy as np
    from tests.cuda import stand_in

    core = stand_in.StandIn(stand_in.Emulated())

    def call():
        core.log_sum_exp_isotropic(np.zeros((1, 1)), np.zeros((1, 1)), 1.0, np.zeros(1))

    call()
    if os.fork() == 0:
        try:
            call()
        except RuntimeError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    call()
"""


@needs_emulation
def test_a_forked_process_is_told_to_spawn():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(FORK)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "spawn" in run.stdout


FORK_WITHOUT_DRIVER = """
    import os
    from tests.cuda import stand_in

    for process in ("parent", "child"):
        try:
            stand_in.emulated().devices()
        except RuntimeError as error:
            print(process, error, flush=True)
        if process == "parent" and os.fork():
            os.wait()
            break
"""


@needs_emulation
def test_a_forked_process_is_told_that_there_is_no_driver():
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    environment = os.environ | {"LAYERBITS_EMULATED_ERROR": "35", "PYTHONPATH": path}
    command = [sys.executable, "-c", textwrap.dedent(FORK_WITHOUT_DRIVER)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"parent .* driver.*\nchild .* driver.*\n", run.stdout)


@pytest.mark.parametrize(("number", "words"), [(35, "driver"), (100, "no CUDA device"), (3, "spawn"), (209, "no code")])
@needs_emulation
def test_missing_driver_or_device_is_told_apart(number, words, monkeypatch):
    monkeypatch.setenv("LAYERBITS_EMULATED_ERROR", str(number))
    with pytest.raises(RuntimeError, match=words):
        stand_in.emulated().devices()


@pytest.mark.parametrize(
    ("knob", "number", "words"),
    [("ERROR", 35, "driver"), ("ERROR", 100, "no CUDA device"), ("MAJOR", 7, "older than the architectures")],
)
@needs_emulation
def test_back_end_that_is_built_says_why_it_is_not_usable(knob, number, words, monkeypatch):
    monkeypatch.setitem(sys.modules, "layerbits.kernels._cuda", stand_in.emulated())
    assert layerbits.backends()[1].usable
    monkeypatch.setenv(f"LAYERBITS_EMULATED_{knob}", str(number))
    found = layerbits.backends()[1]
    assert (found.built, found.usable) == (True, False)
    assert words in found.reason


@needs_emulation
def test_failing_allocator_is_the_callers_error():
    def fail(count):
        raise MemoryError(f"no room for {count}")

    with pytest.raises(MemoryError, match="no room for"):
        stand_in.emulated().log_sum_exp_isotropic(
            np.zeros((1, 1)), np.zeros((1, 1)), 1.0, np.zeros(1), stream=0, allocate=fail
        )


@needs_emulation
def test_allocator_that_gives_too_little_is_refused():
    with pytest.raises(ValueError, match="too short"):
        stand_in.emulated().log_sum_exp_isotropic(
            np.zeros((1, 1)), np.zeros((1, 1)), 1.0, np.zeros(1), stream=0, allocate=lambda count: np.zeros(1)
        )


@pytest.mark.skipif(not DEVICE.built, reason=DEVICE.reason)
def test_arrays_of_the_cpu_are_refused_by_the_module_of_devices():
    from layerbits.kernels import cuda

    with pytest.raises(ValueError, match=r"^points: got an array that is not in the memory of a CUDA device"):
        cuda().log_sum_exp_isotropic(np.zeros((1, 1)), np.zeros((1, 1)), 1.0, np.zeros(1), stream=0, allocate=None)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two devices")
def test_tensors_of_a_device_that_is_not_the_current_one_are_taken():
    points = torch.randn(5, 3, device="cuda:1", requires_grad=True)
    density = layerbits.mixture_log_density(points, points.detach(), 0.8)
    density.sum().backward()
    assert (density.device, points.grad.device, torch.cuda.current_device()) == (points.device, points.device, 0)


@BOTH_KINDS
@BOTH_DTYPES
def test_peak_counts_what_it_does(kind, dtype):
    values = np.full(100, 0.5, dtype)
    assert verbs(kind).peak(values, 3, False) == 100 * 3 * 8
    # Chain c is fed 1/2 + c: x / 2 + 1/2 three times is x / 8 + 7/8.
    np.testing.assert_array_equal(values, sum((0.5 + c) / 8 + 7 / 8 for c in range(8)))
