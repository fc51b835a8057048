#!/usr/bin/env bash
# Builds the CPU kernels under a sanitizer of GCC and runs a fuzzer of native calls; with `address` and `undefined` also
# the tests of the kernels, and the CUDA kernels on the host under both:
#
#     bash tools/sanitize.sh address|undefined|thread [MINUTES]
#
# The fuzzer runs for MINUTES (default: 20). Any report of the sanitizer ends the script with status 1. The builds are in
# build/sanitize-*, and are kept for the next call. Run this script in a virtual environment with the extra `test`, cmake,
# ninja and pybind11.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-} minutes=${2:-20}
case $kind in
  address) library=libasan.so ;;
  undefined) library=libubsan.so ;;
  thread) library=libtsan.so ;;
  *) echo "usage: bash tools/sanitize.sh address|undefined|thread [MINUTES]" >&2; exit 2 ;;
esac

build=build/sanitize-$kind
# -O1 of the kernels would leave most of the vectorized code out.
flags="-fsanitize=$kind -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLAYERBITS_CUDA=OFF -DCMAKE_CXX_FLAGS="$flags" \
  -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build" --target _cpu

# The interpreter is not instrumented, so the runtime is loaded first. Python frees little at its end: no leaks are
# reported. The shadow memory of the sanitizers has no room under a limit of the address space.
preload=$(g++ -print-file-name=$library)
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
LD_PRELOAD=$preload python tools/release/fuzz_native.py "$build" "$minutes"

if [ "$kind" != thread ]; then # torch is not instrumented: its threads look like races
  LD_PRELOAD=$preload PYTHONPATH="$PWD/python:$PWD" LAYERBITS_SANITIZED="$build" \
    pytest -n0 -p tools.release.sanitized_module tests/kernels -m "not stress"
  emulated=build/sanitize-cuda
  cmake -S . -B "$emulated" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLAYERBITS_CUDA=OFF -DLAYERBITS_CUDA_EMULATION=ON \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >/dev/null
  cmake --build "$emulated" --target cuda_memory
  "$emulated/cuda_memory"
else
  emulated=build/sanitize-cuda
  cmake -S . -B "$emulated" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLAYERBITS_CUDA=OFF -DLAYERBITS_CUDA_EMULATION=ON \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >/dev/null
  cmake --build "$emulated" --target cuda_races
  "$emulated/cuda_races"
fi
echo "sanitizer $kind: silent"
