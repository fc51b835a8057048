"""The public functions of noise: add it to the layers of a network, change it, turn it off, and remove it.

The network stays the same object, with the same class and `state_dict`. A forward hook adds noise to the output of a
module; a function mode adds noise to the output of a function. Hooks start and end the mode, so copies and pickles of
the network are noisy too.
"""

from __future__ import annotations

import gc
from typing import TypeVar

from torch import nn

from layerbits._base import NoNoiseError, refuse_earlier_parameters
from layerbits.networks.execution.arguments import check_module
from layerbits.networks.execution.compilation import compile_again, guard_hooks
from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.execution.shadow import check_can_have_noise, unwrapped
from layerbits.networks.inputs.input_reader import arguments_of_batches
from layerbits.networks.noise.hooks import (
    PassStart,
    check_no_pass_waits,
    check_shares_no_noise,
    delete_noise_hooks,
    noise_hooks,
)
from layerbits.networks.noise.installation import WaitingNoise, waiting_noise
from layerbits.networks.noise.mapping import LayerNoise
from layerbits.networks.noise.sigma_by_layer import Sigma, noise_by_key
from layerbits.networks.noise.switch import NoiseSwitch, SwitchedOff
from layerbits.networks.observation.layer_selection import Layers
from layerbits.networks.observation.observed_batches import observe_batches

Model = TypeVar("Model", bound=nn.Module)


