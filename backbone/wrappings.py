"""What training code wraps weights in: entries of a checkpoint, and prefixes of the names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from backbone.blocks import FirstBlock

AVERAGED = ("ema", "model_ema", "state_dict_ema", "ema_state_dict")
"""Entries with weights averaged over training: this project's, torchvision's, timm's, others'."""
RAW = ("state_dict", "model_state_dict", "model", "net", "network", "module")
"""Entries with the weights of the last step."""
PREFIXES = ("module.", "model.", "net.", "network.")
"""Of DataParallel and torch's AveragedModel, and of the attribute of a Lightning module."""
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Parts of names that torch.compile and FSDP insert, also within a name."""
COUNTER = "n_averaged"
"""Beside the weights in torch's AveragedModel."""


class Unwrapped(NamedTuple):
    """The weights in a checkpoint."""

    state: dict[str, Tensor]
    """Empty where there are none."""
    averaged: str | None
    """The entry, such as "state_dict_ema", if they are the averaged ones of several."""
    first_block: FirstBlock | None = None
    """The rule of first blocks (`Bottle2neck`) of their trunk, where the file says it."""


def note(source: object, averaged: str) -> str:
    """One line for a log: which weights of a source were taken."""
    return f"{source}: its averaged weights (entry {averaged}) are taken, not the raw ones"


def unwrap(content: Any) -> Unwrapped:
    """The named tensors in what a file holds; averaged weights go before raw ones.

    Entries may lie within each other. Prefixes are removed where all names have them. Of a
    Lightning module, which may also hold losses, the part under such a prefix is taken.
    """
    if not isinstance(content, Mapping):
        return Unwrapped({}, None)
    # mmengine exchanges the two when it saves: its state_dict is averaged, its other entry raw.
    swapped = "message_hub" in content
    for name in RAW if swapped else (*AVERAGED, *RAW):
        found = unwrap(content.get(name))
        if found.state:
            averaged = name if name in AVERAGED else found.averaged
            lightning = "pytorch-lightning_version" in content
            return Unwrapped(_lightning(found.state) if lightning else found.state, averaged)
    named = {
        _without_wrappers(key): value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    return Unwrapped(_bare(named), None)


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of the weights under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes that all of their names have."""
    names = state.keys() - {COUNTER}
    for prefix in PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return _bare(under(prefix, state))
    return state


def _lightning(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The network in a Lightning module's weights."""
    inside = next((part for prefix in PREFIXES if (part := under(prefix, state))), None)
    return state if inside is None else _bare(inside)


def _without_wrappers(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name
