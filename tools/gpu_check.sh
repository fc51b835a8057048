#!/usr/bin/env bash
# All checks that need a CUDA device, on a machine with or without a network: tools/gpu_check.sh [FOLDER OF RESULTS]
#
# The script installs layerbits into a temporary folder without isolation, and so requires nvcc, cmake,
# scikit-build-core, pybind11, torch, the packages of ".[test]" and compute-sanitizer. Then it checks the registers of
# the kernels, and runs the tests of CUDA, the tests of the CPU kernels on the device, the benchmark, and
# compute-sanitizer on small problems. It prints the measurements last, and writes gpu_check.log, build.log and
# cuda.json.
#
# Variables: CUDAARCHS is 90 by default. After LAYERBITS_GPU_SECONDS, 540 by default, the remaining steps are skipped
# and count as failed.
# The benchmark compares with KeOps if it can be imported. Without a network, unpack its wheels into a folder of
# PYTHONPATH: pip install --no-index --no-deps --target FOLDER pykeops-*.whl keopscore-*.whl
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-check}
mkdir -p "$out" || exit
out=$(cd "$out" && pwd)
log=$out/gpu_check.log
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'kill %% 2>/dev/null && wait; exit 130' INT TERM
deadline=$((SECONDS + ${LAYERBITS_GPU_SECONDS:-540}))
failed=()
: >"$log"

# step NAME SECONDS COMMAND...: run a command, print its last lines, and note its name for report() if it fails.
step() {
  local name=$1 limit=$2 began=$SECONDS status=0
  shift 2
  local left=$((deadline - SECONDS))
  if [ "$left" -lt 1 ]; then
    failed+=("$name (no time left)")
    return 1
  fi
  printf '\n== %s\n' "$name" | tee -a "$log"
  # The command runs in the background, because a shell handles Ctrl-C only after its foreground command.
  timeout -k 5 "$((limit < left ? limit : left))" "$@" >"$work/$name.log" 2>&1 &
  wait $! || failed+=("$name") status=1
  cat "$work/$name.log" >>"$log"
  tail -n 4 "$work/$name.log"
  printf '%d s\n' "$((SECONDS - began))" | tee -a "$log"
  return $status
}

report() {
  if [ -e "$work/benchmark.log" ]; then
    printf '\n== measurements\n'
    cat "$work/benchmark.log"
  fi
  printf '\nresults in %s\n' "$out"
  [ ${#failed[@]} -eq 0 ] && echo "all passed" && exit
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
}

# The only plugin of pytest is xdist, whose options pyproject.toml has; with -n 0 the tests run in one process.
# Warnings are not errors, because untested versions of packages may warn.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONUNBUFFERED=1
tests=(python3 -m pytest -p xdist.plugin -n 0 -o filterwarnings=default -p no:cacheprovider -rf)

sanitize() {
  # Without caching, every tensor has a separate allocation, so that accesses beyond a tensor are detected.
  step "$1" 75 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$1" --report-api-errors no \
    --error-exitcode 1 "${tests[@]}" -m cuda \
    -k "its_group or weight or density or distant or (histogram and 33) or (python_version and float32) or same_bits" \
    tests/cuda/kernels tests/cuda/devices/test_pipeline.py tests/cuda/devices/test_device_pruning.py
}

step build 180 python3 -m pip install --verbose --no-index --no-deps --no-build-isolation --target "$work/site" \
  -C cmake.define.LAYERBITS_CUDA=ON -C cmake.define.CMAKE_CUDA_FLAGS=-Xptxas=-v \
  -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=${CUDAARCHS:-90}" . || report  # or another installed build would be tested
mv "$work/build.log" "$out/build.log"
export PYTHONPATH=$work/site:$PWD${PYTHONPATH:+:$PYTHONPATH}
step registers 20 python3 tools/gpu/check_registers.py "$out/build.log"
step back-ends 60 python3 -c 'import layerbits, torch; print(*layerbits.backends(), sep="\n")
assert layerbits.backends()[1].usable and torch.cuda.is_available()' || report
step tests 150 "${tests[@]}" -m cuda tests/cuda/kernels tests/cuda/devices
step contract 150 env LAYERBITS_STAND_IN=device "${tests[@]}" -p tests.cuda.stand_in tests/kernels
step benchmark 150 python3 -m benchmarks.cuda "$out/cuda.json"
for tool in memcheck racecheck synccheck; do sanitize "$tool"; done
report
