"""The noise of ordinary passes, T = S + Z: its distribution, and the hooks that add it.

gaussian         the distribution of a layer's noise: `GaussianNoise`, `RelativeSigma`
dropout          noise that grows with the signal: `DropoutNoise`
sigma_by_layer   the noise that the argument `sigma` gives to each layer
switch           turns the noise of a network off in one thread, and counts calls in a pass
hooks            the base class of the hooks, and the list of a network's hooks
normal_values    standard normal values from torch's generators
add_noise        `AddNoise`, the hook that adds the noise of a layer
function_hooks   call a hook for each activation function that a module calls
in_place         hooks around a module that acts in place
installation     install the hooks, after a pass that observes the layers
mapping          `LayerNoise`, the mapping that `noise_of` returns
network_noise    `noisify`, `noise_of`, `noise_off`, `remove_noise`
"""
