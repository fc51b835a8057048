"""A server that imports torch and layerbits once and forks each process of the tests, in place of new interpreters."""

import multiprocessing

# The server itself runs no operators, so it has no threads that a fork would lose.
FORK_SERVER = multiprocessing.get_context("forkserver")
FORK_SERVER.set_forkserver_preload(
    ["__main__", "layerbits.cli", "matplotlib.pyplot", "torch._dynamo", "torch.distributed"]
)
