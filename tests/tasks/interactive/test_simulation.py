"""The clicks that training simulates, and those that answer the network's mistakes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.interactive import simulation
from tasks.interactive.clicks import nearest
from tasks.interactive.config import ClickConfig, LossConfig
from tasks.interactive.corrections import corrected, inputs
from tasks.interactive.data import TrainSet, read
from tasks.interactive.loss import click_weight, focal, terms
from tasks.interactive.model import build
from tasks.interactive.parts import Maps
from tasks.interactive.robot import depths
from tests.tasks.interactive import small

Y, X = np.mgrid[:384, :384]
OBJECT = (Y - 200) ** 2 + (X - 150) ** 2 < 70**2
PUBLISHED = ClickConfig(decay=1.0)


def test_published_clicks_keep_their_distances():
    inside = np.sqrt(depths(OBJECT))
    positives, negatives = [], []
    for seed in range(60):
        found = simulation.clicks(OBJECT, PUBLISHED, np.random.default_rng(seed))
        assert found[0] == simulation.first(OBJECT)
        ours = [one for one in found if one.positive]
        others = [one for one in found if not one.positive]
        assert 1 <= len(ours) <= 10 and len(others) <= 10
        assert all(inside[one.y, one.x] > 5 for one in ours)
        beside = [np.hypot(one.x - 150, one.y - 200) - 70 for one in others]
        assert all(13 < far < 81 for far in beside), beside
        for group, least in ((ours, 7), (others, 10)):
            for place, one in enumerate(group):
                assert all(np.hypot(one.x - two.x, one.y - two.y) > least for two in group[:place])
        positives.append(len(ours))
        negatives.append(len(others))
    # All numbers alike: the mean of 1 to 10, and of 0 to 10.
    assert 4.2 < np.mean(positives) < 6.8 and 3.8 < np.mean(negatives) < 6.2


def test_fewer_clicks_where_they_decay():
    few = ClickConfig(decay=0.3)
    found = [len(simulation.clicks(OBJECT, few, np.random.default_rng(seed))) for seed in range(60)]
    assert np.mean(found) < 2.5 and min(found) == 1


def test_tiny_objects_and_boxes():
    mask = np.zeros((20, 30), bool)
    mask[3, 4] = True
    found = simulation.clicks(mask, PUBLISHED, np.random.default_rng(0))
    assert found[0][:2] == (4, 3) and not any(one.positive for one in found[1:])
    assert simulation.box(mask, np.random.default_rng(0)) == (4, 3, 4, 3)
    boxes = {simulation.box(OBJECT, np.random.default_rng(seed)) for seed in range(20)}
    assert len(boxes) == 20
    for left, top, right, bottom in boxes:
        assert abs(left - 81) < 15 and abs(right - 219) < 15
        assert abs(top - 131) < 15 and abs(bottom - 269) < 15
    with pytest.raises(ValueError, match="empty"):
        simulation.first(np.zeros((3, 3), bool))


class Fixed(torch.nn.Module):
    """A network whose mask is always the same."""

    late = True

    def __init__(self, probability):
        super().__init__()
        self.logits = torch.logit(probability)[None, None]
        self.seen = []

    def encode(self, images):
        assert not self.training and not torch.is_grad_enabled()
        return images

    def decode(self, encoded, hints):
        self.seen.append(hints.clone())
        return Maps(self.logits.expand(len(encoded), -1, -1, -1))


def batch_of(corrections, mask, third=None):
    size = mask.shape
    count = len(corrections)
    label = torch.from_numpy(mask.astype(np.uint8)).expand(count, *size).clone()
    if third is not None:
        label[:, third] = 255
    far = torch.from_numpy(nearest([], *size))
    return {
        "image": torch.zeros(count, 3, *size, dtype=torch.uint8), "label": label,
        "nearest": far.expand(count, 2, *size).clone(), "first": far[0].expand(count, *size),
        "previous": torch.zeros(count, *size), "corrections": torch.tensor(corrections),
        "seed": torch.arange(count), "index": torch.arange(count),
    }  # fmt: skip


def test_corrections_answer_the_networks_own_mistakes():
    mask = np.zeros((20, 30), bool)
    mask[5:15, 5:15] = True
    wrong = torch.full((20, 30), 0.1)
    wrong[2:18, 18:28] = 0.9
    model = Fixed(wrong).train()
    batch = batch_of([0, 1, 3], mask)
    config = ClickConfig(place="deepest")
    found = corrected(model, batch, config)
    assert model.training and len(model.seen) == 3
    assert torch.equal(found["nearest"][0], batch["nearest"][0]), "no correction was drawn for it"
    assert not found["previous"][0].any()
    # What is too much is the larger mistake.
    negative = found["nearest"][1, 1]
    assert int(negative.min()) == 0 and divmod(int(negative.argmin()), 30)[1] > 17
    assert torch.allclose(found["previous"][1], wrong)
    assert torch.equal(batch["nearest"], batch_of([0, 1, 3], mask)["nearest"]), "in place"
    quiet = corrected(Fixed(torch.from_numpy(np.where(mask, 0.9, 0.1))), batch, config)
    assert torch.equal(quiet["nearest"], batch["nearest"]), "nothing was wrong"
    assert corrected(model, batch_of([0, 0], mask), config)["previous"].sum() == 0


def test_random_corrections_depend_on_the_samples_seed():
    mask = np.zeros((40, 40), bool)
    mask[4:36, 4:36] = True
    nothing = torch.full((40, 40), 0.1)
    batch = batch_of([1, 1, 1], mask)
    first = corrected(Fixed(nothing), batch, ClickConfig())["nearest"]
    again = corrected(Fixed(nothing), batch, ClickConfig())["nearest"]
    assert torch.equal(first, again) and not torch.equal(first[0], first[1])


def test_a_step_of_either_network(tmp_path):
    root = small.write_voc(tmp_path / "voc")
    for network, loss in (("late", "focal"), ("fcanet", "clicks")):
        config = small.tiny_config(root)
        model = replace(config.model, network=network, channels=16)
        config = replace(config, model=model, loss=LossConfig(name=loss))
        samples = TrainSet(read(config, "train"), config)
        drawn = [samples.sample(place, np.random.default_rng(place)) for place in range(4)]
        batch = torch.utils.data.default_collate(drawn)
        network = build(config).train()
        batch = corrected(network, batch, config.simulation)
        given = inputs(batch, network.late)
        assert given.shape == (4, 6, 32, 32)
        third = batch["previous"] if network.late else batch["first"]
        assert torch.equal(given[:, 5], third)
        maps = network(given)
        found = terms(maps, batch["label"], batch["nearest"], batch["first"], config.loss)
        sum(found.values()).backward()
        missing = [name for name, one in network.named_parameters() if one.grad is None]
        assert not missing, missing


def test_weights_around_clicks_are_the_published_ones():
    found = click_weight(torch.tensor([0.0, 10, 25, 50, 100, 200]))
    assert found.tolist() == pytest.approx([2.0, 1.88, 1.7, 1.4, 0.8, 0.8])


def test_losses_against_plain_numbers():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (2, 1, 6, 7))
    label = generator.integers(0, 2, (2, 6, 7)).astype(np.uint8)
    label[:, 0] = 255
    near, first = generator.uniform(0, 150, (2, 2, 6, 7)), generator.uniform(0, 150, (2, 6, 7))
    right = np.where(label == 1, logits[:, 0], -logits[:, 0])
    p = 1 / (1 + np.exp(-right))
    counts = label != 255
    plain = []
    for one, here in zip(p, counts, strict=True):
        weight = (1 - one[here]) ** 2
        plain.append(0.5 * (weight / weight.mean() * -np.log(one[here])).mean())
    tensors = [torch.from_numpy(one) for one in (logits, label, near, first)]
    maps = Maps(tensors[0], tensors[0])
    found = terms(maps, *tensors[1:], LossConfig())
    assert found["focal"].item() == pytest.approx(np.mean(plain), rel=1e-5)
    entropy = -np.log(p)
    weight = 0.8 + 1.2 * (1 - np.minimum(np.where(label == 1, near[:, 0], near[:, 1]), 100) / 100)
    alone = np.where(label == 1, 0.8 + 1.2 * (1 - np.minimum(first, 100) / 100), 0.8)
    found = terms(maps, *tensors[1:], LossConfig(name="clicks"))
    assert found["clicks"].item() == pytest.approx((weight * entropy)[counts].mean(), rel=1e-5)
    assert found["first"].item() == pytest.approx((alone * entropy)[counts].mean(), rel=1e-5)


def test_the_focal_loss_survives_perfect_and_empty_pictures():
    sure = torch.full((2, 4, 4), 200.0, requires_grad=True)
    counts = torch.ones(2, 4, 4)
    counts[1] = 0
    loss = focal(sure, torch.ones(2, 4, 4), counts, 2.0)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(sure.grad).all()
