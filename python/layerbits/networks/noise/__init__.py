"""The noise of ordinary passes, T = S + Z: its distribution, and the hooks that add it.

gaussian         the distribution of a layer's noise: `GaussianNoise`
relative         a share of the root mean square of a layer: `RelativeSigma`
sigma_checks     the kind of tensor or array that `sigma` may be, the range of its values, and half precision
dropout          noise that grows with the signal: `DropoutNoise`
sigma_by_layer   the noise that the argument `sigma` gives to each layer
switch           turns the noise of a network off in one thread or task, and counts calls in a pass
hooks            the base class of the hooks, the list of a network's hooks, and the hook at the start of a pass
normal_values    standard normal values from torch's generators
add_noise        `AddNoise`, the hook that adds the noise of a layer
resolution       the check, once for each dtype, that half precision resolves the noise
function_hooks   the hooks of the activation functions that a module calls as functions
unobserved       warnings of functions that run without noise, because the observed pass did not run them
padding_tokens   padding tokens of transformer encoders, which are 0 behind the layers as without noise
in_place         the hooks around a module that acts in place
installation     the pass that observes the layers, and the installation of their hooks
mapping          `LayerNoise`, the mapping that `noise_of` returns
network_noise    `noisify`, `noise_of`, `noise_off`, `remove_noise`
"""
