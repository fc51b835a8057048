#!/usr/bin/env bash
# Checks before a release: the checks of CI, and checks that are too long for CI. Run this script in a virtual
# environment with layerbits and its extras `lint`, `docs`, `bench`, `browser` and `release`, and with chromium and
# chromedriver:
#
#     bash tools/release_check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() { # run a command, and print its time
  local started=$SECONDS
  printf '\n== %s\n' "$*"
  "$@"
  printf -- '-- %d s: %s\n' $((SECONDS - started)) "$*"
}

install() { # install a distribution in an empty virtual environment of a Python, and try it
  rm -rf "$work/empty"
  "$1" -m venv "$work/empty"
  "$work/empty/bin/pip" install --quiet -c constraints.txt "$2"
  "$work/empty/bin/python" tools/release/check_install.py
}

pythons() { # print a working interpreter of each version that layerbits supports
  for minor in 10 11 12 13; do
    for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python; do
      if "$python" -c "" 2>/dev/null; then echo "$python"; break; fi
    done
  done
}

step bash .ci/run
step python -m build --sdist --outdir "$work/dist" .
step python tools/release/check_sdist.py "$work"/dist/*.tar.gz
for python in $(pythons); do
  step install "$python" "$work"/dist/*.tar.gz
done
step pip wheel --quiet --no-deps -C cmake.define.LAYERBITS_CUDA=PORTABLE -w "$work/wheel" "$work"/dist/*.tar.gz
step auditwheel repair -w "$work/dist" "$work"/wheel/*.whl
step install python "$work"/dist/*.whl
step python tools/reliability.py
covered=(--ignore=tests/reliability/test_killed_commands.py --ignore=tests/reliability/test_same_table.py
  --ignore-glob="*/tests/processes/test_killed_*.py")
step pytest -m stress --dist=load "${covered[@]}"  # most of these tests are in one file
step layerbits check --out "$work/coverage.csv"
for name in $(layerbits list | awk '{print $1}'); do
  [ "$name" = mnist-cnn ] || step layerbits run "$name" --quick --out "$work/$name"
  [ "$name" = mnist-cnn ] || step layerbits report "$work/$name"
done
step python tools/release/check_report.py
step sphinx-build -W --keep-going -D plot_gallery=1 docs "$work/site"
step python examples/information_penalty.py
step torchrun --nproc-per-node 2 examples/several_processes.py "$work/together"
step python -m benchmarks.compare --quick
