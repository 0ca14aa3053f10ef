"""How a layer becomes another: a new module, made from the old one, takes each of its places."""

from collections import Counter
from collections.abc import Mapping

from torch import nn

CALLED = [name for name in vars(nn.Module()) if "hook" in name and "state_dict" not in name]
"""The attributes in which a module keeps the hooks of its calls."""


def exchange(model: nn.Module, successors: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put new modules in every place of old ones, in place; hooks of their calls move along.

    A module that has two places in the model is one module in both afterwards. Nothing within the
    new modules is exchanged: for that, call this again.

    Args:
        model: what the old modules are part of.
        successors: the new module of each old one.

    Returns:
        The model, or its successor if it has one itself.
    """
    for old, new in successors.items():
        for name in CALLED:
            setattr(new, name, getattr(old, name))
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in successors:
                parent._modules[name] = successors[child]
    return successors.get(model, model)


def places(model: nn.Module) -> Counter[nn.Module | None]:
    """In how many places of the model each of its parts is."""
    return Counter(part for parent in model.modules() for part in parent._modules.values())


def hooked(module: nn.Module) -> bool:
    """Whether somebody looks at what goes into this module or comes out of it."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)
