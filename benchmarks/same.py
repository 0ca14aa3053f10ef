"""``python -m benchmarks.same OLD NEW``: the proof that a refactor changed nothing.

OLD and NEW are the folders of two checkouts of this project, such as two git worktrees. For every
task the same commands run on both, on one thread of the CPU each: sample; a training of two epochs
that is stopped by a signal and resumed; evaluate; predict on pictures, recordings and a video;
export. All files that they write are compared, the weights bit for bit. NEW also scores the run
that OLD wrote, and resumes the one that OLD stopped. Every recipe must parse to the same values.
Only commands are called, so the inside may be rearranged freely. Ends with status 1 if anything
differs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.same_files import Report, compare_folders
from benchmarks.same_runs import PLANS, STEPS, TAKEN, Side, run, take_over
from benchmarks.same_start import Servers, environment

OLD_RUN, RECIPES = "old run", "recipes"
COLUMNS = (RECIPES, *STEPS, OLD_RUN)
DEFAULTS, ERROR = "(defaults)", "error"
SHOWN = 8
"""Differences of a step that are printed."""

_PARSE = """
import dataclasses, importlib, json, sys
from pathlib import Path
import backbone, common, tasks
try:
    from common.commands.config import parse
except ModuleNotFoundError:
    from common.config import parse

def flat(value, name=""):
    if not dataclasses.is_dataclass(value):
        return {name: repr(value)}
    parts = (flat(getattr(value, f.name), f"{name}.{f.name}") for f in dataclasses.fields(value))
    return {key.removeprefix("."): found for part in parts for key, found in part.items()}

def settings(kind, words):
    try:
        return flat(parse(kind, words))
    except Exception as error:
        return {"error": str(error)}

recipes = {}
for task in sys.argv[2:]:
    kind = importlib.import_module(f"tasks.{task}.config").Config
    recipes[task] = {"(defaults)": settings(kind, [])}
    for file in sorted(Path(sys.argv[1], "tasks", task, "configs").glob("*.yaml")):
        recipes[task][file.name] = settings(kind, ["--config", str(file)])
homes = [str(Path(one.__file__).resolve().parents[1]) for one in (backbone, common, tasks)]
print(json.dumps({"homes": homes, "recipes": recipes}))
"""

Settings = dict[str, dict[str, str]]
"""Of each recipe of a task: key -> value."""


def read_recipes(checkout: Path, tasks: Sequence[str]) -> dict[str, Settings]:
    """The settings of every recipe of the tasks, as a checkout reads them.

    Ends the program where the checkout cannot be run, or Python takes the code from elsewhere, so
    that one code is never compared with itself.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(checkout), *tasks],
        env=environment(checkout),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{checkout}: its recipes cannot be read:\n{done.stderr}")
    found = json.loads(done.stdout)
    if set(found["homes"]) != {str(checkout)}:
        sys.exit(f"{checkout}: Python takes the code from {found['homes']}")
    recipes: dict[str, Settings] = found["recipes"]
    return recipes


def compare_recipes(old: Settings, new: Settings) -> Report:
    """Compare the settings of a task's recipes.

    A setting that only NEW has is no difference where its value is NEW's default.
    """
    differences, added = [], set()
    for name in sorted(old | new):
        if name not in old or name not in new:
            differences.append(f"{name}: only {'OLD' if name in old else 'NEW'} has it")
            continue
        if ERROR in new[name]:
            differences.append(f"{name}: NEW: {new[name][ERROR]}")
            continue
        for key in sorted(old[name] | new[name]):
            left, right = old[name].get(key), new[name].get(key)
            if left is None and right == new[DEFAULTS].get(key):
                added.add(f"new setting {key} = {right}")
            elif left != right:
                nothing = "not there"
                differences.append(f"{name}: {key}: {left or nothing} / {right or nothing}")
    changed = {text.partition(": ")[0] for text in differences}
    equal = len((old | new).keys() - changed)
    return Report(equal, tuple(differences), tuple(sorted(added)))


def compare_sides(old: Side, new: Side, step: str, places: Sequence[Path]) -> Report:
    """The files of a step on both sides; a command that failed is a difference, too."""
    failed = tuple(
        f"{name}: {side.failures[step]}"
        for name, side in (("OLD", old), ("NEW", new))
        if step in side.failures
    )
    found = compare_folders(old.folder / step, new.folder / step, places)
    if not found.equal and not found.differences:
        failed += ("no file was written",)
    return Report(found.equal, failed + found.differences)


def work(old: Side, new: Side, task: str) -> tuple[Side, Side]:
    """OLD's share of a task, and what NEW does with OLD's runs."""
    run(old, task)
    return take_over(old, new, task)


