#!/usr/bin/env bash
# Builds the CPU kernels under a sanitizer of GCC and runs a fuzzer of native calls for MINUTES (default: 20):
#
#     bash tools/sanitize.sh address|undefined|thread [MINUTES [SEED]]
#
# With `address` and `undefined` the tests of the kernels run too, and the emulated CUDA kernels run under both
# sanitizers. With `thread` the emulated kernels run under the checker of races. A report of a sanitizer ends the script
# with status 1. The builds in build/sanitize-* are kept for the next call. Run this script in a virtual environment
# with the extra `test`, cmake, ninja and pybind11.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-} minutes=${2:-20}
case $kind in
  address) library=libasan.so cuda=cuda_memory ;;
  undefined) library=libubsan.so cuda=cuda_memory ;;
  thread) library=libtsan.so cuda=cuda_races ;;
  *) echo "usage: bash tools/sanitize.sh address|undefined|thread [MINUTES [SEED]]" >&2; exit 2 ;;
esac

build() { # configure and build a target in a folder
  local folder=$1 target=$2
  shift 2
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLAYERBITS_CUDA=OFF \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" "$@" >/dev/null
  cmake --build "$folder" --target "$target"
}

# The kernels keep their -O3; -O1 for the rest halves the time of the build.
build "build/sanitize-$kind" _cpu -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF -DCMAKE_CXX_FLAGS_RELEASE=-O1 \
  -DCMAKE_CXX_FLAGS="-fsanitize=$kind -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
build build/sanitize-cuda "$cuda" -DLAYERBITS_CUDA_EMULATION=ON

# The interpreter is not instrumented, so the runtime of the sanitizer is loaded first. The C++ runtime follows, because
# the sanitizer looks there for the function that throws. Python frees little at its end, so leaks are not reported.
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
preload="$(g++ -print-file-name=$library) $(g++ -print-file-name=libstdc++.so)"
LD_PRELOAD=$preload python tools/release/fuzz_native.py "build/sanitize-$kind" "$minutes" "${@:3}"

if [ "$kind" != thread ]; then # the threads of torch, which is not instrumented, look like races
  package=build/sanitize-$kind/package
  rm -rf "$package" && cp -r python "$package" && cp "build/sanitize-$kind"/_cpu*.so "$package/layerbits/kernels/"
  LD_PRELOAD=$preload PYTHONPATH="$package:$PWD" pytest -n0 tests/kernels
fi
"build/sanitize-cuda/$cuda"
echo "sanitizer $kind: no report"
