"""The table of the layers of a network, from one observed pass."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from torch import nn

from layerbits._base import html_text_table, listed
from layerbits.networks.execution.arguments import check_module
from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.execution.shadow import unwrapped
from layerbits.networks.inputs.input_reader import arguments_of_batches
from layerbits.networks.noise.installation import observe_waiting
from layerbits.networks.noise.mapping import LayerNoise
from layerbits.networks.observation.layer_calls import observe_inputs


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer: one call of a module, or of an activation function, in a pass.

    Attributes
    ----------
    name : str
        Name of the module, or of the function in the module that calls it (``block.relu``; ``block.relu()`` if the
        module ``block.relu`` exists), followed by ``@2``, ``@3``, ... from its second call on.
    type : str
        Class of the module, or name of the activation function.
    shape : tuple of int
        Shape of the first floating-point tensor that the call returns, or else of a quantized one; empty if there is
        none, or a nested one.
    noisy : bool
        Whether the layer has noise.
    output : bool
        Whether the network returns that tensor, or a view of all its values.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> lb.layers(model, torch.eye(2)).rows[1]
    LayerRow(name='1', type='Tanh', shape=(2, 3), noisy=False, output=False)
    """

    name: str
    type: str
    shape: tuple[int, ...]
    noisy: bool
    output: bool


@dataclasses.dataclass(frozen=True)
class LayerTable:
    """The layers of a network in the order in which their calls return, made by `layers`.

    Attributes
    ----------
    rows : tuple of LayerRow
        A row for each call of a module or of an activation function.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> table = lb.layers(lb.noisify(model, sigma=0.5), torch.eye(2))
    >>> table.names, table.noisy
    (('0', '1', '2'), ('1',))
    """

    rows: tuple[LayerRow, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(row.name for row in self.rows)

    @property
    def noisy(self) -> tuple[str, ...]:
        """Names of the layers with noise."""
        return tuple(row.name for row in self.rows if row.noisy)

    def __contains__(self, key: object) -> bool:
        """Return whether the network has a layer of this name, or the table has this row."""
        return any(key in (row.name, row) for row in self.rows)

    def __iter__(self) -> Iterator[LayerRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> LayerRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"layer: got {name!r}, wanted one of {listed(self.names)}")

    def __repr__(self) -> str:
        return f"LayerTable(names={self.names}, noisy={self.noisy})"

    def _repr_html_(self) -> str:
        return html_text_table(*self._cells())

    def _cells(self) -> list[tuple[str, ...]]:
        """Return the titles of the columns, and the texts of each row."""
        titles = ("name", "type", "shape", "noisy", "output")
        rows = ((row.name, row.type, str(row.shape), _mark(row.noisy), _mark(row.output)) for row in self.rows)
        return [titles, *rows]

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(line[column]) for line in cells) for column in range(5)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
        return "\n".join(line.rstrip() for line in lines)


@global_states_restored(after_success=False)
def layers(model: nn.Module, inputs: object) -> LayerTable:
    """List the layers of a network, observed in one pass of `inputs`, in the order in which their calls return.

    The pass runs in evaluation mode, without gradients and without noise; it changes neither the network nor the states
    of torch's generators. If the layers of a noisy network have not been observed yet, the call first installs their
    noise.

    Parameters
    ----------
    model : torch.nn.Module
        Any network, noisy or not.
    inputs
        In any form that `layer_information` takes. If there are several batches, the pass gets the first.

    Returns
    -------
    LayerTable
        A row for each call of a module inside the network, and of an activation function.

    Raises
    ------
    LayerSelectionError
        Two calls have one name; forward reaches a module through a closure or another object; noise that waits for the
        first call does not fit the layers.
    TypeError, ValueError
        `model` is not a module, is a TorchScript module, is sharded, or cannot take `inputs`.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> print(lb.layers(model, torch.zeros(5, 4)))
    name  type    shape   noisy  output
    0     Linear  (5, 3)
    1     Tanh    (5, 3)
    2     Linear  (5, 2)         yes
    """
    check_module(model)
    root = unwrapped(model)
    batches = arguments_of_batches(inputs, root)
    args, kwargs = first = next(batches)
    observe_waiting(root, itertools.chain([first], batches))
    noise = LayerNoise(root)
    return LayerTable(
        tuple(
            LayerRow(
                call.name,
                call.function or type(call.module).__name__,
                call.shape,
                noise.is_noisy(call),
                call.is_output,
            )
            for call in observe_inputs(root, args, kwargs)
        )
    )


def _mark(value: bool) -> str:
    return "yes" if value else ""
