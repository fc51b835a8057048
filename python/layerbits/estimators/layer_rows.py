"""The rows of an information table from the measurements of one layer, for each label set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from layerbits._base import TAIL_ASSUMED, InformationRow
from layerbits.estimators.audits import note, noted_too, with_notes
from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_measurement import LayerMeasurement


def layer_rows(
    layer: str,
    label_sets: Mapping[str, Classes],
    measurements: Mapping[str, LayerMeasurement],
    estimator: str,
    seconds: float,
    flags: tuple[str, ...] = (),
    previous: InformationRow | None = None,
) -> list[InformationRow]:
    """Return the rows of a layer, with notes; I(X;T) comes first.

    Parameters
    ----------
    label_sets : mapping of str to Classes
        The classes by the name of the label set. Quantities without a class appear once, from the first label set.
    measurements : mapping of str to LayerMeasurement
        The measurement with each label set.
    seconds : float
        Time to measure the layer.
    previous : InformationRow or None
        I(X;T) of the earlier layer of the chain with the least upper end; None if there is no such layer.
    """
    rows: list[InformationRow] = []
    for name, classes in label_sets.items():
        measurement = measurements[name]
        of_labels = list(_rows(layer, measurement, estimator, flags, seconds))
        separated_lower = measurement.estimates["I(X;T)"].separated_lower
        taken = {quantity: estimate.taken for quantity, estimate in measurement.estimates.items() if estimate.taken}
        of_labels = with_notes(of_labels, previous, classes.ceilings, measurement.shortfall, separated_lower, taken)
        assuming = {quantity for quantity, estimate in measurement.estimates.items() if estimate.tail_assumed}
        of_labels = [noted_too(row, note(TAIL_ASSUMED)) if row.quantity in assuming else row for row in of_labels]
        rows += [
            dataclasses.replace(row, quantity=row.quantity.replace("Y", name))
            for row in of_labels
            if not rows or "Y" in row.quantity
        ]
    return rows


def _rows(
    layer: str, measurement: LayerMeasurement, estimator: str, flags: tuple[str, ...], seconds: float
) -> Iterator[InformationRow]:
    for quantity, estimate in measurement.estimates.items():
        yield InformationRow(
            layer=layer,
            quantity=quantity,
            estimator=estimator,
            value=estimate.value,
            standard_error=estimate.standard_error,
            lower=estimate.interval.lower,
            upper=estimate.interval.upper,
            unit="nats",
            draws=measurement.draws,
            seconds=seconds,
            plug_in=estimate.plug_in,
            plug_in_error=estimate.plug_in_error,
            decoded=estimate.decoded,
            decoded_error=estimate.decoded_error,
            decoder=estimate.decoder,
            limited_by=estimate.limited_by,
            flags=flags,
        )
