"""P x K batches: who is in them, over epochs, ranks and repetitions; the learning rate."""

import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from common.training.optim import OptimizerConfig, schedule
from common.training.sampling import Batches
from common.training.settings import EngineConfig
from tasks.reid.batches import PersonBatches, person_batches, rates
from tasks.reid.config import Config, DataConfig

LABELS = np.repeat(np.arange(10), [4, 5, 7, 8, 9, 12, 13, 6, 4, 20]).astype(np.int64)


def batches(labels=LABELS, persons=4, pictures=4, seed=0):
    return PersonBatches(labels, persons, pictures, seed)


@pytest.mark.parametrize("shuffled", [False, True])
def test_every_batch_holds_p_persons_with_k_pictures_each(shuffled):
    labels = np.random.default_rng(0).permutation(LABELS) if shuffled else LABELS
    order = batches(labels)
    for epoch in range(20):
        drawn = order(epoch)
        assert len(drawn) % 16 == 0
        for batch in drawn.reshape(-1, 4, 4):
            persons = labels[batch]
            assert (persons == persons[:, :1]).all()
            assert len(set(persons[:, 0].tolist())) == 4
        # No picture twice, as each person has at least K.
        assert len(set(drawn.tolist())) == len(drawn)


def test_an_epoch_ends_when_fewer_than_p_persons_have_pictures_left():
    whole = LABELS.size // 4 * 4
    chunks = np.bincount(LABELS) // 4
    for epoch in range(20):
        drawn = batches()(epoch)
        left = chunks - np.bincount(LABELS[drawn], minlength=10) // 4
        assert (left >= 0).all()
        assert (left > 0).sum() < 4
        assert len(drawn) <= whole


def test_it_is_a_pure_function_of_seed_and_epoch():
    assert np.array_equal(batches()(3), batches()(3))
    order = batches()
    order(0)
    assert np.array_equal(order(3), batches()(3))
    assert not np.array_equal(batches()(3)[:16], batches()(4)[:16])
    assert not np.array_equal(batches(seed=1)(3)[:16], batches()(3)[:16])


def test_all_pictures_come_up_over_the_epochs():
    seen = set()
    for epoch in range(40):
        seen |= set(batches()(epoch).tolist())
    assert seen == set(range(len(LABELS)))


def test_a_person_of_few_pictures_is_repeated_as_copies():
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2], dtype=np.int64)
    order = batches(labels, persons=3, pictures=4)
    for epoch in range(10):
        drawn = order(epoch)
        assert len(drawn) == 12
        assert len(set(drawn.tolist())) == 12  # copies are samples of their own
        persons = labels[drawn % 8]
        assert sorted(np.bincount(persons).tolist()) == [4, 4, 4]
        only = sorted(drawn[persons == 0].tolist())
        assert only == [0, 8, 16, 24]
        assert drawn.max() < 8 * 4


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_whole_persons_fall_into_each_ranks_micro_batches(ranks, accumulate):
    labels = np.repeat(np.arange(12), 8).astype(np.int64)
    order = batches(labels, persons=8, pictures=4)
    whole = [[] for _ in range(order.steps(1)[0])]
    for rank in range(ranks):
        micro = list(Batches(order, 32, epochs=1, accumulate=accumulate, rank=rank, ranks=ranks))
        for number, keys in enumerate(micro):
            persons = labels[[index for _, index in keys]]
            counts = np.bincount(persons)
            assert set(counts[counts > 0].tolist()) == {4}
            whole[number // accumulate] += [index for _, index in keys]
    for number, samples in enumerate(whole):
        expected = order(0)[number * 32 : (number + 1) * 32]
        assert sorted(samples) == sorted(expected.tolist())


def config(batch_size, pictures=4, accumulate=1):
    return Config(
        data=DataConfig(pictures_per_person=pictures),
        engine=EngineConfig(batch_size=batch_size, accumulate=accumulate),
    )


@pytest.mark.parametrize(
    ("settings", "ranks", "words"),
    [
        (config(18), 1, ["18", "multiple", "pictures_per_person (4)"]),
        (config(24), 4, ["24", "multiple", "(4)"]),
        (config(24, accumulate=4), 1, ["24", "multiple"]),
        (config(4), 1, ["one person only", "at least 8"]),
        (config(16), 4, ["one person only", "at least 32"]),
        (config(64), 1, ["P = 16 persons", "has 10", "at most 40"]),
    ],
)
def test_batches_that_cannot_be_are_refused(settings, ranks, words):
    with pytest.raises(UserError) as caught:
        person_batches(LABELS, settings, ranks)
    message = str(caught.value)
    assert message.startswith("--engine.batch_size ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_training_set_of_one_person():
    with pytest.raises(UserError, match=r"^--data\.root: the training set has one person only"):
        person_batches(np.zeros(9, dtype=np.int64), config(16), 1)


def test_batches_that_can_be():
    order = person_batches(LABELS, config(40), 1)
    assert (order.persons, order.pictures, order.seed) == (10, 4, 0)


def test_the_steady_rate_is_the_published_one():
    """Warm-up over 10 epochs from 0.01, steps at 40 and 70, the scheduler stepped first."""
    settings = OptimizerConfig(
        schedule="multistep", milestones=(40, 70), warmup_epochs=10, warmup_factor=0.01
    )
    steps = [188 + epoch % 3 for epoch in range(120)]
    factor = rates(settings, steps, steady=True)
    begin = 0
    for epoch, count in enumerate(steps, start=1):
        if epoch < 10:
            expected = 0.01 + 0.99 * epoch / 10
        else:
            expected = 0.1 ** ((epoch >= 40) + (epoch >= 70))
        for step in (begin, begin + count // 2, begin + count - 1):
            assert factor(step) == pytest.approx(expected)
        begin += count


def test_the_rate_over_epochs_of_equal_length_is_the_common_one():
    for kind in ("cosine", "poly", "constant", "multistep"):
        settings = OptimizerConfig(schedule=kind, milestones=(2, 5), warmup_epochs=1.5)
        expected = schedule(settings, 7, 9)
        factor = rates(settings, [7] * 9, steady=False)
        assert [factor(step) for step in range(63)] == [expected(step) for step in range(63)]


def test_milestones_stay_at_the_ends_of_epochs_of_unequal_length():
    settings = OptimizerConfig(schedule="multistep", milestones=(2, 3))
    factor = rates(settings, [5, 3, 4, 2], steady=False)
    expected = [1.0] * 8 + [0.1] * 4 + [0.01] * 2
    assert [factor(step) for step in range(14)] == pytest.approx(expected)
    assert factor(50) == pytest.approx(0.01)


def test_the_last_epoch_of_a_steady_cosine_still_learns():
    settings = dataclasses.replace(OptimizerConfig(), schedule="cosine")
    assert rates(settings, [3] * 5, steady=True)(14) > 0
