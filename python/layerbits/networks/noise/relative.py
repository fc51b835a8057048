"""`RelativeSigma`: a standard deviation that is a share of the root mean square of a layer's signals."""

from __future__ import annotations

import dataclasses
import math

from layerbits._base import check_positive
from layerbits.networks.noise.gaussian import GaussianNoise, gaussian_noise


@dataclasses.dataclass(frozen=True)
class RelativeSigma:
    """A standard deviation of noise relative to a layer: a share of the root mean square of its signals.

    With unbounded activation functions, information at a fixed sigma also measures the growth of the weights;
    information at a relative sigma does not. The mean is taken over all inputs of a measurement or of `noisify`; if
    `noisify` gets none, over the inputs of `layers` or the arguments of the first call, whichever comes first. The
    signals are those of a pass without noise: behind the noise of earlier layers, the root mean square may differ.

    Parameters
    ----------
    share : float
        Standard deviation of the noise divided by the root mean square of the signals, positive.

    Raises
    ------
    TypeError, ValueError
        `share` is not a positive finite number.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(1, 1))
    >>> model = lb.noisify(model, sigma=lb.RelativeSigma(0.1), layers="0", inputs=torch.tensor([[3.0], [-3.0]]))
    >>> round(lb.noise_of(model)["0"].sigma, 6)
    0.3
    """

    share: float

    def __post_init__(self) -> None:
        check_positive("share", self.share)

    def of_layer(self, layer: str, root_mean_square: float) -> GaussianNoise:
        """Return the noise of a layer.

        Raises
        ------
        ValueError
            The signals are zero or not finite, or the standard deviation is not from 1e-37 to 1e37.
        """
        if not 0 < root_mean_square < math.inf:
            raise ValueError(
                f"sigma: got a RelativeSigma for {layer!r}, whose root mean square is {root_mean_square}, wanted "
                "signals that are finite and not all zero; pass a number"
            )
        return gaussian_noise(self.share * root_mean_square)
