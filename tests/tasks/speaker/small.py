"""Small speaker data sets and runs, made by hand for the tests."""

import numpy as np
import torch

from tasks.speaker import audio
from tasks.speaker.config import Config, DataConfig, ModelConfig
from tasks.speaker.model import build
from tasks.speaker.sample.voice import draw_session, draw_voice, speak
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
TINY = ModelConfig(bins=24, width=8, strides=(2, 2, 2, 1), embedding=16)
"""The smallest model of the shared trunk."""


def tone(hertz=440.0, seconds=1.0, rate=16000):
    """A tone (N,) whose strength swells slowly."""
    time = np.arange(round(seconds * rate)) / rate
    swell = 1 + 0.5 * np.sin(2 * np.pi * 1.3 * time)
    return (0.4 * swell * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(seconds=1.0, seed=0):
    """White noise (N,)."""
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16000))
    return samples.astype(np.float32)


def write_speaker(folder, name, utterances=2, seconds=1.2, sessions=2):
    """A generated voice's recordings in VoxCeleb's layout; returns their paths below the folder."""
    generator = np.random.default_rng([1, *name.encode()])
    voice = draw_voice(generator)
    paths = []
    for session in range(sessions):
        (folder / name / f"video{session}").mkdir(parents=True)
        circumstances = draw_session(generator)
        for number in range(utterances):
            paths.append(f"{name}/video{session}/{number:05d}.wav")
            audio.write(folder / paths[-1], speak(voice, circumstances, seconds, generator))
    return paths


def write_set(root, train=3, test=3, seconds=1.2):
    """A data set in VoxCeleb's layout: dev/wav, test/wav and veri_test.txt of all pairs."""
    for number in range(train):
        write_speaker(root / "dev" / "wav", f"id2000{number}", seconds=seconds)
    paths = []
    for number in range(test):
        paths += write_speaker(root / "test" / "wav", f"id1000{number}", seconds=seconds)
    lines = [
        f"{int(left[:7] == right[:7])} {left} {right}"
        for place, left in enumerate(paths)
        for right in paths[place + 1 :]
    ]
    (root / "veri_test.txt").write_text("\n".join(lines) + "\n")
    return root


def tiny_config(root=None, **changes):
    """The smallest speaker config, without augmentation."""
    data = {"root": root, "seconds": 1.0, **changes.pop("data", {})}
    settings = {"data": DataConfig(**data), "model": TINY, **changes}
    return Config(backbone=BACKBONE, **settings)


def write_run(folder, root=None, speakers=3, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = build(settings.backbone, settings.model, speakers)
    kept.write(folder, settings, model)
    return model
