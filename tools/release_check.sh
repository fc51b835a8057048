#!/usr/bin/env bash
# Checks before a release: the checks of CI, and checks that are too long for CI. Run this script in a virtual
# environment with layerbits and its extras `lint`, `docs`, `bench` and `browser`, and with chromium and
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

step bash .ci/run
step pytest -m stress --dist=load  # most of these tests are in one file
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