def compare_task(
    old: Side, new: Side, took_over: tuple[Side, Side], task: str, places: Sequence[Path]
) -> dict[str, Report]:
    """Compare what both sides wrote, and tell step by step."""
    reports = {}
    for step in STEPS:
        reports[step] = compare_sides(old, new, step, places)
        tell(task, step, reports[step])
    scoring, resuming = took_over
    scored = compare_sides(old, scoring, "evaluate", places)
    resumed = compare_sides(old, resuming, "train", places)
    differences = scored.differences + resumed.differences
    reports[OLD_RUN] = Report(scored.equal + resumed.equal, differences)
    tell(task, OLD_RUN, reports[OLD_RUN])
    return reports


def tell(task: str, step: str, report: Report) -> None:
    """Print what a step of a task came to."""
    title, kind = f"{task:<15}{step}:", "recipes" if step == RECIPES else "files"
    for text in report.notes:
        print(f"{title} {text}", flush=True)
    for text in report.differences[:SHOWN]:
        print(f"{title} DIFFERENT: {text}", flush=True)
    if len(report.differences) > SHOWN:
        print(f"{title} DIFFERENT: {len(report.differences) - SHOWN} more", flush=True)
    if not report.differences:
        print(f"{title} {report.equal} {kind} equal", flush=True)


def print_table(reports: dict[str, dict[str, Report]], seconds: float) -> bool:
    """Print the number of equal files of each task and step; returns whether nothing differs."""
    print(f"\n{'equal':<15}" + "".join(f"{step:>13}" for step in COLUMNS))
    for task, found in reports.items():
        cells = [
            f"{found[step].equal}, {len(found[step].differences)} not"
            if found[step].differences
            else str(found[step].equal)
            for step in COLUMNS
        ]
        print(f"{task:<15}" + "".join(f"{cell:>13}" for cell in cells))
    every = [report for found in reports.values() for report in found.values()]
    wrong = sum(len(report.differences) for report in every)
    verdict = f"{wrong} differences" if wrong else "all equal"
    print(f"{verdict}: {sum(report.equal for report in every)} equal, {seconds:.0f} s")
    return not wrong


@contextmanager
def work_folder(keep: Path | None) -> Iterator[Path]:
    """A new folder, which is left where it was asked for."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="same-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compare(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, Report]]:
    """Run and compare all the tasks in a folder; as many commands at once as there are jobs."""
    tasks, checkouts = arguments.tasks, [path.resolve() for path in (arguments.old, arguments.new)]
    read = [read_recipes(checkout, tasks) for checkout in checkouts]
    names = ("old", "new", *TAKEN)
    places = [*checkouts, *(folder / task / name for task in tasks for name in names)]
    reports: dict[str, dict[str, Report]] = {}
    with Servers() as servers, ThreadPoolExecutor(arguments.jobs) as pool:
        jobs: dict[str, tuple[Side, Side, Future[tuple[Side, Side]], Future[None]]] = {}
        for task in tasks:
            old, new = (
                Side(checkout, folder / task / name, servers=servers)
                for checkout, name in zip(checkouts, names, strict=False)
            )
            first, second = pool.submit(work, old, new, task), pool.submit(run, new, task)
            jobs[task] = old, new, first, second
        for task, (old, new, first, second) in jobs.items():
            second.result()
            recipes = compare_recipes(read[0][task], read[1][task])
            tell(task, RECIPES, recipes)
            compared = compare_task(old, new, first.result(), task, places)
            reports[task] = {RECIPES: recipes, **compared}
            if arguments.keep is None:
                shutil.rmtree(folder / task)  # checkpoints take half a gigabyte a task
    return reports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="folder of a checkout")
    parser.add_argument("new", type=Path, help="folder of the changed one")
    parser.add_argument("--tasks", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--jobs", type=int, default=2, help="commands that run at once")
    parser.add_argument("--keep", type=Path, help="new folder in which all files are left")
    arguments = parser.parse_args()
    for path in (arguments.old, arguments.new):
        if not (path / "tasks").is_dir():
            parser.error(f"{path}: is no checkout of this project")
    if arguments.keep is not None and arguments.keep.exists() and any(arguments.keep.iterdir()):
        parser.error(f"--keep {arguments.keep}: is not empty")
    if arguments.jobs < 1:
        parser.error("--jobs: must be at least 1")
    begin = time.monotonic()
    with work_folder(arguments.keep) as folder:
        reports = compare(arguments, folder)
    sys.exit(0 if print_table(reports, time.monotonic() - begin) else 1)


if __name__ == "__main__":
    main()
