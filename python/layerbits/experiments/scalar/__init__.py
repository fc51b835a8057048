"""Experiments on scalar neurons, with their true information by quadrature."""
