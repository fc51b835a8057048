"""The result type of binned information and of the estimators in `layerbits.baselines`."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class BaselineEstimate:
    """An estimate by a rival method, with the name of the quantity that the method computes.

    Attributes
    ----------
    quantity : str
        The symbol of the quantity, such as ``"H(Bin(T))"`` or ``"h(T)"``.
    estimator : str
        The method and its settings.
    value : float
        The estimate, in `unit`.
    label_information : float or None
        The method's estimate of I(T;Y), in `unit`; None without labels.
    unit : str
        ``"nats"`` or ``"bits"``.
    note : str
        Why the value says little about the layer, in words; empty if the method finds no such reason.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> estimate = lb.binned_information(np.array([[0.0], [1.0]])).bits
    >>> estimate.quantity, estimate.estimator, estimate.value, estimate.unit
    ('H(Bin(T))', 'bins of 0.1', 1.0, 'bits')
    """

    quantity: str
    estimator: str
    value: float
    label_information: float | None = None
    unit: str = "nats"
    note: str = ""

    @property
    def bits(self) -> BaselineEstimate:
        """The same estimate in bits."""
        if self.unit == "bits":
            return self
        label_information = None if self.label_information is None else self.label_information / math.log(2)
        return dataclasses.replace(
            self, value=self.value / math.log(2), label_information=label_information, unit="bits"
        )
