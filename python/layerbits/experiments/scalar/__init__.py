"""Experiments on scalar neurons, whose information is known by quadrature."""
