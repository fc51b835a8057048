"""Arguments that most functions accept, by the name of a parameter or by its annotation: small ones."""

import tempfile

import numpy as np
import torch
from torch import nn

import layerbits as lb

ROWS, COLUMNS = 6, 3


def points(seed=0):
    """Return points (6, 3) in float32."""
    return torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(seed))


def plain_network():
    """Return a classifier of points with the layers "1" and "3"."""
    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Linear(COLUMNS, 4), nn.Tanh(), nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-1, 1, generator=generator)
    return network


def noisy_network():
    """Return the classifier of `plain_network` with noise at both layers."""
    return lb.noisify(plain_network(), sigma=0.3, inputs=points())


def table():
    """Return a measured table of two layers."""
    return lb.information({"a": points(), "b": points(1)}, 0.5, LABELS, queries=2)


def history():
    """Return a history of two epochs."""
    return lb.InformationHistory({1: table(), 2: table()}, confidence=0.95, simultaneous=False)


def scratch_folder():
    """Return an empty folder; the fixture of the tests removes its parent."""
    return tempfile.mkdtemp(prefix="fuzz-")


LABELS = np.arange(ROWS) % 2

BY_NAME = {
    "labels": [lambda: None, lambda: LABELS.copy(), lambda: torch.tensor(LABELS), lambda: ["a", "b"] * (ROWS // 2)],
    "sigma": [lambda: 0.3, lambda: 1],
    "sigmas": [lambda: [0.1, 1.0]],
    "layers": [lambda: None, lambda: ["1"], lambda: "3", lambda: nn.Tanh],
    "layer": [lambda: "1"],
    "first": [lambda: "1", lambda: 1],
    "second": [lambda: "3"],
    "last": [lambda: 3],
    "at": [lambda: [1, 2]],
    "readout": [lambda: None, lambda: "mean", lambda: lb.RandomSlices(1, 8), lambda: lb.PrincipalSlices(1)],
    "max_seconds": [lambda: 1.0],
    "quantity": [lambda: "I(X;T)", lambda: "I(T;Y)"],
    "count": [lambda: 8],
    "draws": [lambda: 2, lambda: 4, lambda: 8],
    "max_draws": [lambda: 8],
    "queries": [lambda: 2, lambda: 3],
    "max_memory": [lambda: 2**30],
    "confidence": [lambda: 0.5, lambda: 0.95],
    "limit": [lambda: None, lambda: 4],
    "devices": [lambda: None],
    "decoders": [lambda: None],
    "group": [lambda: None],
    "settings": [lambda: lb.MeasurementSettings(draws=4, queries=2, max_draws=8)],
    "log": [lambda: None],
    "measures": [lambda: None, lambda: ["binned_information"]],
    "max_overhead": [lambda: None, lambda: 0.1],
    "bins": [lambda: 8],
    "tables": [lambda: {1: table()}],
    "metric": [lambda: "euclidean", lambda: "cosine"],
    "estimator": [lambda: "draws", lambda: "auto", lambda: "known"],
    "tolerance": [lambda: None, lambda: 0.5],
    "order": [lambda: 1],
    "variables": [lambda: 2],
    "messages": [lambda: np.ones((2, 3), np.uint8)],
    "generator": [lambda: lb.data.reed_muller_matrix(1, 2)],
    "random": [lambda: np.random.default_rng(0)],
    "images": [lambda: torch.ones(2, 1, 5, 5)],
    "edges": [lambda: None, lambda: np.array([0.0, 0.5])],
    "range": [lambda: None, lambda: (0.0, 2.0)],
    "range_": [lambda: None],
    "seeds": [lambda: [0]],
    "tasks": [lambda: [task for task in lb.calibration.V1 if task.name == "pairs"] or list(lb.calibration.V1)[:1]],
    "processes": [lambda: 1],
    "ax": [lambda: None],
    "table": [table],
    "history": [history],
    "histogram": [lambda: lb.pairwise_distance_histogram(points(), LABELS, bins=8)],
    "profile": [lambda: lb.sigma_profile(points(), sigmas=[0.5, 1.0])],
    "experiment": [lambda: "none-such"],
    "grid": [lambda: {"seed": [0]}],
    "executor": [lambda: None],
    "given": [lambda: None],
    "channel": [lambda: lb.calibration.line_channel([-1.0, 1.0], 0.5)],
    "directory": [scratch_folder],
    "folder": [scratch_folder],
}

# The first annotation that begins a parameter's annotation decides.
BY_ANNOTATION = {
    "'nn.Module | Array": [points, noisy_network, plain_network],
    "'nn.Module": [noisy_network, plain_network],
    "'Model": [plain_network, noisy_network],
    "'Array | Mapping": [points, lambda: {"a": points()}],
    "'Array": [points, lambda: points().double().numpy()],
    "'Inputs": [points, lambda: points().numpy(), lambda: [points()[:3], points()[3:]]],
    "'Doubles": [lambda: np.array([0.5, 1.0, 2.0])],
    "'Sequence[float]": [lambda: [0.5, 1.0, 2.0]],
    "'Tensor": [points],
    "'int": [lambda: 1, lambda: 2, lambda: 3, lambda: 5],
    "'float": [lambda: 0.5, lambda: 0.1, lambda: 1, lambda: 0.95],
    "'bool": [lambda: False, lambda: True],
    "'str | os.PathLike": [scratch_folder],
    "'str": [lambda: "x"],
    "'Callable": [lambda: len],
}


def usual_values(parameter):
    """Return functions that make values which `parameter` is meant for; the default is one of them."""
    makers = BY_NAME.get(parameter.name)
    if makers is None:
        annotation = repr(parameter.annotation)
        makers = next((makers for begin, makers in BY_ANNOTATION.items() if annotation.startswith(begin)), [])
    if parameter.default is not parameter.empty:
        makers = [lambda: parameter.default, *makers, lambda: parameter.default]
    return makers or [lambda: None]
