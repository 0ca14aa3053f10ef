"""The order of the test files, and what all of them share."""

import gc
from pathlib import Path

ROOT = Path(__file__).parents[1]

LONGEST = (
    "tests/tasks/test_train_commands.py",
    "tests/app/test_browser.py",
    "tests/test_exported_tasks.py",
    "tests/tasks/detection/test_export.py",
    "tests/tasks/test_predict_commands.py",
    "tests/tasks/detection/test_published_mmdetection.py",
    "tests/app/test_page.py",
    "tests/tasks/test_published.py",
    "tests/tasks/test_together.py",
    "tests/tasks/salient/test_published_networks.py",
    "tests/backbone/test_compile.py",
    "tests/tasks/salient/test_networks.py",
    "tests/test_pages.py",
    "tests/tasks/test_orientation.py",
    "tests/common/training/test_kill.py",
    "tests/app/test_heads.py",
)
"""The files that take longest, longest first.

`make test` gives whole files to its workers, in the order of collection: one of these as the last
would keep one worker busy while the other has nothing left to do.
"""


def pytest_collection_modifyitems(items):
    """The longest files first; all else stays in its order."""
    places = {ROOT / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish():
    """Keep the garbage collector from what was imported, and call it less often.

    It would look through half a million objects, which stay to the end, again and again: for a
    tenth of the time of all tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