@refuse_earlier_parameters(seed="torch.manual_seed before a pass")
@global_states_restored(after_success=False)
def noisify(model: Model, *, sigma: Sigma, layers: Layers = None, inputs: object = None) -> Model:
    """Add Gaussian noise to layers of a network, in place: T = S + Z in every pass, in training and in evaluation.

    Ordinary passes take the noise from torch's own generators, as dropout does, so `torch.manual_seed` sets its seed. A
    network that is noisy already, or has noisy parts, gets this noise in place of all earlier noise: parts whose layers
    are not selected lose theirs.

    Parameters
    ----------
    model : torch.nn.Module
        Any network. It stays the same object, with the same class, parameters and `state_dict`.
    sigma : float, tensor, array, DropoutNoise, RelativeSigma or mapping of str to them
        A float is the standard deviation of the noise (beta in the paper, which uses 0.005). An array (d,) has the
        standard deviations of the d units of a layer, an array (C,) those of the C channels of a feature map (n, C,
        ...) or of the C features of tokens (n, L, C), an array (d, d) the covariance of the units, which is positive
        definite. Units are those of the flattened output. An array (C,) for signals (n, C, C) is ambiguous and refused.
        A `DropoutNoise` grows with the signal. A `RelativeSigma` is a share of the root mean square of the layer over
        all batches of `inputs`, or over the arguments of the first call. A mapping has one key for each noisy layer,
        its name or a glob; an exact name takes precedence over globs.
    layers : None, str, type, callable or a sequence of them
        The layers that get noise. None selects every hidden activation function, and the layers that `sigma` names. An
        activation function is a module of `torch.nn.modules.activation` other than `MultiheadAttention`, a module
        without parameters that acts value by value, or a function such as `F.relu` in the forward method of ``block``,
        which is the layer ``block.relu`` unless ``block`` itself acts value by value, whatever its parameters: celu,
        elu, gelu, hardshrink, hardsigmoid, hardswish, hardtanh, leaky_relu, logsigmoid, mish, relu, relu6, rrelu, selu,
        sigmoid, silu, softplus, softshrink, softsign, tanh, tanhshrink and threshold of `torch.nn.functional`, `torch`
        or `Tensor`, not `torch.clamp`, `torch.maximum`, `torch.where`, `F.prelu`, `F.softmax` or the operators of
        `torch.ops`. A module that is no submodule of the network, such as ``nn.ReLU()`` in forward or in a list, counts
        as the functions that it calls. An activation function is hidden unless it returns the output of the network or,
        as a function of parameters alone, does not depend on the input. A warning names activation functions that
        return one of several outputs, do not depend on the input or do not run, and other modules that act value by
        value. A str is a name or a glob (``*`` does not cross a dot, ``**`` does), a type selects all modules of the
        type, a function such as `F.relu` all its calls, and a callable has the signature ``(name, module) -> bool``.
        These selectors may select any module, the output too. The calls of a module in a pass are the layers ``name``,
        ``name@2``, ..., and ``name@*`` is all of them.
    inputs : optional
        Arguments of a pass in which the layers are observed now, in any form that `layer_information` takes; if there
        are several batches, the pass gets the first. Arrays get the dtype of the network, and so do floating-point
        tensors of another dtype, if a network of float32 or float64 does not take them. A `RelativeSigma` needs a pass
        of every batch. Without `inputs`, the first call of the network is preceded by such a pass on its arguments.

    Returns
    -------
    torch.nn.Module
        `model` itself.

    Raises
    ------
    LayerSelectionError
        `layers` matches no layer (the message lists the layers), a noisy layer has no key or several keys in `sigma`,
        a key matches no noisy layer, a layer acts in place on an argument of the network, or its output has no
        floating-point tensor of at least 16 bits, is sparse or is a packed sequence; forward calls a noisy network that
        is no submodule. A later pass may raise the error of the output, too.
    TypeError, ValueError
        `model` is not a module, is a TorchScript module, is sharded, or has quantized weights alone (those of
        `quantize_dynamic` are accepted, because their layers return floating-point values); `sigma` is not positive,
        positive definite or finite, or differs from the layer in the number of units; the network cannot take `inputs`;
        the backward pass of a checkpointed pass is still to come; another noisy network shares a module that has its
        noise. Without `inputs`, the first call raises the errors that need observed layers.

    Notes
    -----
    If a layer returns several tensors, the first floating-point tensor gets the noise: that of an LSTM is its output,
    not its state. A function is a layer only while the forward method of its module, or a forward hook that was
    registered before the noise, runs: functions in a method that is called from outside, as in ``model.features(x)``,
    and functions of pre-hooks have no noise. A layer that a pass does not call has none there. Forward has to run in
    one thread: modules that it calls in another are refused, and functions there have no noise. Only activation
    functions are layers; make another function that acts value by value, such as `torch.sin`, a module.

    Source: Goldfeld et al., Estimating Information Flow in Deep Neural Networks (ICML 2019). In a convolutional block,
    select the layer before max pooling: the maxima of a noisy map are not a signal plus Gaussian noise.

    The layers are those of the observed pass, which runs in evaluation mode: layers that run in training alone, such as
    auxiliary heads, cannot have noise. A function that only a later pass calls has no noise. With `layers` None a
    warning names the function if its module did not run in the observed pass, or has other functions with noise. If all
    observed calls of a module have the same noise, further calls get that noise too; but code of torch.compile must
    call functions that are layers as often as observed. The observed pass, which may run twice, calls the forward hooks
    of the network: a hook that counts calls counts these too. The pass runs without gradients, so torch warns at a
    checkpoint with ``use_reentrant=True`` that no inputs require gradients, which does not concern the training.

    In float16 and bfloat16, noise is generated and added in float32, and the sum is rounded. Noise that the rounding
    would distort raises a ValueError in the observed pass or, if the dtype or the noise changes later, in the first
    pass after the change.

    Where functions are noisy layers, an `nn.TransformerEncoder` computes dense tensors in evaluation too, as in
    training. In evaluation without gradients the padding tokens are 0 behind its layers, as they are without noise.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> noisy = lb.noisify(model, sigma=0.1, inputs=torch.zeros(1, 4))
    >>> noisy is model, dict(lb.noise_of(model))
    (True, {'1': GaussianNoise(sigma=0.1)})
    """
    check_module(model)
    root = unwrapped(model)
    check_can_have_noise(root)
    check_shares_no_noise(root)
    waiting = WaitingNoise(root, noise_by_key(sigma), layers)
    if inputs is not None:
        batches = arguments_of_batches(inputs, root)
        waiting.give_noise(observe_batches(root, batches, relative=waiting.is_relative))
    else:
        remove_noise(root)
        guard_hooks()
        waiting.handle = root.register_forward_pre_hook(waiting, with_kwargs=True)
    return model


