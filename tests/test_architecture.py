"""The layout's rules, so that the tenth task reads like the first."""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("app", "backbone", "common", "tasks")
    for path in (ROOT / folder).rglob("*.py")
)
TASKS = sorted(path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py"))
TASK_FILES = {
    "config.py", "data.py", "transforms.py", "sample", "model.py", "loss.py", "metrics.py",
    "check.py", "train.py", "evaluate.py", "predict.py", "README.md",
}  # fmt: skip


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imported_modules(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported_modules(path)}


def test_the_backbone_can_be_lifted_out():
    for path in (ROOT / "backbone").rglob("*.py"):
        foreign = packages(path) - sys.stdlib_module_names - {"backbone", "torch", "safetensors"}
        # Triton comes with PyTorch for CUDA, and this file is imported there only.
        foreign -= {"triton"} if path.parts[-2:] == ("fast", "cuda.py") else set()
        assert not foreign, f"{path.name} imports {foreign}"


def test_the_page_is_imported_by_nobody_and_its_framework_by_the_page_alone():
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] != "app":
            assert not packages(path) & {"app", "gradio", "fastapi", "starlette"}, path.name


ROOMS = {
    "training": {"training"},
    "reading": {"reading"},
    "sample": {"sample", "reading"},
    "commands": {"commands", "training", "reading", "sample"},
    "check": {"check", "commands", "reading"},
    "networks": {"networks", "training"},
}
"""What each room of common may import of it, besides the modules that lie in no room."""


def test_common_knows_no_task_and_only_its_commands_and_networks_know_a_backbone():
    for path in (ROOT / "common").rglob("*.py"):
        room = path.relative_to(ROOT / "common").parts[0]
        allowed = {"backbone"} if room in ("commands", "networks") else set()
        assert not packages(path) & {"backbone", "tasks"} - allowed, path.name


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_common_imports_only_rooms_below_it(room):
    for path in (ROOT / "common" / room).rglob("*.py"):
        rooms = {
            module.split(".")[1]
            for module in imported_modules(path)
            if module.startswith("common.") and module.split(".")[1] in ROOMS
        }
        assert rooms <= ROOMS[room], f"{path.name} imports {rooms - ROOMS[room]}"


def test_every_module_of_common_lies_in_a_room():
    loose = {path.name for path in (ROOT / "common").glob("*.py")}
    assert loose == {"__init__.py", "errors.py", "opencv.py", "outputs.py", "layers.py"}
    assert {path.name for path in (ROOT / "common").iterdir() if path.is_dir()} >= set(ROOMS)


STANDS_ON = {"panoptic": {"detection"}}
"""What a task may import of others. Panoptic FPN is Mask R-CNN with a semantic head beside it: its
anchors, pooling, heads, losses, transforms and readers are detection's, and a part that has two
users of this kind would be in common what no third task can use."""


@pytest.mark.parametrize("task", TASKS)
def test_a_task_imports_no_other_task(task):
    allowed = {task, *STANDS_ON.get(task, ())}
    for path in (ROOT / "tasks" / task).rglob("*.py"):
        others = {
            module
            for module in imported_modules(path)
            if module.startswith("tasks.") and module.split(".")[1] not in allowed
        }
        assert not others, f"{path.name} imports {others}"


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_the_same_files(task):
    present = {path.name for path in (ROOT / "tasks" / task).iterdir()}
    assert present >= TASK_FILES, f"missing: {TASK_FILES - present}"
    assert list((ROOT / "tasks" / task / "configs").glob("*.yaml")), "no recipe"
    assert len((ROOT / "tasks" / task / "train.py").read_text().splitlines()) <= 80


@pytest.mark.parametrize("task", TASKS)
def test_metrics_and_losses_know_no_files_and_no_ranks(task):
    for name in ("metrics.py", "loss.py"):
        found = packages(ROOT / "tasks" / task / name)
        assert not found & {"pathlib", "os", "io"}, name
        assert "torch.distributed" not in imported_modules(ROOT / "tasks" / task / name)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_readable_thing(path):
    assert path.stem not in {"utils", "misc", "helpers"}
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            documented = ast.get_docstring(node) or ""
            assert length - len(documented.splitlines()) <= 50, f"{node.name}: {length} lines"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"


def test_the_files_that_are_begun_first_are_there():
    assert all((ROOT / name).is_file() for name in LONGEST)


def test_the_packages_import_without_work_or_optional_parts():
    """Importing prints nothing, opens no connection and needs no optional package.

    Nor matplotlib, which takes a second that only who draws a chart should pay; nor timm, of all
    optimizers, but for lamb.
    """
    program = (
        "import socket, sys\n"
        "def refuse(*_): raise RuntimeError('network at import')\n"
        "socket.socket.connect = refuse\n"
        "for name in ('tensorboard', 'av', 'onnx', 'matplotlib', 'nibabel', 'pydicom'):\n"
        "    sys.modules[name] = None\n"
        "sys.modules['timm'] = None\n"
        "from torch import nn\n"
        "from common.training import optim\n"
        "optim.build(nn.Linear(1, 1), optim.OptimizerConfig(name='adamw'))\n"
        "del sys.modules['timm']\n"
        "import backbone\n"
    ) + "".join(
        f"import tasks.{task}.{command}\n"
        for task in TASKS
        for command in ("check", "train", "evaluate", "predict")
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": ""}, "1000"),  # as containers pass what is not set
        ({"GOMP_SPINCOUNT": "30000"}, "30000"),
        ({"OMP_WAIT_POLICY": "active"}, ""),
    ],
)
@pytest.mark.parametrize("name", ["tasks.pose.predict", "tasks.speaker.train", "app.__main__"])
def test_threads_leave_their_core_to_others_soon(name, given, found):
    """What torch's threads read when it is imported is set by then, and a user's own is kept."""
    program = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch':\n"
        "            os.write(1, os.environ.get('GOMP_SPINCOUNT', '').encode())\n"
        "            os._exit(0)\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"import {name}\n"
    )
    ours = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    variables = {key: value for key, value in os.environ.items() if key not in ours} | given
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=variables
    )
    assert (done.returncode, done.stdout) == (0, found), done.stderr
