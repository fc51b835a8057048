"""`unsharded`: a network that ``fully_shard`` has divided among processes, copied as a whole.

All processes gather the parameters once, before the first pass, so that passes need no collectives and processes can
run different passes. Each process then holds the whole network, but neither gradients nor the state of an optimizer.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from layerbits.kernels import Processes
from layerbits.networks.execution.shadow import copy_network, unwrapped

_UNIT = "FSDPModule"  # a class of torch.distributed.fsdp, whose import takes a second
_SOURCE = "_layerbits_sharded_network"  # attribute of a copy


def is_sharded(model: nn.Module) -> bool:
    """Return whether ``fully_shard`` has divided the parameters of a network, or of a part of it."""
    return any(map(_is_unit, model.modules()))


def unsharded(model: nn.Module, processes: Processes) -> nn.Module:
    """Return a copy with all parameters of a network that is sharded among the processes; other networks as they are.

    Raises
    ------
    ValueError
        Processes have other networks, or a process that has a part of the network is not in the group.
    TypeError
        A unit computes in another dtype than that of its parameters (``mp_policy``).
    """
    if not processes.global_ranks or not is_sharded(model):  # without a group, the network is refused later
        return model
    root = unwrapped(model)
    tensors = [(name, _form(tensor)) for name, tensor in (*root.named_parameters(), *root.named_buffers())]
    # Networks of other forms would gather other tensors, and wait for each other.
    processes.check_equal("the network", modules=repr(model), tensors=tensors)
    for name, module in root.named_modules():
        if _is_unit(module):
            _check_unit(f"{type(module).__name__} at {name!r}" if name else type(module).__name__, module)
    copied = copy_network(root)
    whole: dict[int, nn.Parameter] = {}  # a parameter may have several names
    for module in copied.modules():
        if _is_unit(module):
            module.__class__ = type(module).__bases__[1]  # fully_shard made a class of FSDPModule and this class
            for hooks in (module._forward_pre_hooks, module._forward_hooks):
                for key in [key for key, hook in hooks.items() if _is_of_fsdp(hook)]:
                    del hooks[key]
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in whole:
                tensor = parameter.detach()
                if hasattr(tensor, "full_tensor"):
                    _check_mesh(name, parameter, processes)
                    tensor = tensor.full_tensor()
                else:  # gathered by the last pass, in memory that fully_shard will free
                    tensor = tensor.clone()
                whole[id(parameter)] = nn.Parameter(tensor, requires_grad=False)
            module._parameters[name] = whole[id(parameter)]
    vars(copied)[_SOURCE] = lambda: root  # a function, because copies of the copy share functions
    return copied


def source_of(model: nn.Module) -> nn.Module | None:
    """Return the sharded network of which `model` is the `unsharded` copy, or None."""
    source: Callable[[], nn.Module] | None = vars(model).get(_SOURCE)
    return None if source is None else source()


def _is_unit(module: nn.Module) -> bool:
    return any(base.__name__ == _UNIT for base in type(module).__mro__)


def _is_of_fsdp(hook: object) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("torch.distributed.fsdp")


def _form(tensor: Tensor) -> tuple[str, tuple[int, ...], str]:
    return str(tensor.dtype), tuple(tensor.shape), repr(getattr(tensor, "placements", None))


def _check_unit(place: str, unit: nn.Module) -> None:
    policy = unit._get_fsdp_state()._mp_policy  # type: ignore[operator]
    dtypes = {policy.param_dtype, policy.output_dtype} - {None}
    if dtypes:
        raise TypeError(
            f"model: got {place}, which computes in {dtypes.pop()} by its mp_policy, wanted the dtype of its "
            "parameters; measure a copy that is sharded without mp_policy"
        )


def _check_mesh(name: str, parameter: Tensor, processes: Processes) -> None:
    mesh: set[int] = set(parameter.device_mesh.mesh.flatten().tolist())  # type: ignore[attr-defined]
    outside = mesh - set(processes.global_ranks)
    if outside:
        raise ValueError(
            f"group: got a group without rank {min(outside)}, which has a part of {name!r}, wanted all ranks of the "
            "mesh on which the network is sharded"
        )
