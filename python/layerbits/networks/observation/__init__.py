"""The layers of a network: calls of modules and of activation functions, observed in a real pass.

layer_calls            `observe` runs the pass and lists the calls, as `LayerCall`
observed_batches       root mean squares over all batches
observed_pass          run the pass through a shadow of the network, with the recorders
call_recorders         the hooks and the function modes of that pass, which record the calls
activation_functions   the functions of torch that are layers, such as `F.relu`
input_dependence       which tensors of the pass depend on the input
sources                the sources of each tensor of a pass: the input, random numbers, noisy values
operations             the values that an operation of torch reads, writes or generates
custom_operations      operations of the user and of other libraries
shared_bytes           memory whose bytes belong to other memory too
dependence_graph       the graph of the sources of every layer, and its cuts
value_by_value         whether a module acts on each value alone, as an activation function does
signal_values          root mean square and unit in the last place of a signal
layer_selection        `choose_layers`: the calls that the argument `layers` selects
"""
