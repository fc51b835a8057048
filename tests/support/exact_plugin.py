"""The exact distribution of the plug-in information of a law on the line: all samples, each by quadrature."""

import itertools
import math

import numpy as np

from tests.support import answers


class ExactPlugin:
    """Distribution of the plug-in information over all samples of size n."""

    def __init__(self, atoms, sigma, n, law=None):
        law = np.full(len(atoms), 1 / len(atoms)) if law is None else np.array(law)
        samples = np.array(list(itertools.product(range(len(atoms)), repeat=n)))
        self.probabilities = law[samples].prod(1)
        frequencies = np.array([np.bincount(sample, minlength=len(atoms)) for sample in samples]) / n
        axis = answers.grid(min(atoms), max(atoms), sigma)
        density = answers.normal(axis - np.asarray(atoms)[:, None], sigma)
        noise = answers.entropy(answers.normal(axis - atoms[0], sigma), axis)
        self.values = np.array([answers.entropy(frequency @ density, axis) - noise for frequency in frequencies])
        self.truth = answers.entropy(law @ density, axis) - noise

    @property
    def bias(self):
        return self.truth - self.probabilities @ self.values

    @property
    def deviation(self):
        return math.sqrt(self.probabilities @ (self.values - self.probabilities @ self.values) ** 2)

    @property
    def risk(self):
        return self.probabilities @ abs(self.values - self.truth)
