"""``python -m benchmarks.salient [PICTURES]``: scoring saliency maps beside pysodmetrics, one core.

Both measure the same maps of 400x300 pixels by F-measure, MAE, S-measure, E-measure and weighted
F-measure. The scores are checked to agree. pysodmetrics is no dependency of this project: it pins
older versions, so it is installed beside them by ``pip install --no-deps pysodmetrics``.
"""

import functools
import importlib
import importlib.util
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from tasks.salient.metrics import measure, scores
from tasks.salient.sample.shapes import coverage, random_shape

WIDTH, HEIGHT = 400, 300
PICTURES, PART, REPEATS = 1000, 50, 3
MEASURES = ("Fmeasure", "MAE", "Smeasure", "Emeasure", "WeightedFmeasure")

Maps = list[tuple[np.ndarray, np.ndarray]]


def pysodmetrics() -> Any | None:
    """The module of pysodmetrics with the five measures, or None where it is not installed.

    Its package also imports measures that need scikit-learn; they are left out.
    """
    found = importlib.util.find_spec("py_sod_metrics")
    if found is None or found.submodule_search_locations is None:
        return None
    package = types.ModuleType("py_sod_metrics")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules.setdefault("py_sod_metrics", package)
    return importlib.import_module("py_sod_metrics.sod_metrics")


def maps(count: int, least: float = 40, greatest: float = 90) -> Maps:
    """Masks of one to three objects, with maps as a network makes them.

    A map is the sigmoid of a blurred mask with doubts here and there, so most pixels are near 0 or
    255, but not all in the background are 0.

    Args:
        count: of pictures.
        least: radius of an object in pixels.
        greatest: radius of an object in pixels.
    """
    generator = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
        for _ in range(generator.choice([1, 2, 3], p=[0.6, 0.28, 0.12])):
            center = generator.uniform((80, 60), (WIDTH - 80, HEIGHT - 60))
            size = generator.uniform(least, greatest)
            shape = random_shape(generator)
            np.maximum(mask, coverage(shape, tuple(center), size, HEIGHT, WIDTH), out=mask)
        doubts = cv2.resize(generator.normal(0, 2.5, (12, 16)), (WIDTH, HEIGHT))
        blurred = cv2.GaussianBlur(mask, (0, 0), generator.uniform(1, 6))
        predicted = 255 / (1 + np.exp(-16 * (blurred - 0.5) - doubts))
        pairs.append((np.rint(predicted).astype(np.uint8), np.rint(255 * mask).astype(np.uint8)))
    return pairs


def theirs(module: Any, pairs: Maps) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meters = {name: getattr(module, name)() for name in MEASURES}
        for predicted, mask in pairs:
            for meter in meters.values():
                meter.step(predicted, mask)
    f = meters["Fmeasure"].get_results()["fm"]
    e = meters["Emeasure"].get_results()["em"]
    return {
        "meanF": float(f["curve"].mean()),
        "adaptF": float(f["adp"]),
        "MaxF_stretched": float(f["curve"].max()),
        "MaxF_of_pictures": float(np.max(meters["Fmeasure"].changeable_fms, axis=1).mean()),
        "MAE_stretched": float(meters["MAE"].get_results()["mae"]),
        "Sm": float(meters["Smeasure"].get_results()["sm"]),
        "Em": float(e["curve"].mean()),
        "maxE": float(e["curve"].max()),
        "adaptE": float(e["adp"]),
        "wF": float(meters["WeightedFmeasure"].get_results()["wfm"]),
    }


def ours(pairs: Maps) -> dict[str, float]:
    return scores([measure(predicted, mask) for predicted, mask in pairs]).metrics


def seconds(function: Callable[[Maps], dict[str, float]], part: Maps) -> float:
    """CPU time of one run, which a busy machine changes less than time on the wall."""
    start = time.process_time()
    function(part)
    return time.process_time() - start


def compare(name: str, peer: Callable[[Maps], dict[str, float]], pairs: Maps) -> None:
    times, differences = np.zeros(2), 0.0
    for start in range(0, len(pairs), PART):
        part = pairs[start : start + PART]
        # In turns, so that both see the same machine; of a few runs the least is taken.
        runs = [[seconds(function, part) for function in (ours, peer)] for _ in range(REPEATS)]
        times += np.min(runs, axis=0)
        mine, wanted = ours(part), peer(part)
        differences = max(differences, *(abs(mine[name] - wanted[name]) for name in wanted))
    share = np.mean([(mask > 128).mean() for _, mask in pairs])
    mine, theirs_ = 1000 * times / len(pairs)
    print(
        f"{name:16}{share:8.2f}{times[0]:10.2f} s{mine:8.2f} ms{times[1]:10.2f} s{theirs_:8.2f} ms"
        f"{theirs_ / mine:8.1f} x   {differences:.0e}"
    )


def main() -> None:
    cv2.setNumThreads(1)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    module = pysodmetrics()
    if module is None:
        sys.exit("pysodmetrics is not installed: pip install --no-deps pysodmetrics")
    peer = functools.partial(theirs, module)
    print(f"{count:,} maps of {WIDTH}x{HEIGHT}, one core, CPU time in all and for a picture")
    print(f"{'objects':16}{'share':>8}{'this':>14}{'pysodmetrics':>27}{'ratio':>14}   difference")
    compare("as in samples", peer, maps(count))
    compare("large", peer, maps(count // 5, 100, 160))


if __name__ == "__main__":
    main()
