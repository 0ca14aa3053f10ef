"""The commands on two ranks: what each of them sees is in what rank 0 writes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from common.commands import config
from tasks.reid import predict
from tasks.reid.batches import person_batches
from tasks.reid.config import Config
from tasks.reid.data import read_training
from tasks.reid.model import build
from tests.tasks import commands
from tests.tasks.commands import weights
from tests.tasks.reid import small
from tests.tasks.rows import CENTERS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
    """What two ranks have left: features in `two`, and a training of an epoch in `run`."""
    folder = tmp_path_factory.mktemp("ranks")
    market = small.write_market(folder / "market")
    small.write_run(folder / "untrained")
    embedding = [*asked(folder, market), "--out", str(folder / "two"), "--loader.workers", "0"]
    training = ("--engine.epochs", "1", *CENTERS)
    runs = [
        ("tasks.reid.predict", embedding),
        (
            "tasks.reid.train",
            commands.words("reid", shared.data("reid"), folder / "run", *training),
        ),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.tasks.reid.ranks", json.dumps(runs)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def asked(folder, market):
    run = str(folder / "untrained")
    return [str(market / "query"), "--run", run, "--engine.batch_size", "2"]


def test_training_moves_the_centers_of_all_persons(folder):
    """Each rank sees other persons, and rank 0, whose buffers are kept, has to learn of them."""
    settings = config.read(Config, folder / "run" / "config.yaml")
    training = read_training(settings.data)
    order = person_batches(training.labels, settings, ranks=2)
    drawn = training.labels[order(0) % len(training.labels)]
    torch.manual_seed(settings.engine.seed)
    start = build(settings.backbone, settings.model, training.persons, centers=True).centers
    moved = (weights(folder / "run", "last.pt")["centers"] != start).any(dim=1)
    assert set(moved.nonzero().flatten().tolist()) == set(drawn.tolist())


def test_predict_shares_the_pictures(folder):
    words = (*asked(folder, folder / "market"), "--out", folder / "one", "--loader.workers", "0")
    commands.call(predict.main, *words)
    one, two = features(folder / "one"), features(folder / "two")
    assert list(one) == list(two)
    np.testing.assert_allclose(list(one.values()), list(two.values()), rtol=1e-4, atol=1e-6)


def features(out):
    with np.load(out / "features.npz") as content:
        return dict(zip(content["paths"].tolist(), content["features"], strict=True))
