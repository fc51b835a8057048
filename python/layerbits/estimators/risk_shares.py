"""`RiskShares`: how the risk of a layer's interval is divided among its own ends and those that it lends."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class RiskShares:
    """Shares of a risk, fixed before the measurement.

    Attributes
    ----------
    lower, upper : float
        Shares of the layer's own ends of an information; less than 1 if an end of another layer may replace it.
    lent : float
        Share of each end of an information that the layer lends to other layers; 0 if it lends none. 1 if it lends its
        own ends: the ends of simultaneous intervals.
    """

    lower: float = 1.0
    upper: float = 1.0
    lent: float = 0.0


UNDIVIDED = RiskShares()
