"""Passes of layerbits through a network: they list layers, or record signals.

layer_table        `layers`: the table of the layers of a network
measured_network   a network as a measurement runs it, with a channel at each layer
unit_views         linear views of the units of a layer, and their noise
readouts           `Tokens`, `Channels`: the readouts of layers, by name
recording          `record`: noisy passes with the noise of counter-based streams
propagation        `propagate`, `layer_activations`
"""
