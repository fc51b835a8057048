"""The table of layers: its rows, columns and text."""

import re
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from layerbits import layers, noisify, remove_noise
from tests.support.networks import Twice, tanh_mlp

INPUTS = torch.linspace(-1, 1, 24).reshape(6, 4)


def table():
    return layers(noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, layers="1", inputs=INPUTS), INPUTS)


def test_row_has_the_properties_of_a_layer():
    row = table()["3"]
    assert (row.name, row.type, row.shape, row.noisy, row.output) == ("3", "Tanh", (6, 3), False, False)
    assert table()["1"].noisy
    assert table()["4"].output


def test_table_lists_names_and_noisy_layers():
    assert table().names == ("0", "1", "2", "3", "4")
    assert table().noisy == ("1",)
    assert len(table()) == 5
    assert [row.name for row in table()] == list(table().names)


def test_table_contains_its_names_and_rows_alone():
    assert "3" in table()
    assert table()["3"] in table()
    assert "5" not in table()
    assert 3 not in table()


def test_table_prints_a_line_for_each_layer():
    assert str(table()).splitlines() == [
        "name  type    shape   noisy  output",
        "0     Linear  (6, 3)",
        "1     Tanh    (6, 3)  yes",
        "2     Linear  (6, 3)",
        "3     Tanh    (6, 3)",
        "4     Linear  (6, 2)         yes",
    ]


def test_short_form_names_the_layers():
    assert repr(table()) == "LayerTable(names=('0', '1', '2', '3', '4'), noisy=('1',))"


def test_unknown_name_is_refused_with_the_names_of_the_layers():
    with pytest.raises(KeyError, match="layer: got '9', wanted one of 0, 1, 2, 3, 4"):
        table()["9"]


def test_only_the_call_with_noise_is_marked_as_noisy():
    model = noisify(Twice(), sigma=0.1, layers="module@2", inputs=INPUTS)
    assert [(row.name, row.noisy) for row in layers(model, INPUTS)] == [("module", False), ("module@2", True)]


def test_network_without_noise_has_no_noisy_layer():
    assert layers(tanh_mlp(4, 3, 2), INPUTS).noisy == ()
    assert layers(remove_noise(noisify(tanh_mlp(4, 3, 2), sigma=0.1)), INPUTS).noisy == ()


@pytest.mark.parametrize(
    "inputs",
    [INPUTS, INPUTS.numpy(), INPUTS.double().numpy(), (INPUTS,), {"input": INPUTS}, {"input": INPUTS.numpy()}],
    ids=["tensor", "array", "float64 array", "tuple", "mapping", "mapping of arrays"],
)
def test_tensors_arrays_tuples_and_mappings_are_accepted(inputs):
    assert layers(tanh_mlp(4, 3, 2), inputs)["0"].shape == (6, 3)


@pytest.mark.parametrize("inputs", [None, [1.0], (), "text"], ids=str)
def test_inputs_of_another_type_are_refused(inputs):
    with pytest.raises(TypeError, match=r"^inputs: got"):
        layers(tanh_mlp(4, 3, 2), inputs)


def test_names_of_a_wrapped_network_are_those_without_the_wrapper():
    assert layers(torch.compile(nn.DataParallel(tanh_mlp(4, 3, 2)), backend="eager"), INPUTS).names == ("0", "1", "2")


def test_notebook_form_is_a_table_with_the_printed_texts():
    class Named(torch.nn.Sequential):
        pass

    Named.__name__ = "<b>"
    table = layers(torch.nn.Sequential(Named(torch.nn.Linear(2, 3), torch.nn.Tanh())), torch.eye(2))
    rows = ElementTree.fromstring(f"<div>{table._repr_html_()}</div>").findall(".//tr")
    assert [cell.text for cell in rows[1]] == ["0.0", "Linear", "(2, 3)", None, None]
    assert [[text for cell in row if (text := cell.text)] for row in rows] == [
        re.split(" {2,}", line) for line in str(table).splitlines()
    ]
    assert "<b>" in str(table)
