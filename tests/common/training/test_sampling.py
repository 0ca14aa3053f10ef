import itertools
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DamagedFile, UserError
from common.training import sampling
from common.training.sampling import Batches, Counted
from tests.common.training.toy import ToySet

# Stored numbers: a change of any of them would change every run that somebody has under way.
ORDER = [5, 8, 4, 7, 1, 0, 6, 2, 9, 3]
DRAWS = [988, 677, 249]
SEED = 769175531


def test_golden_numbers():
    assert sampling.order(7, 3, 10).tolist() == ORDER
    assert sampling.generator_for(7, 3, 5).integers(0, 1000, 3).tolist() == DRAWS
    assert sampling.seed_for(7, 3, 5) == SEED


@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 999), length=st.integers(0, 60))
def test_order_is_a_pure_permutation(seed, epoch, length):
    first = sampling.order(seed, epoch, length)
    np.random.seed(0)
    assert first.tolist() == sampling.order(seed, epoch, length).tolist()
    assert sorted(first) == list(range(length))


def test_orders_and_draws_differ_among_epochs_and_samples():
    orders = {tuple(sampling.order(seed, epoch, 20)) for seed in range(3) for epoch in range(20)}
    assert len(orders) == 60
    counts = list(itertools.product(range(3), range(4), range(5)))
    assert len({sampling.generator_for(*count).integers(2**62) for count in counts}) == 60
    assert len({sampling.seed_for(*count, rank) for count in counts for rank in (0, 1)}) == 120


def test_uses_of_one_count_do_not_share_a_stream():
    """SeedSequence pads with zeros: without a word for the use, these would be the same draws."""
    order = np.random.default_rng([sampling._ORDER, 7, 3]).integers(2**62)
    assert sampling.generator_for(7, 3, 0).integers(2**62) != order
    assert sampling.generator_for(7, 3, 0).integers(2**32) != sampling.seed_for(7, 3, 0)


def test_seed_all_seeds_every_generator():
    draws = []
    for _ in range(2):
        sampling.seed_all(11)
        draws.append((torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()))
    assert draws[0] == draws[1]


shapes = st.fixed_dictionaries(
    {
        "length": st.integers(0, 70),
        "micro": st.integers(1, 4),
        "accumulate": st.integers(1, 3),
        "ranks": st.integers(1, 4),
        "epochs": st.integers(1, 3),
    }
)


def batches(shape, rank=0, **place):
    return Batches(
        order=lambda epoch: sampling.order(1, epoch, shape["length"]),
        batch_size=shape["micro"] * shape["accumulate"] * shape["ranks"],
        epochs=shape["epochs"],
        accumulate=shape["accumulate"],
        rank=rank,
        ranks=shape["ranks"],
        **place,
    )


