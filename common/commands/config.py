"""One frozen dataclass is a command's whole configuration, read from YAML files and flags.

``--config FILE`` (or the name of a packaged recipe) may be given several times; later files win
over earlier ones, and flags win over every file, wherever they stand. What was resolved is saved in
the run directory and reads back equal.
"""

import dataclasses
import functools
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

import jsonargparse
import yaml

from common.commands import recipes
from common.errors import UserError

Config = TypeVar("Config")
Choice = TypeVar("Choice")

_VALUELESS = {"-h", "--help", "--print_config"}


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
    parser, namespace = _parsed(kind, argv, positional)
    for key, value in namespace.items():
        if isinstance(value, Path):
            namespace[key] = at_home(value)
    return _build(parser, kind, namespace)


def peek(kind: type, argv: Sequence[str], positional: str | None, *fields: str) -> list[Any]:
    """Some fields as the words of `parse` set them, before any other is looked at."""
    _, namespace = _parsed(kind, argv, positional)
    values = [namespace[field] for field in fields]
    return [at_home(value) if isinstance(value, Path) else value for value in values]


def at_home(path: Path) -> Path:
    """A path with ~ written out: a shell leaves --out=~/x as it is, and so does YAML."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: there is no such user or no home folder; a folder's name is ./{path}"
        ) from error


def _parsed(
    kind: type, argv: Sequence[str] | None, positional: str | None
) -> tuple[_Parser, jsonargparse.Namespace]:
    given = list(sys.argv[1:] if argv is None else argv)
    words = _spell_out_switches(given, _switches(kind))
    if positional is not None:
        words = _flag_bare(words, positional, get_type_hints(kind)[positional])
    parser = _parser(kind, _module_name())
    given, flags = _configs_first(words)
    files = [recipes.find(kind, name) for name in given]
    for file in files:
        _require_text(Path(file))
    configs = [word for file in files for word in ("--config", file)]
    namespace = parser.parse_args([*configs, *flags])
    namespace.pop("config", None)
    return parser, namespace


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
    parser, namespace = _parsed(kind, ["--config", str(path)], None)
    return _build(parser, kind, namespace)


def save(config: Any, path: Path) -> None:
    """Write a config as YAML; `read` gives an equal object back."""
    path.write_text(to_yaml(config))


def to_yaml(config: Any) -> str:
    """The config as YAML text, every field spelt out, in the order of the dataclass."""
    return yaml.dump(_plain(dataclasses.asdict(config)), Dumper=_Dumper, sort_keys=False, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes also what the parser takes for a number and PyYAML does not, such as 1e3."""

    def represent_text(self, text: str) -> yaml.Node:
        """A text, within quotes where it could be read as something else."""
        style = "'" if re.fullmatch(r"[-+.\d_]+[eE][-+]?\d+", text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


@functools.cache  # made once for the words, the run's file and the recipes: it reads source code
def _parser(kind: type, module: str) -> _Parser:
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    # Without abbreviations a misspelt flag is an error rather than a guess.
    parser = _Parser(prog=f"python -m {module}", description=kind.__doc__, allow_abbrev=False)
    parser.add_argument(
        "--config", action="config", help="YAML file, or the name of a recipe; flags win over it"
    )
    parser.add_class_arguments(kind, fail_untyped=True)
    return parser


def _module_name() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name.removesuffix(".__main__") if spec is not None else Path(sys.argv[0]).stem


def _build(parser: _Parser, kind: type[Config], namespace: jsonargparse.Namespace) -> Config:
    _require_values(kind, namespace)
    try:
        built = parser.instantiate(namespace)
        whole: Config = kind(**{one.name: built[one.name] for one in dataclasses.fields(kind)})  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(_one_line(str(error))) from error
    return whole


def _configs_first(words: list[str]) -> tuple[list[str], list[str]]:
    """Every ``--config FILE`` apart from the flags: jsonargparse lets a later file undo a flag."""
    files: list[str] = []
    flags: list[str] = []
    stream = iter(words)
    for word in stream:
        if word == "--config":
            files.append(next(stream, ""))
        elif word.startswith("--config="):
            files.append(word.removeprefix("--config="))
        else:
            flags.append(word)
    return files, flags


def _require_text(file: Path) -> None:
    """Refuse a config file that YAML could not be read from; a missing one the parser names."""
    try:
        if file.is_file():
            file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"--config {file}: is not text in UTF-8; save it as such") from error
    except OSError as error:
        raise UserError(f"--config {file}: cannot be read: {error.strerror}") from error


def _loaded(text: str) -> Any:
    """What a value or a file says in YAML.

    The parser takes quoted texts of a file for YAML once more, where a path such as ``#3/photos``
    is a comment, which is nothing.
    """
    is_text = text.startswith(("#", "&", "?")) and "\n" not in text
    return text if is_text else _yaml(text)


_yaml = jsonargparse.get_loader("yaml")
jsonargparse.set_loader("yaml", _loaded, (yaml.YAMLError,))


def _require_values(kind: type, namespace: jsonargparse.Namespace, prefix: str = "") -> None:
    """Refuse what is empty and must not be, which the parser lets pass."""
    for field, hint in get_type_hints(kind).items():
        value, name = namespace[field], prefix + field
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, jsonargparse.Namespace):
                found = "is empty" if value is None else f"is {value}"
                raise UserError(
                    f"{name}: {found}; it is a section: give its keys beneath it, or leave it out"
                )
            _require_values(cast(type, hint), value, f"{name}.")
        elif value is None and type(None) not in (hint, *get_args(hint)):
            raise UserError(f"--{name}: is empty; give a value, or leave it out for the default")


def _flag_bare(words: list[str], field: str, hint: Any) -> list[str]:
    """Turn the words that are neither a flag nor a flag's value into the flag of `field`."""
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
    for word in bare:
        if word.encode(errors="replace") != word.encode(errors="surrogateescape"):
            raise UserError(f"{word!a}: the name is not UTF-8; give its folder, or rename it")
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
    message = re.sub(
        r"Expected a tuple\. Got value: (\w\S*)$", r"\1 is not a list; write '[\1]'", message
    )
    return re.sub(r"^Group '(.+?)' does not accept option '(.+?)'", r"unknown key \1.\2", message)


def _plain(value: Any) -> Any:
    """Tuples as lists and paths as text, which YAML can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
