"""`refuse_interaction` and `InteractionError`: the error of rows that act on one another."""

from __future__ import annotations

from layerbits.networks.execution.weights import WeightSums


class InteractionError(ValueError):
    """Rows act on one another."""


def refuse_interaction(weights: WeightSums, layer: str, cause: str = "the other rows of") -> None:
    """Raise an InteractionError that rows act on one another in a layer, unless the weights have changed meanwhile."""
    if weights.have_changed():
        return
    modules = map(type, weights.model.modules())
    quantized = next((module for module in modules if ".quantized." in module.__module__), None)
    if quantized is not None:
        raise ValueError(
            f"model: got a quantized network ({quantized.__module__}.{quantized.__name__}), in which rows act on one "
            f"another: in {layer!r} the signal of a row changes with {cause} the pass; pass the network as it was "
            "before quantization"
        )
    raise InteractionError(
        f"inputs: got rows that act on one another: in {layer!r} the signal of a row changes with {cause} the pass, "
        "wanted a network that treats each row alone; give batch normalization running statistics "
        "(track_running_stats=True), call its eval() where it is no submodule, as in a list, and give recurrent and "
        "attention layers batch_first=True; for the nodes of one graph, record the signals of a pass and measure them "
        "with layerbits.information"
    )
