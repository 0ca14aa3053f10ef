import json

import pytest
import torch

from common.errors import DamagedFile
from common.training.distributed import World
from common.training.evaluation import infer, to_device
from tests.common.training.toy import RaisingSet, ToySet


def indices(dataset, workers=0, batch_size=3):
    return infer(
        dataset,
        lambda batch: batch["index"].tolist(),
        batch_size=batch_size,
        workers=workers,
        world=World(),
        title="toy",
    )


@pytest.mark.parametrize("length", [0, 1, 3, 7])
def test_every_sample_once_in_order(length):
    assert indices(ToySet(length)) == list(range(length))


def test_workers_change_nothing():
    assert indices(ToySet(7), workers=2) == list(range(7))


def test_ranks_share_without_padding(zygote, tmp_path):
    lengths = [0, 1, 2, 5, 7]
    job = zygote.run("collectives", tmp_path / "output", 2, out=str(tmp_path), lengths=lengths)
    assert job == [0, 0], (tmp_path / "output").read_text()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["infer"] == [list(range(length)) for length in lengths]
    assert second["infer"] == [[]] * 5


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_samples_are_left_out_and_counted(workers, capsys):
    assert indices(ToySet(7, damaged=(0, 1, 2, 5)), workers) == [3, 4, 6]
    assert capsys.readouterr().out == ("toy: 4 of 7 samples could not be read and were left out\n")


def test_a_damaged_file_of_one_rank_stops_all_with_its_own_message(zygote, tmp_path):
    job = zygote.run("collectives", tmp_path / "output", 2, out=str(tmp_path), lengths=[])
    assert job == [0, 0], (tmp_path / "output").read_text()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    messages = ["image6.png: cannot be read", "image1.png: cannot be read"]
    assert first["raised"] == [8, *messages]
    assert second["raised"] == [0, *messages]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_stops_with_its_own_message(workers):
    with pytest.raises(DamagedFile, match=r"^image4.png: cannot be read$"):
        indices(RaisingSet(7, damaged=(4,)), workers)


class Ragged(ToySet):
    """Samples that do not stack: as many numbers as the index says."""

    def __getitem__(self, index):
        return None if index in self.damaged else {"numbers": torch.arange(index)}


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_that_do_not_stack(workers, capsys):
    lengths = infer(
        Ragged(6, damaged=(2,)),
        lambda batch: [len(numbers) for numbers in batch["numbers"]],
        batch_size=4,
        workers=workers,
        world=World(),
        title="toy",
        collate=listed,
    )
    assert lengths == [0, 1, 3, 4, 5]
    assert "1 of 6 samples" in capsys.readouterr().out


def listed(samples):
    return {"numbers": [sample["numbers"] for sample in samples]}


def test_a_step_must_answer_for_every_sample():
    with pytest.raises(ValueError, match="1 results for 3 samples"):
        infer(ToySet(3), lambda _: [0], batch_size=3, workers=0, world=World(), title="toy")


def test_step_runs_without_gradients():
    modes = infer(
        ToySet(2),
        lambda batch: [torch.is_inference_mode_enabled()] * len(batch["index"]),
        batch_size=1,
        workers=0,
        world=World(),
        title="toy",
    )
    assert modes == [True, True]


def test_to_device_walks_nested_batches():
    batch = {"image": torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "more": [torch.zeros(2), "text"]}
    moved = to_device(batch, torch.device("cpu"), channels_last=True)
    assert moved["image"].dtype == torch.uint8
    assert moved["image"].is_contiguous(memory_format=torch.channels_last)
    assert moved["more"][1] == "text"
    assert to_device(batch, torch.device("cpu"))["image"].is_contiguous()
