"""Curves over the standard deviation of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerbits._base import check_type
from layerbits.estimators import SigmaProfile
from layerbits.plots.figures import band, curve_panel, curve_styles, legend_of_layers, literal, reference_line
from layerbits.plots.given_axes import checked_name, checked_names, checked_unit, given_axes
from layerbits.plots.over_epochs import limit_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def sigma_profile(
    profile: SigmaProfile,
    quantity: str = "I(X;T)",
    *,
    layers: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot an information of each layer over sigma, with a band for its intervals.

    Parameters
    ----------
    profile : SigmaProfile
        The result of `layerbits.sigma_profile`.
    quantity : str
        The symbol of the information.
    layers : sequence of str, optional
        The layers to plot; all by default.
    ax : matplotlib Axes, optional
        The axes to plot on, to which ``ax.legend()`` adds a legend; by default those of a new pyplot figure with one.

    Returns
    -------
    matplotlib Axes
        The axes, with a dashed line at the largest possible value, if the profile has it.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    TypeError, ValueError
        An argument has a wrong type, or the profile lacks the quantity or one of `layers`.

    Examples
    --------
    >>> import torch, layerbits as lb
    >>> profile = lb.sigma_profile(torch.tensor([[-1.0], [1.0]]), [0.5, 1.0])
    >>> lb.plots.sigma_profile(profile).get_xlabel()
    'sigma'
    """
    check_type("profile", profile, SigmaProfile, wanted="the SigmaProfile of sigma_profile")
    quantity = checked_name("quantity", quantity, dict.fromkeys(row.quantity for row in profile))
    layers = checked_names("layers", layers, profile.layers)
    unit, axes = checked_unit("profile", (row.unit for row in profile)), given_axes(ax)
    for layer, style in zip(layers, curve_styles(layers), strict=True):
        rows = sorted(
            (row for row in profile if (row.layer, row.quantity) == (layer, quantity)), key=lambda row: row.sigma
        )
        ends = ([getattr(row, end) for row in rows] for end in ("lower", "value", "upper"))
        band(axes, [row.sigma for row in rows], ends, style)
    curve_panel(axes, xlabel="sigma", ylabel=literal(f"{quantity} in {unit}"))
    if quantity in profile.limits:
        limit = profile.limits[quantity]
        reference_line(axes, limit, literal(limit_label(quantity, limit, unit)))
    if ax is None:
        legend_of_layers(axes)
    return axes
