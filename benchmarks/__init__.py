"""Speed and accuracy beside the rivals, on the same data: `pytest benchmarks`, `python -m benchmarks.compare`."""
