"""Results of the CUDA kernels have the same bits in every call and in any order of the threads."""

import numpy as np

from tests.cuda.support.emulated_module import all_results
from tests.cuda.support.kernel_tests import BOTH_DTYPES, BOTH_KINDS, module_of, needs_emulation, output_of

PRINT_HASHES = """
    import hashlib
    import numpy as np
    from tests.cuda.support.emulated_module import EmulatedModule, all_results

    for dtype in (np.float32, np.float64):
        for d in (5, 40):
            for array in all_results(EmulatedModule(), dtype, d=d):
                print(hashlib.sha256(array.tobytes()).hexdigest())
"""


@needs_emulation
def test_order_of_threads_between_barriers_changes_no_bit():
    outputs = [output_of(PRINT_HASHES, LAYERBITS_EMULATED_ORDER=name) for name in ("forward", "backward", "shuffled")]
    assert outputs[0].count("\n") == 32
    assert outputs[0] == outputs[1] == outputs[2]


@BOTH_KINDS
@BOTH_DTYPES
def test_repeated_call_has_the_same_bits(kind, dtype):
    module = module_of(kind)
    results = all_results(module, dtype, m=20)
    for _ in range(2 if kind == "emulated" else 100):
        for array, repeated in zip(results, all_results(module, dtype, m=20), strict=True):
            np.testing.assert_array_equal(array, repeated)
