import copy
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from common.errors import DamagedFile, UserError
from common.training import checkpoint, sampling
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.engine import EngineConfig, TrainData
from tests.common.training import toy
from tests.common.training.toy import PLAIN, engine, log_of, losses


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# --- what a run leaves behind ---


def test_log_and_checkpoints(tmp_path):
    progress = engine(tmp_path).fit(resume=False)
    assert (progress.epoch, progress.samples, progress.step) == (3, 0, 12)
    lines = log_of(tmp_path)
    steps = [line for line in lines if "loss" in line]
    assert [(line["step"], line["epoch"], line["samples"]) for line in steps] == [
        (epoch * 4 + k + 1, epoch, 8 * k + 8) for epoch in range(3) for k in range(4)
    ]
    for line in steps:
        assert line["loss"] == pytest.approx(line["entropy"] + line["size"])
        assert line["samples_per_second"] > 0
    assert [line["epoch"] for line in lines if "metrics" in line] == [0, 1, 2]
    last = checkpoint.read(tmp_path / "run" / "last.pt")
    best = checkpoint.read(tmp_path / "run" / "best.pt")
    assert (tmp_path / "run" / "config.yaml").read_text() == last["config"]
    assert last["progress"] == vars(progress)
    assert last["optimizer"]["param_groups"]
    assert "optimizer" not in best
    assert best["metrics"] == {"error": progress.best}
    assert progress.best == min(line["metrics"]["error"] for line in lines if "metrics" in line)


def test_best_holds_the_averaged_weights_that_were_evaluated(tmp_path):
    engine(tmp_path).fit(resume=False)
    last = checkpoint.read(tmp_path / "run" / "last.pt")
    best = checkpoint.read(tmp_path / "run" / "best.pt")
    assert best["progress"]["epoch"] == 3  # the toy task learns in every epoch
    assert best["ema"] is None
    for name, value in best["model"].items():
        assert torch.equal(value, last["ema"][name])
    assert not torch.equal(last["ema"]["head.weight"], last["model"]["head.weight"])


def test_learning_rate_follows_the_schedule(tmp_path):
    trainer = engine(tmp_path)
    trainer.fit(resume=False)
    rates = [line["learning_rate"] for line in log_of(tmp_path) if "loss" in line]
    assert rates == pytest.approx([0.05 * trainer.schedule(step) for step in range(12)])


# --- the arithmetic, against a loop written out ---


