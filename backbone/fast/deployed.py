"""What `deploy` gives where a model is called in another precision or compiled."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]


def require_compiler(device: torch.device) -> None:
    """Raise RuntimeError where torch.compile cannot work because no C++ compiler is there."""
    if device.type != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise RuntimeError(
            "compile: needs a C++ compiler and found none; install g++ or clang++, name one in the "
            "variable CXX, or leave compile out"
        ) from error


@contextlib.contextmanager
def searching() -> Iterator[None]:
    """Let cuDNN search for its fastest kernels; all other settings stay the caller's."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class Deployed(nn.Module):
    """Calls a deployed model in its precision, compiled if asked.

    The model, with its layers fused, is the attribute `module`: what it knows, such as `channels`
    or `strides`, is read there. Its methods are not for calling, as they would run without the
    precision and the compiler; nor is it for exchanging, as what is compiled holds on to it. Hooks
    of the model itself are not called, those of its parts are.

    Args:
        module: with its layers fused.
        entry: the method of it that is called.
        precision: bf16 keeps what needs more digits in fp32, as autocast does.
        compile: whether to compile it.
        device_type: where it runs.
    """

    def __init__(
        self, module: nn.Module, entry: str, precision: Precision, compile: bool, device_type: str
    ) -> None:
        super().__init__()
        self.module, self.entry, self.compiles = module, entry, compile
        self.low = precision == "bf16"
        self.device_type = device_type
        # Else the C library gives a large result's memory back and takes it again page by page.
        self.keeps = compile and self.device_type == "cpu"
        self.last: Any = None
        # A compiled model sees one size, so that cuDNN's search for its fastest kernels pays.
        self.search = compile and self.device_type == "cuda"
        self._prepare()

    def _prepare(self) -> None:
        """Take the method that is called, to be compiled at its first call if that was asked."""
        self.call: Callable[..., Any] = getattr(self.module, self.entry)
        if self.compiles:
            graphs = {"triton.cudagraphs": True} if self.device_type == "cuda" else {}
            # Of one channel and varying sizes, the compiler mistakes how tensors lie in memory.
            varying = None if _channels(self.module) > 1 else False
            options: dict[str, Any] = {"freezing": True, **graphs}
            self.call = torch.compile(self.call, dynamic=varying, options=options)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "call": None, "last": None}  # a copy compiles its own weights

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._prepare()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the model's method gives for these inputs."""
        # Dynamo reads the global setting, besides the option, to see that weights are constants.
        with (
            torch.no_grad(),
            torch._inductor.config.patch(freezing=True),
            searching() if self.search else contextlib.nullcontext(),
            torch.autocast(self.device_type, torch.bfloat16, enabled=self.low),
        ):
            result = self.call(*inputs, **named)
        if self.keeps:
            self.last = result
        return result


def _channels(module: nn.Module) -> int:
    """The fewest channels that a convolution takes."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return min((layer.in_channels for layer in layers), default=2)
