"""`layer_information`: the information of every layer of a network, with intervals for the true values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import nn

from layerbits._base import InformationTable, refuse_earlier_parameters
from layerbits.estimators.all_layers import measure_layers
from layerbits.estimators.input_decoders import InputDecoder
from layerbits.estimators.problem import Problem
from layerbits.estimators.provenance import provenance_of_table
from layerbits.estimators.settings import MeasurementSettings
from layerbits.kernels import Devices, Group, Processes
from layerbits.networks import MAX_MEMORY, Inputs, Labels, Layers, Readouts, Sigma, global_states_restored, read_inputs


@refuse_earlier_parameters(noisy="model")
@global_states_restored(after_success=False)
def layer_information(
    model: nn.Module,
    inputs: Inputs,
    labels: Labels | None = None,
    *,
    limit: int | None = None,
    sigma: Sigma | None = None,
    layers: Layers = None,
    readout: Readouts = None,
    draws: int | None = None,
    queries: int | None = None,
    tolerance: float | None = None,
    confidence: float = 0.95,
    max_seconds: float = 300.0,
    max_draws: int = 4096,
    seed: int = 0,
    estimator: str = "auto",
    devices: Devices = None,
    max_memory: int = MAX_MEMORY,
    simultaneous: bool = False,
    decoders: Sequence[InputDecoder] | None = None,
    group: Group = None,
) -> InformationTable:
    """Measure I(X;T), h(T) and h(T|X) of layers, for X uniform over the inputs, in nats.

    Parameters
    ----------
    model : torch.nn.Module
        A network with noise, as `noisify` returns it; or, with `sigma`, one without.
    inputs : tensor, array, tuple, mapping, data frame, Dataset, DataLoader or iterable of batches
        The N = n values of X: a tensor, array or data frame of shape (n, ...); a tuple of positional arguments; or a
        mapping of arguments by name, such as a ``BatchEncoding``. Arguments are tensors and arrays that share their
        first axis, and tuples, lists and dicts of them; None, numbers and strings are the same in every pass. A data
        set, a loader, a list or another iterable of such batches is read once (a list that may hold samples is
        refused), and kept in a temporary file if it takes more than `max_memory` bytes. Arrays are moved to the device
        of the network and floating-point arrays to its dtype, as are whole numbers and booleans of a data frame that
        the network does not take as they are; tensors keep their dtype, unless a network of float32 or float64 refuses
        another floating-point dtype; the tensors of loaders, lists and data sets are moved pass by pass.
    labels : array-like of shape (n,), one-hot rows, str, int, callable or mapping of str to them, optional
        Classes Y, a function of X: whole numbers, booleans or strings; or the key, the position (-1 is the last) or the
        function that finds them in a batch, and then the network does not get them: neither the item that a function
        returns, nor the items (columns of a data frame) from which it computes the labels, which must not be arguments
        of the network, apart from ``labels`` and similar names. An array belongs to rows in a fixed order, which a
        DataLoader with a sampler (``shuffle=True``) does not have: it is refused, and an iterable of batches must yield
        its rows in the order of the array. A Series has the index of the data frame. Adds I(T;Y) and I(X;T|Y). A
        mapping has several label sets by name; ``{"digit": ...}`` adds I(T;digit) and I(X;T|digit). All use the same
        passes.
    limit : int, optional
        Number of inputs, chosen at random by `seed`; by default, and if there are no more, all. E I(X;T) over random
        subsets is at most that of all inputs.
    sigma : float, tensor, array, DropoutNoise, RelativeSigma or mapping of str to them, optional
        For a network without noise: the noise that the measurement adds to each layer, as in `noisify`. The network
        runs without it, so p(t|x) is known at every layer and intervals are tight at any depth. T of a later layer is
        then no function of T of an earlier one. For unbounded activation functions, I(X;T) at a fixed sigma also
        measures the growth of the weights. Rows have the flag ``"measurement_noise"``.
    layers : None, str, type, callable or a sequence of them
        The layers to measure, as in `noisify`. None selects all noisy layers, or with `sigma` every hidden activation
        function. A warning names the layers that None leaves out: those of experts that get some of the rows. In a
        noisy network their noise acts on the layers behind them.
    readout : "mean", "first", "last", int, Tokens, Channels, slices, None, or a sequence of them
        The linear views A^T T of each layer to measure, all in the same passes; None is the whole layer. ``"mean"``,
        ``"first"``, ``"last"`` and positions are along the tokens, axis 1 of (n, L, d); `Tokens` names another axis,
        and ``Channels("mean")`` is the mean over the positions of (n, C, L) or (n, C, H, W). The rows have names such
        as ``"layer[mean]"``. Their noise is that of A^T T (for a mean over L tokens, sigma / sqrt(L)), and their h(T)
        is that of A^T T. I(X; A^T T) is at most I(X;T), unless a mask chooses the tokens (`Tokens`). It may grow from
        layer to layer, so readouts are not audited against the layer before. `RandomSlices`, `PrincipalSlices` and
        `LearntSlices` are readouts of few dimensions, whose information has symbols of its own, such as SI_1(X;T).
    draws : int, optional
        Noisy passes per input, r; at least 2 for a layer behind noise. The gap between the two bounds falls as r grows.
        A layer behind no noise uses a single pass. By default 32, but at least 16,384 passes of all inputs together and
        at most 4096 of an input: few inputs need more draws. The column `draws` has the number.
    queries : int, optional
        Queries per input, at least 2. Behind noise the last draws carry one query each, at most half of the draws. By
        default 16,384 queries in all and at least 4 of an input, but behind noise at most a quarter of the draws, or 4
        if that is more; with "known", about 1024 queries in all and at least 1 of an input, and up to 16,384 in all
        if the further queries take no more work than the linear models of the network.
    tolerance : float, optional
        Wanted half width of the interval of I(X;T), in nats. Draws or queries of a layer are doubled until its interval
        is that narrow, or until a limit is reached; a note then names the limit and the option that helps. None: one
        round with `draws` and `queries`.
    confidence : float
        Level of each single interval, or with `simultaneous` of all intervals of the table together.
    max_seconds : float
        With a tolerance: no round begins that would likely end later than this after the call. Layers that can reach
        the tolerance in this time come first, ordered by the expected reduction of width a second. Only if this limit
        ends the rounds of a layer do numbers depend on the speed of the machine.
    max_draws : int
        With a tolerance: largest number of noisy passes per input.
    seed : int
        Seed of all noise, a whole number of any size from 0. The noise of a CUDA device differs from that of the CPU.
    estimator : {"auto", "draws", "known", "paper"}
        How layers behind noise are measured. With "draws", by noisy passes. With "known", they have no draws: the
        network is differentiated, and the noises behind each query are inferred, which gives narrow intervals in wide
        layers. The column `decoder` is then "known network". With "auto", by draws, and also by the network if the
        network allows it and is expected to leave a narrower interval than more draws, in at most about twice the work
        of the draws; the better ends of both are taken, and those of the draws have 4/5 of the risk. With "paper",
        `plug_in` is the paper's estimate: the plug-in with separate samples for h(T) and h(T|X). `value` is this
        estimate, moved into the interval, or the midpoint of a wide interval.
    devices : sequence of torch.device or str, optional
        CUDA devices that share the queries of a network on a CUDA device; by default that device computes them alone.
        Devices of the same model give the same numbers as one device.
    max_memory : int
        Budget in bytes for the passes and the recorded signals; 1 GiB by default. The budget and the observed bytes of
        a row set the number of rows of a pass; the free memory does not, so results repeat. Layers whose signals do not
        fit together are measured in turn, with passes of their own and the same noise. A single layer behind noise that
        does not fit is projected on at most 256 principal axes: that takes the memory of two of its draws (three, if
        sigma is no single number) and 2 KiB a unit, and may raise its upper bound. Beside this budget, the bounds of
        a layer behind noise take up to nine times the bytes of its signals, or of their coordinates on these axes.
        Another budget may change the rounding of torch's matrix products.
    simultaneous : bool
        Whether all intervals of the table hold together with probability `confidence`: the risk is divided by their
        number, so each interval is wider.
    decoders : sequence of InputDecoder, optional
        Decoders q(x|t) of your own, objects with ``fit(signals, inputs)`` and ``scores(queries)``. At layers behind
        noise they compete with the built-in ones for the lower ends of I(X;T), I(T;Y) and I(X;T|Y), which hold for
        every decoder. The column `decoder` names the best one. ``estimator="known"`` refuses them.
    group : torch.distributed.ProcessGroup, optional
        Processes that make this call together, with the same arguments, and share its passes and queries. All get
        the table, which has the same bits for any number of processes on CPUs. By default this process works alone.

    Returns
    -------
    InformationTable
        A row for each layer, readout and quantity. `lower` to `upper` is a confidence interval for the true quantity.
        `value` is the mean of the decoder bound and of the plug-in bound less half of its first-order bias, both moved
        into the interval; `standard_error` includes the gap between the bounds. If the interval, or the one from the
        layer's own bounds, is wider than 0.5 nats, `value` is the midpoint of the interval, and `standard_error` is
        NaN. Notes, with flags, name saturation (the interval holds log N, and the lower end is as near as the queries
        allow), a missed tolerance, bounds that exclude each other, and violations, by more than the error, of
        I(X;T) <= log N, I(T;Y) <= H(Y), I(X;T|Y) <= H(X|Y), I(X;T) <= I(X;T) of each layer through which alone the
        input acts on T, and I(X;T) = I(T;Y) + I(X;T|Y).

    Raises
    ------
    NoNoiseError
        `model` has no noise, or the noise is switched off: I(X;T) is then log N for N inputs whose signals differ.
    LayerSelectionError
        `layers` is empty or matches no noisy layer; a layer does not run once in a pass.
    TypeError, ValueError
        An argument has another type, shape or value than wanted; signals are not finite, or so far from zero that the
        dtype of the network does not resolve the noise; behind noise, the signals of a layer with a `DropoutNoise`, or
        means over different numbers of tokens, exceed `max_memory`; a decoder of your own raises an exception, returns
        no scores, or scores a query differently alone and in a batch; with ``estimator="known"``, random numbers of the
        network act on a layer behind noise, the network branches on values, or torch cannot differentiate it; the
        parameters change during the measurement.
    MemoryError
        The system has no memory for a pass or for signals.
    GroupError
        Another process of the group failed, made another call, or did not take part within the group's time-out.

    Notes
    -----
    The lower end of an information holds for any number of queries: the decoder bound holds for every decoder, and its
    terms are independent and bounded (`layerbits.statistics`). The upper end holds likewise at the first layer, and
    with `sigma` at every layer. Behind noise the upper end is a Student bound for the mean of the plug-in, with an
    allowance for rare events; the error of the plug-in is a jackknife over the draws of each input. The lower end of an
    entropy behind noise is of the same kind. Its upper end holds for any number of queries where the activation
    function bounds the signals; elsewhere it assumes a largest distance of signals from their center (the flag
    ``"tail_assumed"``).

    In a chain, I(X;T), I(T;Y) and I(X;T|Y) of a layer are at most those of each layer through which alone the input
    acts on T. So a layer takes over smaller upper ends of such measured layers, and larger lower ends of later ones and
    of its readouts without a mask (the flag ``"data_processing"``); a tenth of the risk is divided for these ends,
    unless intervals are simultaneous.

    All passes run in evaluation mode, and each begins with the attributes and buffers that the network has before the
    measurement: a network that keeps values from one pass to the next, or counts passes, is measured in its next pass.
    Signals stay on the network's device, the CPU or a CUDA device; arrays with a number for each query are copied to
    the host.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2), torch.nn.Tanh())
    >>> noisy = lb.noisify(model, sigma=0.1, layers=torch.nn.Tanh)
    >>> inputs = torch.eye(2)
    >>> table = lb.layer_information(noisy, inputs, draws=8)
    >>> row = table["3", "I(X;T)"]
    >>> 0 <= row.lower <= row.value <= row.upper <= 0.6932  # log 2
    True
    """
    processes = Processes(group)
    with processes.call("layer_information"):
        settings = MeasurementSettings(
            draws=draws,
            queries=queries,
            tolerance=tolerance,
            confidence=confidence,
            max_seconds=max_seconds,
            max_draws=max_draws,
            seed=seed,
            estimator=estimator,
            max_memory=max_memory,
            simultaneous=simultaneous,
        )
        data = read_inputs(inputs, model, labels, limit=limit, seed=settings.seed, max_memory=settings.max_memory)
        problem = Problem.of(
            model,
            data,
            layers=layers,
            readout=readout,
            sigma=sigma,
            devices=devices,
            processes=processes,
            max_memory=settings.max_memory,
            decoders=decoders,
        )
        provenance = provenance_of_table(problem, settings.seed)
        table = measure_layers(problem, settings)
        return dataclasses.replace(table, provenance=provenance)
