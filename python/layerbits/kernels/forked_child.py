"""Make a forked child of this process able to use layerbits.

A fork copies one thread alone, which breaks torch's threads and the locks of cached properties in the child. This
module repairs both if the fork follows the import of layerbits:

- The child lacks the threads that torch started through OpenMP, and GNU's runtime waits for these threads for ever.
  Most operators on more than 32,768 elements are parallel: a check for NaN is enough to hang. With one thread torch
  waits for no other thread, as in workers of its DataLoader. The kernels keep their number of threads, because their
  own pool starts anew in a child. A result has the bits that the parent computes with one thread of torch: some
  operators, such as decompositions of matrices of hundreds of columns, round differently with several threads.
- Before Python 3.12 a ``functools.cached_property`` holds a lock while it computes, one lock for all instances. Another
  thread of the parent may hold the lock at the fork, and never releases it in the child.

A child that imports layerbits only after the fork is not repaired: nothing shows whether torch's threads ran before.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading

from layerbits.kernels.cpu_threads import use_one_torch_thread_in_forked_child


def prepare_forked_child() -> None:
    """Repair the threads of torch and the locks of layerbits; to be called in the child, before any other code."""
    use_one_torch_thread_in_forked_child()
    if sys.version_info < (3, 12):
        _renew_locks_of_cached_properties()


def _renew_locks_of_cached_properties() -> None:
    package = __name__.partition(".")[0]
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    for owner in {value for module in modules for value in vars(module).values() if inspect.isclass(value)}:
        for attribute in vars(owner).values():
            if isinstance(attribute, functools.cached_property):
                vars(attribute)["lock"] = threading.RLock()
