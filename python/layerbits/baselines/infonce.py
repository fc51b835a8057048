"""InfoNCE: a lower bound of I(X;T) by a critic that is trained to tell the input of an activation among others."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Array, Doubles, check_count, shown
from layerbits.baselines.label_information import as_rows
from layerbits.geometry import BaselineEstimate
from layerbits.kernels import RandomStream, single_threaded_torch, stream
from layerbits.statistics import class_numbers

# Units of the hidden layer and of the embedding of the critic, steps of its training and their length. On Gaussians of
# 1 to 4 dimensions, further steps or larger ones change the bound on held-out rows by less than .03 nats, or lower it.
_HIDDEN, _EMBEDDING, _STEPS, _LEARNING_RATE = 64, 16, 400, 1e-3

_NEAR_CAP = 0.9  # share of log(batch) from which on the value says little about the information


def infonce_information(
    activations: Array, *, inputs: Array, labels: Array | None = None, batch: int = 128, seed: int = 0
) -> BaselineEstimate:
    """Estimate a lower bound of I(X;T), in nats, by InfoNCE with a small critic.

    A critic f(x, t) = g(x)^T h(t), g and h networks with one hidden layer of 64 units, is trained for 400 steps on
    one half of the rows. The value is the mean over pairs i of batches of K rows of the other half of

        f(x_i, t_i) - log (1/K) sum_j exp f(x_j, t_i).

    For independent pairs its expectation is at most I(X;T), whatever the critic, because the critic has not seen these
    rows. But the value

    - is at most log K: to show an information of 10 nats takes batches of 22,026 rows;
    - is too small if the critic is poor, by an unknown amount, also far below log K;
    - is one sample of this expectation: it has no interval, and may exceed I(X;T) by chance, or be negative.

    In a deterministic network, activations of different inputs differ, and the value shows how good the critic is.
    `note` says if the value is at least 0.9 log K. With labels, the same bound with the classes in place of X estimates
    I(T;Y).

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; at least 2 `batch` rows, in random order: the first half trains the critic.
    inputs : tensor or array of shape (n, e)
        X, float32 or float64, finite.
    labels : integer tensor or array of shape (n,), optional
        Classes Y.
    batch : int
        The number K of candidates, at least 2.
    seed : int
        Seed of the weights of the critic, and of the batches of its training.

    Returns
    -------
    BaselineEstimate
        ``"I(X;T)"`` in nats, a lower bound in expectation.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: van den Oord, Li and Vinyals, Representation Learning with Contrastive Predictive Coding (2018); Poole,
    Ozair, van den Oord, Alemi and Tucker, On Variational Bounds of Mutual Information (2019), section 2.3. The critic
    and its training are choices of layerbits.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> x, z = np.random.default_rng(0).standard_normal((2, 2000, 1))
    >>> estimate = lb.baselines.infonce_information(x + z, inputs=x)
    >>> bool(0.2 < estimate.value < 0.5 * np.log(2) + 0.1)
    True
    """
    rows, input_rows = as_rows("activations", activations), as_rows("inputs", inputs)
    n, size = len(rows), check_count("batch", batch, minimum=2)
    seed = check_count("seed", seed, minimum=0)
    if len(input_rows) != n:
        raise ValueError(f"inputs: got {len(input_rows)} rows, wanted {n}, one for each row of activations")
    if n < 2 * size:
        raise ValueError(
            f"batch: got {shown(size)}, wanted at most {n // 2}, half the number of rows; or pass more rows"
        )
    classes = None if labels is None else class_numbers(labels, n)  # checked before the critic is trained
    value = _bound(rows, input_rows, size, seed)
    label_information = None
    if classes is not None:
        label_information = _bound(rows, np.eye(classes.max() + 1)[classes], size, seed)
    note = ""
    if value >= _NEAR_CAP * math.log(size):
        note = f"the value is near its largest possible value, log {size}: raise batch, the information may be larger"
    return BaselineEstimate("I(X;T)", f"InfoNCE, {size} candidates", value, label_information, note=note)


def _bound(rows: Doubles, input_rows: Doubles, size: int, seed: int) -> float:
    """Train a critic on the first half of the rows, and return the mean bound of batches of the second half."""
    n_train = len(rows) // 2
    pairs = [_standardized(part, n_train) for part in (rows, input_rows)]
    weights, order = stream(seed, RandomStream.CRITIC_WEIGHTS), stream(seed, RandomStream.CRITIC_ROWS)
    with single_threaded_torch(), torch.inference_mode(False), torch.enable_grad():
        encoders = [_encoder(part.shape[1], weights) for part in pairs]
        optimizer = torch.optim.Adam([weight for encoder in encoders for weight in encoder], lr=_LEARNING_RATE)
        for _ in range(_STEPS):
            chosen = torch.from_numpy(order.choice(n_train, size, replace=False))
            optimizer.zero_grad()
            (-_terms(encoders, [part[chosen] for part in pairs]).mean()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            batches = range(n_train, len(rows) - size + 1, size)
            # In float64, so that rounding does not lift a value above its bounds.
            exact = [[weight.double() for weight in encoder] for encoder in encoders]
            terms = [_terms(exact, [part[start : start + size].double() for part in pairs]) for start in batches]
    return float(torch.cat(terms).mean())


def _standardized(rows: Doubles, n_train: int) -> Tensor:
    """Return rows in float32 in which the first `n_train` have the mean 0 and the deviation 1, or 0, in each column."""
    mean, deviation = rows[:n_train].mean(axis=0), rows[:n_train].std(axis=0)
    return torch.from_numpy((rows - mean) / np.where(deviation > 0, deviation, 1.0)).float()


def _encoder(dim: int, random: np.random.Generator) -> list[Tensor]:
    """Return weights of a network with one hidden layer; signals of deviation 1 keep about this deviation."""
    shapes = {(dim, _HIDDEN): dim, (_HIDDEN,): dim, (_HIDDEN, _EMBEDDING): 2 * _HIDDEN * math.sqrt(_EMBEDDING)}
    return [
        torch.from_numpy(random.standard_normal(shape) / math.sqrt(scale)).float().requires_grad_()
        for shape, scale in shapes.items()
    ]


def _terms(encoders: list[list[Tensor]], pairs: list[Tensor]) -> Tensor:
    """Return f(x_i, t_i) - log (1/K) sum_j exp f(x_j, t_i) for each activation t_i of a batch of K pairs."""
    activations, inputs = (
        torch.relu(rows @ first + bias) @ second for rows, (first, bias, second) in zip(pairs, encoders, strict=True)
    )
    scores = activations @ inputs.mT
    terms: Tensor = scores.diagonal() - scores.logsumexp(1) + math.log(len(scores))
    return terms
