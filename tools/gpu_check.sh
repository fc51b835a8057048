#!/usr/bin/env bash
# Everything that wants a CUDA device, in one go, on a machine without network: tools/gpu_check.sh [FOLDER OF RESULTS]
# Build without isolation, the tests of CUDA, the contract tests of the CPU turned to the device, memory and races by
# compute-sanitizer at small sizes, then the benchmark, whose table comes last. LAYERBITS_CUDA_ARCHITECTURES: 90 by default.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-$(mktemp -d)}
mkdir -p "$out"
failed=()

step() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  "$@" >"$out/$name.log" 2>&1 || failed+=("$name")
  tail -n 5 "$out/$name.log"
}

build() {
  cmake -S . -B "$out/build" -G Ninja -DLAYERBITS_CUDA=ON "-DLAYERBITS_CUDA_ARCHITECTURES=${LAYERBITS_CUDA_ARCHITECTURES:-90}" \
    -DCMAKE_CUDA_FLAGS=-Xptxas=-v -DPython_EXECUTABLE="$(command -v python3)" \
    "-Dpybind11_DIR=$(python3 -m pybind11 --cmakedir)" && cmake --build "$out/build" &&
    cp "$out"/build/_cpu*.so "$out"/build/_cuda*.so python/layerbits/
}

sanitize() {
  compute-sanitizer --tool "$1" --error-exitcode 1 python3 -m pytest -q -m cuda \
    -k "pairs or groups or weights" tests/cuda_kernels
}

export PYTHONPATH=$PWD/python:$PWD/tests/cuda_kernels${PYTHONPATH:+:$PYTHONPATH}
step build build
step registers python3 tools/check_registers.py "$out/build.log"
step back-ends python3 -c 'import layerbits; print(*layerbits.backends(), sep="\n"); assert layerbits.backends()[1].usable'
step tests python3 -m pytest -q -rs -m cuda tests/cuda_kernels
step contract env LAYERBITS_STAND_IN=device python3 -m pytest -q -p stand_in tests/kernels
step memcheck sanitize memcheck
step racecheck sanitize racecheck
step benchmark python3 -m benchmarks.cuda "$out/cuda.json"

printf '\n== results in %s\n' "$out"
cat "$out/benchmark.log"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[*]}"
  exit 1
fi
echo "all passed"
