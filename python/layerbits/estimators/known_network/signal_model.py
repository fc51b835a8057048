"""The interface between a network and the estimators of the known network: signals and derivatives for given noises."""

from typing import Protocol

from torch import Tensor


class SignalModel(Protocol):
    """The signal of a layer as a function of the input and of the earlier noises: S = g(x, W), W standard normal.

    The units are those of the whitened layer, divided by sigma, so that T = S + Z with Z ~ N(0, I_d). All
    floating-point tensors are float64. An input is given by its index, 0 <= index < n_inputs, in an int64 tensor
    `rows`. A model divides passes into chunks by itself; an equal pair of input and noise gives an equal signal up to
    rounding, whatever the batch.
    """

    @property
    def n_inputs(self) -> int:
        """N, the number of inputs."""

    @property
    def n_units(self) -> int:
        """d, the number of units of the whitened signal."""

    @property
    def noise_size(self) -> int:
        """k, the number of standard normal values of all earlier noises of one row, flattened."""

    @property
    def log_volume(self) -> float:
        """h(T) in the units of the layer less h(T) of the whitened layer, in nats."""

    @property
    def signals_range(self) -> float:
        """R with |S - c| <= R for some c, in whitened units; inf where no bound is known."""

    def signals(self, rows: Tensor, noises: Tensor, *, are_typical: bool = True) -> Tensor:
        """Return g(x, w), (m, d), of inputs (m,) and noises (m, k).

        Samples of a proposal are not typical of the network: their signals may be NaN or infinite. With typical noises,
        signals that are NaN, infinite or too large for their dtype to resolve the noise raise a ValueError.
        """

    def jacobians(self, rows: Tensor, noises: Tensor) -> Tensor:
        """Return the derivatives of g by w, (m, d, k)."""

    def pushforward(self, rows: Tensor, noises: Tensor, tangents: Tensor) -> Tensor:
        """Return J V, (m, d, p), for tangents V (m, k, p)."""

    def pullback(self, rows: Tensor, noises: Tensor, cotangents: Tensor) -> Tensor:
        """Return J^T U, (m, k, p), for cotangents U (m, d, p)."""

    def residual_products(self, rows: Tensor, noises: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x, w), (m, d), and J^T (t - g(x, w)), (m, k), for points t (m, d); noises need not be typical."""
