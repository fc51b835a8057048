"""Profiles over sigma: the information that activations without noise keep when noise is added to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import overload

from torch import Tensor, nn

from layerbits._base import Array, Integers, check_confidence, check_count, check_positive, refuse_earlier_parameters
from layerbits.estimators.audits import note, noted, saturation_notes
from layerbits.estimators.known_activations import known_activations, refuse_noise
from layerbits.estimators.layer_arrays import arrays_by_layer
from layerbits.estimators.query_counts import number_of_queries
from layerbits.estimators.same_arguments import check_same_arguments
from layerbits.estimators.sigma_profile_table import SigmaProfile, SigmaRow
from layerbits.kernels import Group, NormalStream, Processes, RandomStream, Workers, as_floats
from layerbits.mixtures import (
    ChannelEstimate,
    KnownChannel,
    common_noise_surprisals,
    resolved_coordinates,
    with_equal_distances,
)
from layerbits.networks import (
    MAX_MEMORY,
    Inputs,
    Labels,
    Layers,
    check_max_memory,
    global_states_restored,
    read_inputs,
    unsharded,
)
from layerbits.statistics import Interval, ceilings, class_numbers


@overload
def sigma_profile(
    activations: Array | Mapping[str, Array],
    sigmas: Iterable[float],
    /,
    *,
    labels: Array | None = ...,
    queries: int = ...,
    confidence: float = ...,
    seed: int = ...,
    group: Group = ...,
) -> SigmaProfile: ...
@overload
def sigma_profile(
    activations: Array | Mapping[str, Array],
    /,
    *,
    sigmas: Iterable[float],
    labels: Array | None = ...,
    queries: int = ...,
    confidence: float = ...,
    seed: int = ...,
    group: Group = ...,
) -> SigmaProfile: ...
@overload
def sigma_profile(
    model: nn.Module,
    inputs: Inputs,
    /,
    labels: Labels | None = ...,
    *,
    sigmas: Iterable[float],
    limit: int | None = ...,
    layers: Layers = ...,
    queries: int = ...,
    confidence: float = ...,
    seed: int = ...,
    max_memory: int = ...,
    group: Group = ...,
) -> SigmaProfile: ...
@refuse_earlier_parameters(activations="the first argument by position")
@global_states_restored(after_success=False)
def sigma_profile(
    model: nn.Module | Array | Mapping[str, Array],
    inputs: Inputs | Iterable[float] | None = None,
    /,
    labels: Labels | None = None,
    *,
    sigmas: Iterable[float] | None = None,
    limit: int | None = None,
    layers: Layers = None,
    queries: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
    max_memory: int = MAX_MEMORY,
    group: Group = None,
) -> SigmaProfile:
    """Estimate I(X; S + sigma Z), in nats, for activations S of a network without noise and each of several sigmas.

    Call it with a network, ``sigma_profile(model, inputs, sigmas=...)``, or with activations,
    ``sigma_profile(activations, sigmas)``.

    Parameters
    ----------
    model : torch.nn.Module
        A network without noise, whose activations are functions of the input.
    inputs : tensor, array, tuple, mapping, data frame, Dataset, DataLoader or iterable of batches
        The N values of X, as in `layer_information`.
    activations : tensor or array of shape (n, ...), or a mapping of layer names to tensors or arrays
        In place of a network, the value of S at each of the N = n values of X, flattened.
    sigmas : iterable of float
        Standard deviations of the noise, in any order.
    labels : array-like of shape (n,), one-hot rows, str, int or callable, optional
        Classes Y, a function of X, as in `layer_information`; adds I(T;Y) and I(X;T|Y).
    limit : int, optional
        Number of inputs of a network, chosen at random by `seed`; by default all.
    layers : None, str, type, callable or a sequence of them
        The layers of a network, as in `noisify`; None selects every hidden activation function.
    queries : int
        Queries of each input, at least 2.
    confidence : float
        Level of each interval.
    seed : int
        Seed of the noise. Z is the same for all sigmas, so that profiles are smooth.
    max_memory : int
        Budget in bytes of the passes of a network, as in `layer_information`: layers that do not fit together are
        measured in turn.
    group : torch.distributed.ProcessGroup, optional
        Processes that make this call together, with the same arguments, and share its work. All get the result,
        which has the same bits for any number of processes on CPUs. By default this process works alone.

    Returns
    -------
    SigmaProfile
        A row for each layer, sigma and quantity. Notes, with flags, name saturation and an information that rises
        with sigma by more than its error, which theory rules out.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, shape or value than wanted; activations are not finite; the network is noisy or
        uses random numbers in evaluation.
    LayerSelectionError
        `layers` matches no layer of the network.
    GroupError
        Another process of the group failed, made another call, or did not take part within the group's time-out.

    Notes
    -----
    The density p(t|x) is known, so intervals hold for any number of inputs and queries (`layerbits.statistics`). The
    lower end is a betting bound of the information that a decoder extracts (Barber and Agakov, The IM Algorithm, 2003).
    Up to some 120 dimensions, or with few sigmas, each sigma has its own sums over pairs of a query and a center;
    otherwise two numbers for each pair serve all sigmas.

    Examples
    --------
    >>> import torch, layerbits
    >>> row, = layerbits.sigma_profile(torch.tensor([[-1.0], [1.0]]), [0.5], queries=1000)
    >>> row.lower <= 0.63272 <= row.upper
    True
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> profile = layerbits.sigma_profile(model, torch.eye(2), sigmas=[0.1, 1.0])
    >>> [(row.layer, row.sigma) for row in profile]
    [('1', 0.1), ('1', 1.0)]
    """
    processes = Processes(group)
    with processes.call("sigma_profile"):
        check_count("queries", queries, minimum=2)
        risk = (1 - check_confidence(confidence)) / 2
        check_count("seed", seed, minimum=0)
        max_memory = check_max_memory(max_memory)
        options = {"queries": queries, "confidence": confidence, "seed": seed}
        if isinstance(model, nn.Module):
            sigmas = _checked_sigmas(sigmas)
            data = read_inputs(inputs, model, labels, limit=limit, seed=seed, max_memory=max_memory)
            model = unsharded(model, processes)
            of_network = {"sigmas": sigmas, "layers": layers, "limit": limit, "max_memory": max_memory}
            check_same_arguments(processes, model, data, {**of_network, **options})
            if len(data.labels) > 1:
                raise ValueError(
                    f"labels: got {len(data.labels)} label sets, wanted one; call sigma_profile for each of them"
                )
            labels = next(iter(data.labels.values()), None)
            refuse_noise(model)
            activations: Iterable[tuple[str, Tensor]] = known_activations(
                model, data, layers, min(sigmas), max_memory=max_memory, processes=processes
            )
        elif layers is not None or limit is not None:
            name = "limit" if layers is None else "layers"
            raise TypeError(
                f"{name}: got a value beside activations, wanted None; pass only the activations to measure"
            )
        elif sigmas is not None and inputs is not None:
            raise TypeError(
                "inputs: got values beside activations and sigmas, wanted None; or pass a network in place of "
                "activations"
            )
        else:
            arrays = arrays_by_layer("activations", model, "")
            sigmas = _checked_sigmas(inputs if sigmas is None else sigmas)
            points = {layer: _as_points(layer, array) for layer, array in arrays.items()}
            classes = [_classes(labels, centers) for centers in points.values()]
            processes.check_equal("sigma_profile", activations=points, labels=classes, sigmas=sigmas, **options)
            activations = points.items()
        rows: list[SigmaRow] = []
        limits: list[dict[str, float]] = []
        for index, (layer, centers) in enumerate(activations):
            numbers = _classes(labels, centers)
            number_of_queries(len(centers), None, queries)  # refuses too many
            channels = _channels(centers, numbers, sigmas, Workers(processes=processes))
            stream = NormalStream(seed, RandomStream.PROFILE_QUERIES, index)
            estimates = _estimates(channels, queries, stream, risk)
            separated_lower = estimates[0]["I(X;T)"].separated_lower
            rows += _audited(_rows(layer, sigmas, estimates), math.log(len(centers)), separated_lower)
            limits.append(ceilings(len(centers), numbers))
        profile = SigmaProfile(tuple(rows), limits[0] if all(other == limits[0] for other in limits) else {})
        return processes.check_result("sigma_profile", profile)


def _checked_sigmas(sigmas: object) -> list[float]:
    if not isinstance(sigmas, Iterable):
        raise TypeError(
            f"sigmas: got {type(sigmas).__name__}, wanted positive numbers, for instance np.geomspace(0.01, 1)"
        )
    numbers = (sigma.item() if isinstance(sigma, Tensor) and sigma.numel() == 1 else sigma for sigma in sigmas)
    checked_sigmas = [check_positive("sigmas", number) for number in numbers]
    if not checked_sigmas:
        raise ValueError("sigmas: got none, wanted at least one")
    return checked_sigmas


def _classes(labels: object, centers: Tensor) -> Integers | None:
    return None if labels is None else class_numbers(labels, len(centers))


def _channels(
    points: Tensor, classes: Integers | None, sigmas: Sequence[float], workers: Workers
) -> list[KnownChannel]:
    """Return a channel for each sigma; they share centers, reduced in dimension and sorted by class."""
    centers = resolved_coordinates(with_equal_distances(points), min(sigmas), name="sigmas")
    if classes is not None:
        order = classes.argsort(kind="stable")
        centers, classes = centers[order], classes[order]
    return [KnownChannel(centers, sigma, classes, workers=workers) for sigma in sigmas]


def _estimates(
    channels: Sequence[KnownChannel], queries: int, stream: NormalStream, risk: float
) -> list[dict[str, ChannelEstimate]]:
    """Estimate every information of each channel; each end of an interval is wrong with at most this risk."""
    noise = stream.like(channels[0].centers[:, None].expand(-1, queries, -1))
    surprisals, lower_bounds = common_noise_surprisals(channels, noise)
    return [
        channel.estimates_at(by_condition, risk, Interval(lower_bound, math.inf))
        for channel, by_condition, lower_bound in zip(channels, surprisals, lower_bounds.tolist(), strict=True)
    ]


def _rows(layer: str, sigmas: Sequence[float], estimates: Sequence[Mapping[str, ChannelEstimate]]) -> list[SigmaRow]:
    return [
        SigmaRow(
            layer=layer,
            sigma=sigma,
            quantity=quantity,
            value=estimate.point[0],
            standard_error=estimate.point[1],
            lower=estimate.interval.lower,
            upper=estimate.interval.upper,
        )
        for sigma, by_quantity in zip(sigmas, estimates, strict=True)
        for quantity, estimate in by_quantity.items()
    ]


def _audited(rows: Sequence[SigmaRow], log_n: float, separated_lower: float) -> list[SigmaRow]:
    """Return the rows of a layer with notes on saturation and on violations of theory by more than the error."""
    audited_rows = []
    for row in rows:
        noisier_rows = [other for other in rows if other.quantity == row.quantity and other.sigma > row.sigma]
        notes = [
            note("below_larger_sigma", sigma=noisier.sigma) for noisier in noisier_rows if noisier.lower > row.upper
        ]
        if row.quantity == "I(X;T)":
            notes += saturation_notes(Interval(row.lower, row.upper), log_n, separated_lower)
        audited_rows.append(noted(row, notes))
    return audited_rows


def _as_points(layer: str, activations: Array) -> Tensor:
    """Return the activations of a layer as a tensor (n, d)."""
    name = f"activations of layer {layer!r}" if layer else "activations"
    points = as_floats(name, activations).detach()
    if points.ndim == 0 or points.numel() == 0:
        raise ValueError(f"{name}: got shape {tuple(points.shape)}, wanted (n, ...) with n >= 1")
    if not points.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    # Sums over values in another order in memory would differ by rounding.
    return points.reshape(len(points), -1).contiguous()