@pytest.mark.parametrize("accumulate", [1, 2])
def test_same_weights_as_a_plain_loop(tmp_path, accumulate):
    trainer = engine(tmp_path, accumulate=accumulate, clip=0.0, ema=0.0, epochs=2)
    model, data = copy.deepcopy(trainer.model), toy.ToySet(36)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    step = 0
    for epoch in range(2):
        order = sampling.order(0, epoch, 36)
        for begin in range(0, 32, 8):
            optimizer.param_groups[0]["lr"] = 0.05 * trainer.schedule(step)
            optimizer.zero_grad()
            size = 8 // accumulate
            for k in range(accumulate):
                chosen = order[begin + k * size : begin + (k + 1) * size]
                samples = [data.sample(i, sampling.generator_for(0, epoch, i)) for i in chosen]
                images = torch.tensor(np.stack([sample["image"] for sample in samples]))
                labels = torch.tensor([sample["label"] for sample in samples])
                sampling.seed_all(sampling.seed_for(0, epoch, begin // 8 * accumulate + k))
                outputs = model.train()(images)
                loss = nn.functional.cross_entropy(outputs, labels)
                ((loss + 1e-3 * outputs.square().mean()) / accumulate).backward()
            for parameter in model.parameters():  # weight decay as SGD adds it
                if parameter.ndim > 1:
                    parameter.grad += 1e-4 * parameter.detach()
            optimizer.step()
            step += 1
    trainer.fit(resume=False)
    assert torch.allclose(weights(trainer.model), weights(model), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_follows_the_whole_batch(tmp_path, accumulate):
    toy.build(tmp_path / "one", World(), accumulate=1, **PLAIN).fit(resume=False)
    toy.build(tmp_path / "parts", World(), accumulate=accumulate, **PLAIN).fit(resume=False)
    assert losses(tmp_path, "parts") == pytest.approx(losses(tmp_path, "one"), rel=1e-4)


def test_clipping_limits_the_step(tmp_path):
    """SGD's first step is the learning rate times the clipped gradient."""
    trainer = engine(tmp_path, clip=1e-3, epochs=1, length=8, **PLAIN)
    for group in trainer.optimizer.param_groups:
        group["weight_decay"] = 0.0
    before = weights(trainer.model)
    trainer.schedule = lambda step: 2.0
    trainer.fit(resume=False)
    moved = (weights(trainer.model) - before).norm().item()
    assert moved == pytest.approx(2.0 * 0.05 * 1e-3, rel=1e-2)


def test_factor_zero_moves_nothing(tmp_path):
    trainer = engine(tmp_path, epochs=1)
    before = weights(trainer.model)
    trainer.schedule = lambda step: 0.0
    trainer.fit(resume=False)
    assert torch.equal(before, weights(trainer.model))


def test_bf16_is_used_and_differs_little(tmp_path):
    for precision in ("fp32", "bf16"):
        toy.build(tmp_path / precision, World(), precision=precision).fit(resume=False)
    exact, rounded = losses(tmp_path, "fp32"), losses(tmp_path, "bf16")
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=0.1)


def test_channels_last_reaches_the_model(tmp_path):
    trainer = engine(tmp_path, channels_last=True, epochs=1)
    seen = []
    trainer.model.register_forward_pre_hook(
        lambda _, inputs: seen.append(
            inputs[0].is_contiguous(memory_format=torch.channels_last)
            and inputs[0].dtype == torch.uint8
        )
    )
    trainer.fit(resume=False)
    assert seen[:8] == [True] * 8
    assert trainer.model.backbone[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_compiled_model_has_plain_names(tmp_path):
    compiled = toy.build(tmp_path / "compiled", World(), compile=True, dropout=0.0)
    compiled.fit(resume=False)
    plain = toy.build(tmp_path / "plain", World(), dropout=0.0)
    plain.fit(resume=False)
    names = [checkpoint.read(e.run.last)["model"].keys() for e in (compiled, plain)]
    assert names[0] == names[1]
    assert losses(tmp_path, "compiled") == pytest.approx(losses(tmp_path, "plain"), rel=1e-3)


# --- order and samples ---


def test_order_of_a_task_is_kept(tmp_path):
    trainer = engine(tmp_path, order=lambda epoch: [epoch, 5, 4, 5] * 4 + [9])
    seen, sample = [], trainer.data.dataset.sample
    trainer.data.dataset.sample = lambda index, generator: (
        seen.append(index) or sample(index, generator)
    )
    assert trainer.fit(resume=False).step == 6
    assert seen == [0, 5, 4, 5] * 4 + [1, 5, 4, 5] * 4 + [2, 5, 4, 5] * 4


def test_workers_change_nothing(zygote, tmp_path):
    for workers in (0, 1, 3):
        run = tmp_path / str(workers)
        assert zygote.run("train", tmp_path / "output", out=str(run), workers=workers) == [0]
    contents = {(tmp_path / str(n) / "last.pt").read_bytes() for n in (0, 1, 3)}
    assert len(contents) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_sample_stops(tmp_path, workers):
    with pytest.raises(DamagedFile, match=r"^image3\.png: cannot be read$"):
        engine(tmp_path, damaged=(3,), workers=workers).fit(resume=False)


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_samples_are_skipped_and_logged_once(tmp_path, workers):
    engine(tmp_path, damaged=(3, 5), on_error="skip", length=32, workers=workers).fit(resume=False)
    lines = [line["skipped"] for line in log_of(tmp_path) if "skipped" in line]
    assert sorted(itertools.chain(*lines)) == [
        "image3.png: cannot be read",
        "image5.png: cannot be read",
    ]
    assert len(losses(tmp_path)) == 12


def as_list(samples):
    """Pictures as a list, as those of several sizes would be."""
    rest = [{k: v for k, v in sample.items() if k != "image"} for sample in samples]
    images = [torch.from_numpy(sample["image"]) for sample in samples]
    return {"image": images, **default_collate(rest)}


class ListTask(toy.ToyTask):
    """The toy task on batches whose pictures are a list."""

    def loss(self, model, batch, progress):
        assert isinstance(batch["image"], list)
        return super().loss(model, batch | {"image": torch.stack(batch["image"])}, progress)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_task_may_say_how_samples_become_a_batch(tmp_path, workers):
    for folder, collate, task in (("own", as_list, ListTask), ("stacked", None, toy.ToyTask)):
        run = engine(tmp_path / folder, damaged=(3,), on_error="skip", length=32, workers=workers)
        run.task = task(World(), 0)
        if collate is not None:
            run.data = replace(run.data, collate=collate)
        run.fit(resume=False)
    assert losses(tmp_path / "own") == losses(tmp_path / "stacked")
    skipped = [line["skipped"] for line in log_of(tmp_path / "own") if "skipped" in line]
    assert skipped == [["image3.png: cannot be read"]]


# --- evaluation ---


class Scripted(toy.ToyTask):
    """A task whose scores are written down."""

    def __init__(self, values, higher):
        super().__init__(World(), 0)
        self.values, self.higher_is_better, self.calls = iter(values), higher, 0

    def evaluate(self, model):
        self.calls += 1
        return {"error": next(self.values)}


@pytest.mark.parametrize(
    ("values", "higher", "best"),
    [
        ((0.3, 0.2, 0.4), False, 2),
        ((0.3, 0.4, 0.2), True, 2),
        ((0.3, 0.3, 0.3), True, 1),
        ((math.nan, 0.3, 0.1), True, 2),
        ((0.3, math.nan, 0.1), True, 1),
    ],
)
def test_best_checkpoint(tmp_path, values, higher, best):
    trainer = engine(tmp_path)
    trainer.task = Scripted(values, higher)
    progress = trainer.fit(resume=False)
    assert progress.best == values[best - 1]
    saved = checkpoint.read(tmp_path / "run" / "best.pt")
    assert saved["progress"]["epoch"] == best
    assert saved["metrics"] == {"error": values[best - 1]}


def test_evaluation_every_other_epoch_and_at_the_end(tmp_path):
    trainer = engine(tmp_path, epochs=5, evaluate_every=2)
    trainer.task = Scripted((0.3, 0.2, 0.1), False)
    trainer.fit(resume=False)
    assert [line["epoch"] for line in log_of(tmp_path) if "metrics" in line] == [1, 3, 4]


def test_training_mode_returns_after_evaluation(tmp_path):
    trainer = engine(tmp_path, ema=0.0)
    modes = []
    trainer.model.register_forward_hook(lambda module, *_: modes.append(module.training))
    trainer.fit(resume=False)
    assert modes == ([True] * 8 + [False] * 3) * 3  # 4 steps of 2 micro-batches, 10 samples by 4


def test_unknown_watched_metric(tmp_path):
    trainer = engine(tmp_path)
    trainer.task.watch = "AP"
    with pytest.raises(ValueError, match=r"watched metric AP is not among \['error'\]"):
        trainer.fit(resume=False)


# --- refused at the door ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 40}, r"--engine\.batch_size 40: the training set does not fill one batch"),
        ({"batch_size": 9}, r"--engine\.batch_size 9: must be a multiple of ranks x"),
        ({"sync_batchnorm": True}, r"--engine\.sync_batchnorm: works on CUDA only"),
        ({"epochs": 0}, r"--engine\.epochs 0: must be at least 1"),
        ({"seed": -1}, r"--engine\.seed -1: must not be negative"),
        ({"ema": 1.0}, r"--engine\.ema 1\.0: must be at least 0 and below 1"),
        ({"clip": math.nan}, r"--engine\.clip nan"),
    ],
)
def test_bad_settings(tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        engine(tmp_path, **settings)


def test_defaults_are_sound():
    assert EngineConfig().batch_size % EngineConfig().accumulate == 0
    assert TrainData(toy.ToySet(1)).on_error == "stop"
    assert RunDirectory(toy.Path("x"), "").last.name == "last.pt"
