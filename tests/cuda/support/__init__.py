"""The CUDA modules, emulated and native, for tests of the CUDA kernels."""