@given(shape=shapes)
def test_ranks_share_each_global_batch_in_contiguous_slices(shape):
    ranks = [list(batches(shape, rank)) for rank in range(shape["ranks"])]
    k = shape["accumulate"]
    joined = []
    for step in range(len(ranks[0]) // k):
        for micros in ranks:
            joined += itertools.chain(*micros[step * k : (step + 1) * k])
    size = batches(shape).batch_size
    expected = [
        (epoch, index)
        for epoch in range(shape["epochs"])
        for index in sampling.order(1, epoch, shape["length"])[: shape["length"] // size * size]
    ]
    assert joined == expected  # in particular every index at most once an epoch
    assert all(len(micro) == shape["micro"] for micros in ranks for micro in micros)


@given(shape=shapes, data=st.data())
def test_resumed_batches_are_a_suffix(shape, data):
    whole = list(batches(shape))
    size = batches(shape).batch_size
    steps = shape["length"] // size
    epoch = data.draw(st.integers(0, shape["epochs"] - 1))
    step = data.draw(st.integers(0, steps))
    resumed = list(batches(shape, epoch=epoch, samples=step * size))
    assert resumed == whole[(epoch * steps + step) * shape["accumulate"] :]


def test_number_of_ranks_may_change_between_steps():
    """Four samples a step: two ranks do the first step, one rank the rest."""
    shape = {"length": 12, "micro": 2, "accumulate": 1, "ranks": 2, "epochs": 1}
    first = [next(iter(batches(shape, rank))) for rank in (0, 1)]
    alone = shape | {"ranks": 1, "micro": 4}
    rest = list(batches(alone, samples=4))
    assert [*first[0], *first[1], *itertools.chain(*rest)] == list(itertools.chain(*batches(alone)))


def test_sample_depends_on_seed_epoch_and_index_alone():
    counted = Counted(ToySet(4), seed=5)
    image = counted[(2, 1)]["image"]
    assert (image == counted[(2, 1)]["image"]).all()
    for other in (counted[(3, 1)], Counted(ToySet(4), seed=6)[(2, 1)]):
        assert (image != other["image"]).any()


def test_damaged_sample_stops_with_its_own_message():
    counted = Counted(ToySet(4, damaged=(2,)), seed=5)
    error = pickle.loads(pickle.dumps(counted[(0, 2)]))  # as it comes from a worker
    assert isinstance(error, DamagedFile)
    assert str(error) == "image2.png: cannot be read"
    assert sampling.collate([counted[(0, 1)], counted[(0, 2)]]) is not None
    assert isinstance(sampling.collate([counted[(0, 1)], error]), UserError)


def test_damaged_samples_are_replaced_by_the_next_sound_one():
    counted = Counted(ToySet(4, damaged=(2, 3)), seed=5, on_error="skip")
    batch = sampling.collate([counted[(0, index)] for index in range(4)])
    assert batch["label"].tolist() == [0, 1, 0, 0]
    assert batch["skipped"] == ["", "", "image2.png: cannot be read\nimage3.png: cannot be read",
                                "image3.png: cannot be read"]  # fmt: skip
    assert (batch["image"][2] != batch["image"][0]).any()  # drawn anew, not a copy


def listed(samples):
    """A batch of samples that do not stack."""
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def test_a_task_may_say_how_its_samples_become_a_batch():
    ragged = [{"boxes": np.zeros((count, 4)), "skipped": ""} for count in (2, 0, 5)]
    batch = sampling.collate(ragged, listed)
    assert [len(boxes) for boxes in batch["boxes"]] == [2, 0, 5]
    assert batch["skipped"] == ["", "", ""]
    error = DamagedFile("image2.png: cannot be read")
    assert sampling.collate([ragged[0], error, ragged[1]], listed) is error


def test_nothing_left_to_replace_a_damaged_sample():
    error = Counted(ToySet(2, damaged=(0, 1)), seed=5, on_error="skip")[(0, 1)]
    assert str(error).startswith("image1.png: cannot be read; and none of the other 1 samples")


def test_other_errors_are_not_swallowed():
    with pytest.raises(IndexError):
        _ = Counted(_Broken(), seed=0, on_error="skip")[(0, 0)]


class _Broken(ToySet):
    def __init__(self):
        super().__init__(2)

    def sample(self, index, generator):
        raise IndexError("a mistake in the program")


BROKEN = """
import sys
from common.training import distributed
from common.training.evaluation import infer
from tests.common.training import toy


class Broken(toy.ToySet):
    def sample(self, index, generator):
        if index == 5:
            raise ValueError("a bug")
        return super().sample(index, generator)


try:
    infer(
        Broken(9), lambda batch: batch["index"].tolist(), batch_size=2, workers=2,
        world=distributed.World(), title="toy",
    )
except ValueError as error:
    print("inference:", "a bug" in str(error), flush=True)
toy.ToySet = Broken
toy.train(sys.argv[1], workers=2)
"""


def test_an_unforeseen_error_in_a_worker_ends_the_process(tmp_path):
    """Of inference and of training after it: workers left over from either would keep it alive."""
    words = [sys.executable, "-c", BROKEN, str(tmp_path / "run")]
    ended = subprocess.run(words, capture_output=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[0] == b"inference: True"
    assert b"ValueError: a bug" in ended.stderr
