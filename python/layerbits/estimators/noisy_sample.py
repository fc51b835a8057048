"""`NoisySample`: the draws of a layer behind noise, and queries at other draws."""

from __future__ import annotations

import dataclasses
import math

from torch import Tensor

from layerbits.estimators.fitted_decoder import CallerDecoder
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.omitted_dimensions import OmittedDimensions


@dataclasses.dataclass(frozen=True)
class NoisySample:
    """Draws of a layer behind noise.

    Attributes
    ----------
    queries : Queries
        q queries of each of the N inputs. Their bases, the signals before the noise, are the other draws.
    draws : Tensor of shape (N, r, d)
        The draws without queries, r >= q.
    dimension_loss : float
        Upper bound, in nats, of the information that the omitted dimensions would add, as in `LayerSample`.
    diameter : float
        Upper bound of the distance of any two signals, as in `LayerSample`.
    callers : tuple of CallerDecoder
        Decoders of the caller, which compete with the built-in ones.
    omitted : OmittedDimensions or None
        The omitted dimensions at the queries, as in `LayerSample`; None if there are none.
    is_slice : bool
        Whether this is one of the random slices of a layer. A slice has no entropies, and few decoders: the mean over
        the slices is uncertain by tenths of a nat, and decoders differ by hundredths.
    """

    queries: Queries
    draws: Tensor
    dimension_loss: float = 0.0
    diameter: float = math.inf
    callers: tuple[CallerDecoder, ...] = ()
    omitted: OmittedDimensions | None = None
    is_slice: bool = False

    def loss(self, risk: float) -> float:
        """Return an upper bound, of this risk, of the information that the omitted dimensions would add."""
        return self.dimension_loss + (self.omitted.margin(risk) if self.omitted is not None else 0.0)
