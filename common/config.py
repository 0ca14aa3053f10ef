"""One frozen dataclass is a command's whole configuration, read from YAML files and flags.

``--config FILE`` may be given several times; later files win over earlier ones, and flags win over
every file, wherever they stand. What was resolved is saved in the run directory and reads back
equal.
"""

import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, cast, get_origin, get_type_hints

import jsonargparse
import yaml

from common.errors import UserError

Config = TypeVar("Config")
Choice = TypeVar("Choice")

_VALUELESS = {"-h", "--help", "--print_config"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How samples are read."""

    workers: int = 2
    """Processes that read and augment, on each rank; 0 reads in the main process."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"--loader.workers {self.workers}: must not be negative")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How to train, whatever the task."""

    epochs: int = 10
    """Passes over the training set."""
    batch_size: int = 32
    """Samples of one optimizer step, over all ranks and micro-batches."""
    accumulate: int = 1
    """Micro-batches of one optimizer step: more of them need less memory."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the forward pass in training; weights and evaluation stay in fp32."""
    compile: bool = False
    """Train through torch.compile."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one."""
    seed: int = 0
    """Seed of all randomness."""
    ema: float = 0.0
    """Decay of the averaged weights that are then evaluated, such as 0.999; 0 turns them off."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 turns clipping off."""
    sync_batchnorm: bool = False
    """Take BatchNorm statistics over all GPUs."""
    deterministic: bool = False
    """On a GPU, use no kernel whose results vary from run to run: slower, but a run that was
    stopped and resumed ends as one that was not, bit for bit. On the CPU that is always so."""
    channels_last: bool = True
    """Memory layout of 4-D tensors that tensor cores prefer."""
    recompute: tuple[int, ...] = ()
    """Stages of the backbone, such as [1,2], whose activations are not kept but computed again in
    the backward pass: less memory, more time, the same weights."""
    log_every: int = 20
    """Steps between log lines."""
    save_every: int = 0
    """Steps between checkpoints within an epoch; 0 saves at the ends of epochs only."""
    evaluate_every: int = 1
    """Epochs between evaluations; the last epoch is always evaluated."""

    def __post_init__(self) -> None:
        """Check ranges; messages name the flag."""
        for name in ("epochs", "batch_size", "accumulate", "log_every", "evaluate_every"):
            if getattr(self, name) < 1:
                raise UserError(f"--engine.{name} {getattr(self, name)}: must be at least 1")
        for name in ("seed", "save_every", "clip"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--engine.{name} {getattr(self, name)}: must not be negative")
        if not set(self.recompute) <= {1, 2, 3, 4}:
            raise UserError(f"--engine.recompute {list(self.recompute)}: stages are 1, 2, 3 and 4")
        if self.recompute and self.compile:
            raise UserError("--engine.recompute and --engine.compile: choose one of them")
        if not 0 <= self.ema < 1:
            raise UserError(f"--engine.ema {self.ema}: must be at least 0 and below 1")


class _Parser(jsonargparse.ArgumentParser):
    """A parser whose errors are a single line without the usage text."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(_one_line(message)) from ex


def parse(
    kind: type[Config], argv: Sequence[str] | None = None, positional: str | None = None
) -> Config:
    """Read a config of type `kind` from command-line words.

    Args:
        kind: a frozen dataclass whose fields (with docstrings) are the flags.
        argv: the words; the process's own when None.
        positional: the field that takes the bare words, such as the inputs of ``predict``.

    Raises:
        UserError: an unknown flag or key, a wrong type, or a value that the dataclass refuses.
        SystemExit: after ``--help`` or ``--print_config``.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    words = _spell_out_switches(given, _switches(kind))
    if positional is not None:
        words = _flag_bare(words, positional, get_type_hints(kind)[positional])
    parser = _parser(kind)
    namespace = parser.parse_args(_configs_first(words))
    namespace.pop("config", None)
    try:
        return _build(parser, kind, namespace)
    except ValueError as error:
        raise UserError(_one_line(str(error))) from error


def choose(flag: str, name: str, table: Mapping[str, Choice]) -> Choice:
    """The table's entry of that name.

    Raises:
        UserError: there is none; the message names the flag and lists the names.
    """
    if name not in table:
        raise UserError(f"{flag} {name}: unknown; choose one of {', '.join(table)}")
    return table[name]


def read(kind: type[Config], path: Path) -> Config:
    """Read a config that `save` wrote, or any YAML file of that shape."""
    if not path.is_file():
        raise UserError(f"{path}: no such config file")
    return parse(kind, ["--config", str(path)])


def save(config: Any, path: Path) -> None:
    """Write a config as YAML; `read` gives an equal object back."""
    path.write_text(to_yaml(config))


def to_yaml(config: Any) -> str:
    """The config as YAML text, every field spelt out, in the order of the dataclass."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, width=100)


def _parser(kind: type) -> _Parser:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    # Without abbreviations a misspelt flag is an error rather than a guess.
    parser = _Parser(
        prog=f"python -m {_module_name()}", description=kind.__doc__, allow_abbrev=False
    )
    parser.add_argument("--config", action="config", help="YAML file; flags win over it")
    parser.add_class_arguments(kind, fail_untyped=True)
    return parser


def _module_name() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).stem


def _build(parser: _Parser, kind: type[Config], namespace: Any) -> Config:
    built = parser.instantiate(namespace)
    return kind(**{field.name: built[field.name] for field in dataclasses.fields(kind)})  # type: ignore[arg-type]


def _configs_first(words: list[str]) -> list[str]:
    """Move every ``--config FILE`` to the front: jsonargparse lets a later file undo a flag."""
    files: list[str] = []
    flags: list[str] = []
    stream = iter(words)
    for word in stream:
        if word == "--config":
            files += [word, next(stream, "")]
        elif word.startswith("--config="):
            files.append(word)
        else:
            flags.append(word)
    return files + flags


def _flag_bare(words: list[str], field: str, hint: Any) -> list[str]:
    """Turn the words that are no flag and no flag's value into the flag of `field`."""
    bare: list[str] = []
    flags: list[str] = []
    stream = iter(words)
    for word in stream:
        if word == "--":
            bare += stream
        elif not word.startswith("-"):
            bare.append(word)
        elif "=" in word or word in _VALUELESS:
            flags.append(word)
        else:
            flags += [word, *itertools.islice(stream, 1)]
    if not bare:
        return flags
    if get_origin(hint) is tuple:
        return [*flags, f"--{field}", json.dumps(bare)]
    return [*flags, f"--{field}", *bare]


def _switches(kind: type, prefix: str = "--") -> set[str]:
    """The flags of `kind` that are true or false."""
    found: set[str] = set()
    for field, hint in get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            found |= _switches(cast(type, hint), f"{prefix}{field}.")
        elif hint is bool:
            found.add(prefix + field)
    return found


def _spell_out_switches(words: list[str], switches: set[str]) -> list[str]:
    """``--resume`` alone means ``--resume true``; ``--resume false`` stays possible."""
    spelt: list[str] = []
    for word, following in zip(words, [*words, "--"][1:], strict=True):
        spelt.append(word)
        if word in switches and following.lower() not in ("true", "false"):
            spelt.append("true")
    return spelt


def _one_line(message: str) -> str:
    """The parser's nested, indented report as one line that names the flag."""
    message = re.sub(r"\s*\n\s*[-|]?\s*", " ", message.strip())
    message = re.sub(r"\s+", " ", message)
    message = re.sub(r'^Parser key "(.+?)": ', r"--\1: ", message)
    message = re.sub(r"<class '(\w+)'>|typing\.", r"\1", message)
    return re.sub(r"^Group '(.+?)' does not accept option '(.+?)'", r"unknown key \1.\2", message)


def _plain(value: Any) -> Any:
    """Tuples as lists and paths as text, which YAML can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