def remove_noise(model: Model) -> Model:
    """Remove the noise from a network, in place, and return the network.

    Raises
    ------
    TypeError
        `model` is not a module.
    ValueError
        The backward pass of a checkpointed pass is still to come; another noisy network shares a module that has its
        noise.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> inputs = torch.zeros(5, 4)
    >>> model = lb.remove_noise(lb.noisify(model, sigma=0.1, inputs=inputs))
    >>> torch.equal(model(inputs), model(inputs))
    True
    """
    check_module(model)
    check_no_pass_waits(model)
    check_shares_no_noise(unwrapped(model))
    delete_noise_hooks(model)
    compile_again()
    return model


def noise_off(model: nn.Module) -> SwitchedOff:
    """Turn the noise of a network off within a ``with`` block, in the thread or task that runs it.

    The result can be used in several ``with`` blocks and can decorate functions, as `torch.no_grad` can. Blocks may be
    nested and may overlap. Noise that `noisify` adds within the block is off until the block ends. Copies made within
    the block are noisy. A generator that yields within the block leaves the noise off for its caller. Tasks, callbacks
    and threads that asyncio starts within the block have no noise until the block ends. Enter the block outside of code
    that torch.compile compiles with ``fullgraph=True``, which cannot trace it.

    Raises
    ------
    TypeError
        `model` is not a module.
    ValueError
        `model` is a part of a noisy network, or shares modules with one.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> inputs = torch.zeros(5, 4)
    >>> noisy = lb.noisify(model, sigma=0.1, inputs=inputs)
    >>> with lb.noise_off(noisy):
    ...     torch.equal(noisy(inputs), noisy(inputs))
    True
    """
    check_module(model)
    return SwitchedOff(unwrapped(model), _switches_of_whole)


def _switches_of_whole(root: nn.Module) -> set[NoiseSwitch]:
    """Return the switches of the noise of a network; raise a ValueError if it is a part of a noisy one."""
    hooks = noise_hooks(root)
    whole = {hook.switch for hook in hooks if isinstance(hook, PassStart | WaitingNoise)}
    others = {hook.switch for hook in hooks} - whole
    if others:
        gc.collect()  # a network without references may not be deleted yet
        networks = [network for network in (switch.root for switch in others) if network is not None]
        remedy = f"call noisify on this {type(root).__name__}, because that network is gone or unknown"
        if networks:
            is_part = all(root in set(network.modules()) for network in networks)
            remedy = (
                f"turn off the noise of that {type(networks[0]).__name__}, or set the noise of layers by noise_of"
                + (", or remove it by remove_noise" if is_part else "")
            )
        raise ValueError(
            f"model: got {type(root).__name__}, a part of a noisy network or one that shares modules with it, wanted "
            f"the whole network, whose noise is off or on at once; {remedy}"
        )
    return whole


def noise_of(model: nn.Module) -> LayerNoise:
    """Return a mapping from each noisy layer to its noise, in the order of the data; setting an item changes the noise.

    The mapping lists the calls of the observed pass. If all observed calls of a module have the same noise, later calls
    have it too, and can be read by their names.

    Returns
    -------
    LayerNoise
        A mapping from names of layers to noise. ``noise_of(model)["fc1"] = 0.2`` changes the noise of a layer: the
        value is a float, an array (d,), (C,) or (d, d), or a `DropoutNoise`, as in `noisify`. Noise times a positive
        number has that many times the standard deviations: ``noise_of(model)["fc1"] *= 0.9`` anneals it. ``float`` of
        noise with one standard deviation is that number, and the attribute `sigma` is the value for `noisify`.

    Raises
    ------
    NoNoiseError
        The network has no noise.
    ValueError
        The layers are observed in the first call, which is still to come.
    TypeError
        `model` is not a module.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> noise = lb.noise_of(lb.noisify(model, sigma=0.1, inputs=torch.zeros(1, 4)))
    >>> noise["1"] = 0.2
    >>> noise["1"] *= 0.5
    >>> noise["1"], float(noise["1"])
    (GaussianNoise(sigma=0.1), 0.1)
    """
    check_module(model)
    root = unwrapped(model)
    if waiting_noise(root):
        raise ValueError(
            "model: got a network whose layers are observed in its first call, wanted observed layers; "
            "run it once, or pass inputs= to noisify"
        )
    noise = LayerNoise(root)
    if not noise:
        raise NoNoiseError(f"model: got {type(model).__name__} without noise, wanted a network from layerbits.noisify")
    return noise
