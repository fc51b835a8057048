"""The exact distribution of the plug-in information of signals on the line, by quadrature for every sample."""

import itertools
import math

import numpy as np

from tests.support import answers


class ExactPlugin:
    """Distribution of the plug-in information over all samples of n signals.

    Attributes are the values, (samples,), their probabilities, (samples,), and the true information, in nats.
    """

    def __init__(self, atoms, sigma, n, law=None):
        law = np.full(len(atoms), 1 / len(atoms)) if law is None else np.array(law)
        samples = np.array(list(itertools.product(range(len(atoms)), repeat=n)))
        self.probabilities = law[samples].prod(1)
        frequencies = np.array([np.bincount(sample, minlength=len(atoms)) for sample in samples]) / n
        axis = answers.grid(min(atoms), max(atoms), sigma)
        density = answers.normal(axis - np.asarray(atoms)[:, None], sigma)
        noise_entropy = answers.entropy(answers.normal(axis - atoms[0], sigma), axis)
        entropies = np.array([answers.entropy(frequency @ density, axis) for frequency in frequencies])
        self.values = entropies - noise_entropy
        self.truth = answers.entropy(law @ density, axis) - noise_entropy

    @property
    def bias(self):
        """The true value less the mean: the plug-in is too small on average."""
        return self.truth - self.probabilities @ self.values

    @property
    def deviation(self):
        """The standard deviation of the values."""
        return math.sqrt(self.probabilities @ (self.values - self.probabilities @ self.values) ** 2)

    @property
    def risk(self):
        """The mean absolute error."""
        return self.probabilities @ abs(self.values - self.truth)
