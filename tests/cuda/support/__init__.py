"""Support of the tests of the CUDA kernels."""
