"""A monitor measures the inputs that it got, or refuses inputs that have changed in place."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import layerbits as lb
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

SETTINGS = lb.MeasurementSettings(draws=2, queries=10)


def inputs():
    return normal_tensor(12, 4, seed=1).float()


def monitor(given, directory, labels=None):
    return lb.Monitor(tanh_mlp(4, 3, 2), given, labels, at=[0, 1, 2], directory=directory, sigma=0.3, settings=SETTINGS)


FORMS = {
    "tensor": lambda x: x,
    "array": lambda x: x.numpy(),
    "tuple": lambda x: (x,),
    "mapping": lambda x: {"input": x},
    "list of one batch": lambda x: [x],
    "part of another tensor": lambda x: x[:8],
    "other strides": lambda x: x.as_strided((4, 4), (4, 1)).T,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_inputs_that_change_in_place_are_refused(form, tmp_path):
    x = inputs()
    monitored = monitor(form(x), tmp_path)
    first = monitored.step(0)
    array = x.numpy()
    array[0, 0] += 1e-3  # NumPy does not count as a write of torch
    with pytest.raises(ValueError, match=r"^inputs: got tensors whose values have changed .*clone\(\)"):
        monitored.step(1)
    assert monitored.step(0) is first
    assert list(monitored.tables) == [0]
    array[0, 0] = inputs().numpy()[0, 0]
    assert monitored.step(2) is not None


def test_copies_of_the_inputs_may_change(tmp_path):
    x = inputs()
    monitored = monitor(TensorDataset(x), tmp_path)
    x.zero_()
    assert monitored.step(0)["1", "I(X;T)"].upper > 0


def test_labels_are_copied(tmp_path):
    labels = np.arange(12) % 3
    monitored = monitor(inputs(), tmp_path, labels)
    labels[:] = 0
    # The entropy of three classes of equal size, which a change of the labels would make 0.
    assert monitored.step(0)["1", "I(T;Y)"].upper > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool])
def test_inputs_of_each_dtype_are_compared(dtype, tmp_path):
    class Converting(torch.nn.Sequential):
        def forward(self, x):
            return super().forward(x.float())

    x = (inputs() > 0).to(dtype)
    model = Converting(*tanh_mlp(4, 3, 2))
    monitored = lb.Monitor(model, x, at=[0, 1], directory=tmp_path, sigma=0.3, settings=SETTINGS)
    monitored.step(0)
    x[0, 0] = not x[0, 0]
    with pytest.raises(ValueError, match=r"^inputs: got tensors whose values have changed"):
        monitored.step(1)
