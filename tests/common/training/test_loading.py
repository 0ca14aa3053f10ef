"""Workers of a loader that the system kills, or that find no memory to share."""

import os
import resource
import signal

import pytest
import torch
from torch.utils.data import DataLoader, get_worker_info

from common.errors import UserError
from common.training import loading
from common.training.distributed import World
from common.training.evaluation import infer
from tests.common.training import toy

LACK = {
    "no shared memory": "File too large",
    "killed": r"killed by signal: Killed|exited unexpectedly",
}


def fail(kind):
    """In a worker: no file can have a byte more, which a segment of memory is; or the end."""
    if get_worker_info() is None:
        return
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class Failing(toy.ToySet):
    """Whose fourth sample meets the lack of memory, if workers read it."""

    kind = ""

    def sample(self, index, generator):
        if index == 3:
            fail(self.kind)
        return super().sample(index, generator)


def train(folder, samples):
    engine = toy.engine(folder, workers=1)
    engine.data = engine.data.__class__(samples, None, 1, "stop")
    engine.fit(resume=False)


def score(_, samples):
    def step(batch):
        return batch["index"].tolist()

    infer(samples, step, batch_size=2, workers=1, world=World(), title="toy")


@pytest.mark.parametrize("work", [train, score])
@pytest.mark.parametrize("kind", LACK)
def test_workers_that_die_or_find_no_room_are_one_line_with_the_way_out(tmp_path, work, kind):
    samples = Failing(36)
    samples.kind = kind
    with pytest.raises(UserError, match=rf"^--loader\.workers: .*({LACK[kind]})") as raised:
        work(tmp_path, samples)
    text = str(raised.value)
    assert "Set --loader.workers 0" in text
    assert "--shm-size" in text
    assert "\n" not in text and "RuntimeError" not in text


class Unstacked:
    """Tensors that the collate function leaves as they are, in a list in a dict."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        fail("no shared memory")
        return {"several": [torch.zeros(100)]}


def test_a_batch_that_cannot_be_sent_is_an_error_and_no_endless_wait():
    """The queue's own thread would print the error, drop the batch and let the reader wait."""
    loader = DataLoader(Unstacked(), batch_size=None, num_workers=1, collate_fn=loading.share)
    with pytest.raises(UserError, match="shared memory"), loading.batches(loader) as batches:
        list(batches)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), EOFError()])
def test_a_worker_that_dies_while_it_sends_a_batch(error):
    class Dying:
        def __iter__(self):
            yield 1
            raise error

    told = pytest.raises(UserError, match=r"exited unexpectedly.*workers 0")
    with told, loading.batches(Dying()) as batches:
        list(batches)


def test_a_reader_of_the_output_that_is_gone_is_no_matter_of_workers():
    with pytest.raises(BrokenPipeError), loading.batches(DataLoader(toy.ToySet(4))) as batches:
        next(batches)
        raise BrokenPipeError


def test_workers_that_cannot_be_started_are_one_line(monkeypatch):
    def refused(_):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refused)
    loader = DataLoader(toy.ToySet(4), num_workers=1)
    with pytest.raises(UserError, match="Cannot allocate memory"), loading.batches(loader):
        pass


def test_other_errors_stay_what_they_are():
    loader = DataLoader(toy.ToySet(4), num_workers=1)
    with pytest.raises(RuntimeError, match="of the program"), loading.batches(loader) as batches:
        next(batches)
        raise RuntimeError("of the program")


def test_without_workers_nothing_is_shared():
    tensor = torch.zeros(3)
    assert loading.share({"a": [tensor]})["a"][0] is tensor
    assert not tensor.is_shared()
