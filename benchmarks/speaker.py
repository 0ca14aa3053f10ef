"""``python -m benchmarks.speaker``: the speed of the speaker task's own parts, on one core.

Scoring 581,480 trials (the number of VoxCeleb1-E) of 145,160 recordings with every metric, checked
against plain loops over a part of them; the real-time factor of features and of embeddings, which
is computing time over duration; and what the loader needs for a training crop.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from common.training.sampling import generator_for
from tasks.speaker import audio, sample
from tasks.speaker.config import Config, DataConfig, ModelConfig
from tasks.speaker.data import training_set
from tasks.speaker.features import RATE, Fbank
from tasks.speaker.metrics import cosine_scores, normalised, verification_scores
from tasks.speaker.model import build
from tasks.speaker.speakers import read_speakers

TRIALS, RECORDINGS, DIMENSIONS = 581_480, 145_160, 256
LOOPED = 2_000
REPEATS = 3
SECONDS = 4.0
PUBLISHED = ModelConfig(stem_stride=1, strides=(1, 2, 2, 2), width=32, embedding=256, centred=False)
MODELS = {
    "the sample run's": (Config().backbone, Config().model),
    "wespeaker_res2net34": ("wespeaker_res2net34", PUBLISHED),
    "wespeaker_resnet34": ("wespeaker_resnet34", PUBLISHED),
}


def seconds(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Least processor time of a few runs on one thread: other programs disturb it less."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def loop_scores(
    embeddings: np.ndarray, first: np.ndarray, second: np.ndarray, target: np.ndarray
) -> tuple[list[float], float]:
    """Scores and equal error rate: one trial, then one threshold after the other."""
    scores = [float(embeddings[a] @ embeddings[b]) for a, b in zip(first, second, strict=True)]
    best = (2.0, 0.0)
    for threshold in scores:
        misses = np.mean([s < threshold for s, t in zip(scores, target, strict=True) if t])
        accepts = np.mean([s >= threshold for s, t in zip(scores, target, strict=True) if not t])
        best = min(best, (abs(misses - accepts), (misses + accepts) / 2))
    return scores, best[1]


def scoring() -> None:
    generator = np.random.default_rng(0)
    embeddings = generator.normal(size=(RECORDINGS, DIMENSIONS)).astype(np.float32)
    embeddings = normalised(embeddings)
    # As in the published lists, a recording's trials follow each other.
    first = np.sort(generator.integers(RECORDINGS, size=TRIALS))
    second = generator.integers(RECORDINGS, size=TRIALS)
    target = generator.random(TRIALS) < 0.5
    found = cosine_scores(embeddings, embeddings, first, second)
    few = slice(LOOPED)
    slow, rate = loop_scores(embeddings, first[few], second[few], target[few])
    assert np.allclose(slow, found[few], atol=1e-5)
    exact = verification_scores(found[few], target[few])["EER"]
    assert abs(exact - rate) < 2 / LOOPED
    cosines = seconds(lambda: cosine_scores(embeddings, embeddings, first, second))
    metrics = seconds(lambda: verification_scores(found, target))
    print(f"{TRIALS:,} trials of {RECORDINGS:,} recordings, {DIMENSIONS} numbers each")
    print(f"  cosines                 {cosines:8.3f} s")
    print(f"  EER, minDCF01, minDCF05 {metrics:8.3f} s")
    print(f"  together                {cosines + metrics:8.3f} s   limit 1 s")


def real_time_factors(precision: str) -> None:
    wave = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (8, int(SECONDS * RATE))))
    wave = wave.float()
    duration = wave.shape[0] * SECONDS
    features = Fbank()
    spent = seconds(lambda: features(wave))
    print(f"8 recordings of {SECONDS:g} s; real-time factor is computing time over duration")
    print(f"  features                {spent / duration:8.5f}   {duration / spent:6.0f} times real")
    low = precision == "bf16"
    for name, (backbone, config) in MODELS.items():
        model = build(backbone, config, None).eval().to(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            spent = seconds(lambda model=model: model(wave))
        print(f"  {name:23} {spent / duration:8.5f}   {duration / spent:6.1f} times real")


def loader(folder: Path) -> None:
    sample.write(folder, train=8, test=2)
    plain = DataConfig(root=folder)
    full = DataConfig(
        root=folder,
        speeds=(1.0, 0.9, 1.1),
        noise=Path("musan"),
        rooms=Path("rirs"),
        dither=1.0,
        time_mask=10,
        frequency_mask=8,
    )
    speakers = read_speakers(folder, plain.train, plain.audio)
    for file in speakers.files:
        audio.read(Path(file))  # so that the disk's cache is warm
    print(f"loading a crop of {plain.seconds:g} s from wav, {len(speakers)} utterances")
    for name, data in (("crop alone", plain), ("speed, noise, rooms", full)):
        dataset = training_set(speakers, folder, Config(data=data))

        def crops(dataset=dataset) -> None:
            for index in range(len(dataset)):
                dataset.sample(index, generator_for(0, 0, index))

        spent = 1000 * seconds(crops) / len(dataset)
        print(f"  {name:20} {spent:11.2f} ms   {1000 / spent:6.0f} a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scoring()
    print()
    real_time_factors(arguments.precision)
    print()
    with TemporaryDirectory() as folder:
        loader(Path(folder))


if __name__ == "__main__":
    main()
