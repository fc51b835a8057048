"""Passes of layerbits through a network: they list layers, or record signals.

layer_table          `layers`: the table of the layers of a network
measured_network     `MeasuredNetwork`: a network as a measurement runs it, with a channel at each layer
channel_hooks        `noisy_network`, `network_without_noise`: make a `MeasuredNetwork`
end_of_pass          `EndOfPass`: the exception that ends a pass
hook_behind_noise    `HookBehindNoise`: a hook of the user that runs after the noise of a layer
probing              `Probe`: passes of a few chosen rows
dense_encoders       encoders whose padding mask makes nested tensors, computed with dense ones
observed_dependence  the graph of the layers, from the operations of two passes
interventions        whether signals change with their sources alone
rows                 which axis of a signal belongs to the rows, and whether rows act on one another
interaction          the error of rows that act on one another
batch_effects        whether rows act on one another through a value of the whole batch
large_passes         whether rows act on one another in passes of many rows
randomness           checks of the random numbers that a network itself uses
random_calls         record the random numbers of a network by row, and give them to rows of other passes
row_randomness       whether rows share random numbers
flattened_rows       layers that flatten the tokens of the inputs
reordered_rows       layers that get the rows of a pass in an order of their own
other_rows           leave out layers whose rows are not those of the inputs, as those of experts
measured_layers      the layers that a measurement takes, with their rows checked
layer_parts          the parts of layers that a measurement estimates: whole layers and readouts
unit_views           linear views of the units of a layer, and their noise
frame_views          views by frames: matrices with orthonormal columns
slices               `RandomSlices`, `PrincipalSlices`, `LearntSlices`: slices, whose frames are sampled or fitted
kept_tokens          the tokens that a mask among the inputs keeps
readouts             `Tokens`, `Channels`: the readouts of layers, by name
planned_passes       `Passes`: which passes to run and what to record, and their division into single passes
draw_differences     whether the signals of two draws differ by more than rounding
recorder             the channel of a pass, which records signals and adds the noise of counter-based streams
recording            `record`: noisy passes with the noise of counter-based streams
noise_sources        the layers whose noises act on the signal of a layer
vector_products      vector-Jacobian products of the signals of a pass
given_noises         `GivenNoises`: passes with given noises, and derivatives of signals by these noises
propagation          `propagate`, `layer_activations`
"""
