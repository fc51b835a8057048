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

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> lb.binned_information(np.array([[0.0], [1.0]])).bits
    BaselineEstimate(quantity='H(Bin(T))', estimator='bins of 0.1', value=1.0, label_information=None, unit='bits')
    """

    quantity: str
    estimator: str
    value: float
    label_information: float | None = None
    unit: str = "nats"

    @property
    def bits(self) -> BaselineEstimate:
        """The same estimate in bits."""
        if self.unit == "bits":
            return self
        label_information = None if self.label_information is None else self.label_information / math.log(2)
        return dataclasses.replace(
            self, value=self.value / math.log(2), label_information=label_information, unit="bits"
        )
