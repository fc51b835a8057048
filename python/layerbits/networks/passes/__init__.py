"""Passes of layerbits through a network: they list layers, or record signals.

layer_table        `layers`: the table of the layers of a network
measured_network   a network as a measurement runs it, with a channel at each layer
readouts           linear views of layers
recording          `record`: noisy passes with the noise of counter-based streams
propagation        `propagate`, `layer_activations`
"""
