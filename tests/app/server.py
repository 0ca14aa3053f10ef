"""Runs of untrained networks, and a page that shows them, for the tests."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
import uvicorn

from app import serving
from app.heads import opening
from app.settings import AppConfig, LimitsConfig
from app.site import site_of
from common.commands.card import describe_checkpoint
from tasks.speaker.decision import FILE, Decision
from tests.tasks.classification import small as classification
from tests.tasks.depth import small as depth
from tests.tasks.detection import runs as detection
from tests.tasks.interactive import small as interactive
from tests.tasks.panoptic import small as panoptic
from tests.tasks.pose import oracle as pose
from tests.tasks.reid import small as reid
from tests.tasks.salient import small as salient
from tests.tasks.segmentation import oracle as segmentation
from tests.tasks.speaker import small as speaker
from tests.tasks.volumes import small as volumes

PICTURES = (
    "salient", "segmentation", "detection", "panoptic", "depth", "classification", "pose",
)  # fmt: skip
WRITERS = {
    "salient": salient, "segmentation": segmentation, "detection": detection, "panoptic": panoptic,
    "depth": depth, "pose": pose, "reid": reid, "speaker": speaker, "interactive": interactive,
    "volumes": volumes,
}  # fmt: skip


def write_runs(folder):
    """A run of every task; the speaker's has a verdict."""
    for task, module in WRITERS.items():
        module.write_run(folder / task)
    classification.write_run(folder / "classification", folder / "none")
    run = folder / "speaker"
    Decision(
        threshold=0.5, eer=0.1, misses=0.1, false_accepts=0.1, trials="trials.txt", count=20,
        scoring="cosine", top=100, slope=4.0, offset=-1.0, calibrated_on="trials.txt",
        checkpoint=describe_checkpoint(run / "best.pt", None)["sha256"],
    ).write(run / FILE)  # fmt: skip


def config_of(folder, tasks=PICTURES, **changes):
    """The settings of a page with runs of these tasks."""
    return AppConfig(runs=tuple(str(folder / task) for task in tasks), device="cpu", **changes)


def photograph(seed, height=96, width=128):
    """A smooth colourful picture (H, W, 3), RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def write_photograph(path, seed, **size):
    """Such a picture as a file without loss; returns its path."""
    cv2.imwrite(str(path), photograph(seed, **size)[..., ::-1])
    return path


class Served:
    """A page that answers, and how to ask it."""

    def __init__(self, site, address, server):
        self.site, self.address, self.server = site, address, server
        self.client = httpx.Client(base_url=address, timeout=60)

    def post(self, name, content, **query):
        """What the programs' way says of a picture's bytes."""
        return self.client.post(f"/api/{name}", content=content, params=query)


@contextlib.contextmanager
def served(heads, config, pictures=()):
    """The page of these heads in a thread of this process."""
    with serving.own_folder() as folder:
        site = site_of(heads, config.limits, Path(folder))
        gate, _ = serving.application(site, config, pictures)
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(gate, log_level="warning", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            yield Served(site, address, gate.app)
        finally:
            site.turns.close()
            server.should_exit = True
            thread.join()


def counted(heads):
    """A list that grows with every pass of a trunk, by the head's name."""
    passes = []
    for head in heads:
        trunk = head.predictor.opened.layers.backbone
        trunk.register_forward_hook(lambda *_, name=head.name: passes.append(name))
    return passes


def opened(folder, tasks=PICTURES, **limits):
    """The heads of runs of these tasks, and their page's settings."""
    config = config_of(folder, tasks, limits=LimitsConfig(**limits))
    return opening.opened(config), config


def persons(detector, picture):
    """The boxes of the persons above 0.5, as rows."""
    label = detector.classes.index("person") + 1
    found = detector(picture)
    chosen = (found.scores > 0.5) & (found.labels == label)
    corners = found.boxes[chosen]
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
