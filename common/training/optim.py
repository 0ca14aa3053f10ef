"""Parameter groups, learning-rate schedules as step -> factor, and averaged weights."""

import bisect
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and learning-rate schedule."""

    name: Literal["sgd", "adam", "adamw", "lamb"] = "adamw"
    """Optimizer; adam adds weight decay to the gradient, adamw to the weights; lamb (timm's) also
    clips the gradient to a norm of 1."""
    learning_rate: float = 1e-3
    """Base learning rate, of the whole batch: it is never scaled behind the user's back."""
    momentum: float = 0.9
    """Momentum of sgd."""
    betas: tuple[float, float] = (0.9, 0.999)
    """adam, adamw, lamb: decay of the averages of the gradient and of its square."""
    epsilon: float | None = None
    """adam, adamw, lamb: added to the root of the square's average; none: 1e-8, lamb 1e-6."""
    nesterov: bool = False
    """sgd: look ahead along the momentum (Sutskever et al., ICML 2013)."""
    weight_decay: float = 1e-4
    """Weight decay."""
    backbone_decay: float | None = None
    """Weight decay of the parameters under `backbone.`; none: that of the others."""
    decay_norm_and_bias: bool = False
    """Whether biases and normalisation parameters decay as well."""
    schedule: Literal["constant", "multistep", "cosine", "poly", "exponential"] = "cosine"
    """How the learning rate falls after the warm-up."""
    milestones: tuple[int, ...] = ()
    """multistep: epochs after which the rate is multiplied by gamma."""
    gamma: float = 0.1
    """multistep: factor at each milestone."""
    power: float = 0.9
    """poly: exponent of (1 - progress)."""
    final_rate: float = 0.0
    """cosine, poly, exponential: learning rate at the end of the run; exponential needs one above
    0."""
    warmup_epochs: float = 0.0
    """Epochs over which the rate rises linearly to its base; fractions are allowed."""
    warmup_factor: float = 0.01
    """Fraction of the base rate at which the warm-up starts."""
    backbone_factor: float = 1.0
    """Factor on the learning rate of the parameters under `backbone.`."""

    def __post_init__(self) -> None:
        """Check ranges; messages name the flag."""
        for name in ("learning_rate", "gamma", "power", "backbone_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(
                    f"--optimizer.{name} {getattr(self, name)}: must be above 0 and finite"
                )
        for name in ("weight_decay", "warmup_epochs", "final_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(
                    f"--optimizer.{name} {getattr(self, name)}: must not be negative or infinite"
                )
        for name in ("backbone_decay", "epsilon"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"--optimizer.{name} {value}: must not be negative or infinite")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"--optimizer.betas {list(self.betas)}: must be from 0 to below 1, such as "
                "[0.9, 0.999]"
            )
        if self.warmup_epochs > 1e6:
            raise UserError(f"--optimizer.warmup_epochs {self.warmup_epochs}: must be at most 1e6")
        for name in ("momentum", "warmup_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--optimizer.{name} {getattr(self, name)}: must be from 0 to 1")
        if self.schedule == "multistep" and not self.milestones:
            raise UserError("--optimizer.milestones: the multistep schedule needs at least one")
        if self.schedule == "exponential" and not self.final_rate:
            raise UserError(
                "--optimizer.final_rate 0.0: the exponential schedule needs one above 0"
            )
        if self.nesterov and (self.name != "sgd" or not self.momentum):
            raise UserError("--optimizer.nesterov: is for sgd with a momentum above 0")
        if list(self.milestones) != sorted(self.milestones) or min(self.milestones, default=1) < 1:
            raise UserError(f"--optimizer.milestones {list(self.milestones)}: must rise, from 1 on")


def build(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimizer of all parameters that learn, in groups: backbone or not, decayed or not.

    Raises:
        UserError: nothing is left to learn.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decayed = config.decay_norm_and_bias or parameter.ndim > 1
            groups.setdefault((name.startswith("backbone."), decayed), []).append(parameter)
    if not groups:
        raise UserError("the model has no parameter that learns: everything is frozen")
    own = config.backbone_decay
    decays = {False: config.weight_decay, True: config.weight_decay if own is None else own}
    settings: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": config.learning_rate * (config.backbone_factor if backbone else 1.0),
            "weight_decay": decays[backbone] if decayed else 0.0,
        }
        for (backbone, decayed), parameters in groups.items()
    ]
    if config.name == "sgd":
        return SGD(
            settings,
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.nesterov,
        )
    epsilon: dict[str, Any] = {} if config.epsilon is None else {"eps": config.epsilon}
    if config.name == "lamb":
        # You et al., ICLR 2020. Imported here: timm takes seconds that only its users should pay.
        from timm.optim.lamb import Lamb

        lamb: Optimizer = Lamb(settings, lr=config.learning_rate, betas=config.betas, **epsilon)
        return lamb
    kind = Adam if config.name == "adam" else AdamW
    # One kernel for all parameters: on a small network the plain loop costs a tenth of the step.
    return kind(settings, lr=config.learning_rate, betas=config.betas, fused=True, **epsilon)


def schedule(config: OptimizerConfig, steps_per_epoch: int, epochs: int) -> Callable[[int], float]:
    """The factor of the base learning rates at each optimizer step, counted from 0.

    Milestones count from the start of the run; the other curves run from the end of the warm-up to
    the end of the run, where they reach the final rate.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    span = max(1, steps_per_epoch * epochs - warmup)
    milestones = [milestone * steps_per_epoch for milestone in config.milestones]
    final = config.final_rate / config.learning_rate

    def factor(step: int) -> float:
        if step < warmup:
            return config.warmup_factor + (1 - config.warmup_factor) * step / warmup
        progress = min(1.0, (step - warmup) / span)
        match config.schedule:
            case "multistep":
                return float(config.gamma ** bisect.bisect_right(milestones, step))
            case "cosine":
                return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
            case "poly":
                return float(final + (1 - final) * (1 - progress) ** config.power)
            case "exponential":
                return float(final**progress)
            case _:
                return 1.0

    return factor


class Average:
    """Exponential moving average of a model's parameters and floating-point buffers.

    The decay rises as (1 + step) / (10 + step) up to its value, so that a short run is not held at
    its random start. Integer buffers are copied: they count.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights after optimizer step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(_tensors(self.module), _tensors(model), strict=True))
        moving = [(old, new) for old, new in pairs if old.is_floating_point()]
        torch._foreach_lerp_([old for old, _ in moving], [new for _, new in moving], 1 - decay)
        for old, new in pairs:
            if not old.is_floating_point():
                old.copy_(new)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
