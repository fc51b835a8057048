"""A network of wide layers, deterministic and noisy, measured as a whole and by random slices."""
