"""Passes of layerbits through a network: they list layers, or record signals.

layer_table        `layers`: the table of the layers of a network
measured_network   `MeasuredNetwork`: a network as a measurement runs it, with a channel at each layer
channel_hooks      `noisy_network`, `network_without_noise`: make a `MeasuredNetwork`
probing            `Probe`: passes of a few chosen rows
dense_encoders     encoders whose padding mask makes nested tensors, computed with dense ones
rows               which axis of a signal belongs to the rows, and whether rows act on one another
randomness         checks of the random numbers that a network itself uses
interventions      whether signals change with their sources alone
batch_effects      whether rows act on one another through a value of the whole batch
flattened_rows     layers that flatten the tokens of the inputs
reordered_rows     layers that get the rows of a pass in an order of their own
other_rows         leave out layers whose rows are not those of the inputs, as those of experts
measured_layers    the layers that a measurement takes, with their rows checked
unit_views         linear views of the units of a layer, and their noise
frame_views        views by frames: matrices with orthonormal columns
slices             `RandomSlices`, `PrincipalSlices`, `LearntSlices`: slices, whose frames are sampled or fitted
kept_tokens        the tokens that a mask among the inputs keeps
readouts           `Tokens`, `Channels`: the readouts of layers, by name
planned_passes     `Passes`: which passes to run and what to record, and their division into single passes
recorder           the channel of a pass, which records signals and adds the noise of counter-based streams
recording          `record`: noisy passes with the noise of counter-based streams
propagation        `propagate`, `layer_activations`
"""
