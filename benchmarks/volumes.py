"""``python -m benchmarks.volumes [surfaces] [slices] [memory]``: the speed of the volumes task.

surfaces: HD95, ASD and NSD of a pair of 512x512x200 beside scipy's plain way (distance maps of the
whole volume), same surface, same scores. slices: slices a second through a network. memory: the
peak of a prediction for 512x512x1,000, in a process of its own. One CPU thread, processor time.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from backbone import deploy
from common.networks.decoder import DecoderConfig
from common.networks.segmentation import Scores
from tasks.volumes import nifti, surfaces
from tasks.volumes.config import Config, DataConfig, ScoringConfig
from tasks.volumes.inference import segment
from tasks.volumes.metrics import score
from tasks.volumes.model import build
from tasks.volumes.volume import Volume, grid_of

SHAPE, SPACING = (200, 512, 512), (2.5, 0.8, 0.8)
LONG = (1000, 512, 512)
LEAST = 5.0
"""Times that the plain way must take."""
SHARE, TOLERANCE = 0.95, 2.0
CLASSES = ("background", "liver", "tumour")
NETWORKS = (
    ("unet", 64, 32, "res2net26_14w_4s_half"),
    ("deeplabv3plus", 256, 16, "res2net50_26w_4s"),
)


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Processor time of a call, and what it gives."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def pair() -> tuple[np.ndarray, np.ndarray]:
    """A liver-sized body, and one that is shifted, dented and has a piece far away."""
    z, y, x = (np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None]
    truth = ((z - 250) / 90) ** 2 + ((y - 190) / 80) ** 2 + ((x - 150) / 100) ** 2 <= 1
    found = ((z - 253) / 88) ** 2 + ((y - 192) / 80) ** 2 + ((x - 150) / 97) ** 2 <= 1
    found &= ((z - 250) / 20) ** 2 + ((y - 120) / 20) ** 2 + ((x - 150) / 20) ** 2 > 1
    found |= ((z - 420) / 8) ** 2 + ((y - 300) / 8) ** 2 + ((x - 300) / 8) ** 2 <= 1
    return truth, found


def plain(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """The scores from distance maps of the whole volume."""
    codes, areas = [], surfaces._areas(SPACING)
    for mask in (truth, found):
        padded = np.pad(mask, 1).astype(np.uint8)
        code = np.zeros(tuple(n + 1 for n in SHAPE), np.uint8)
        for bit in range(8):
            a, b, c = (bit >> 2) & 1, (bit >> 1) & 1, bit & 1
            part = padded[a : a + SHAPE[0] + 1, b : b + SHAPE[1] + 1, c : c + SHAPE[2] + 1]
            code += part << np.uint8(bit)
        codes.append(code)
    borders = [(code > 0) & (code < 255) for code in codes]
    maps = [ndimage.distance_transform_edt(~border, sampling=SPACING) for border in borders]
    far = surfaces.Distances(
        maps[1][borders[0]], areas[codes[0][borders[0]]],
        maps[0][borders[1]], areas[codes[1][borders[1]]],
    )  # fmt: skip
    return far.hausdorff(SHARE), float(np.mean(far.average())), far.agreement(TOLERANCE)


def distances() -> None:
    truth, found = pair()
    surfaces._areas(SPACING)
    ours, one = seconds(lambda: score(truth, found, SPACING, ScoringConfig(tolerance=TOLERANCE)))
    other, expected = seconds(lambda: plain(truth, found))
    assert np.allclose((one.hd95, one.asd, one.nsd), expected), (one, expected)
    size = "x".join(map(str, SHAPE[::-1]))
    print(f"HD95 {one.hd95:.3f} mm, ASD {one.asd:.3f} mm, NSD {one.nsd:.4f} of a pair of {size}")
    verdict = "at least" if other / ours >= LEAST else "BELOW"
    print(f"this            {ours:7.2f} s, counts of voxels included")
    print(f"distance maps   {other:7.2f} s   ratio {other / ours:.1f}, {verdict} {LEAST:g}")


def config_of(decoder: str, channels: int, stride: int, backbone: str) -> Config:
    model = DecoderConfig(decoder=decoder, channels=channels, output_stride=stride)
    data = DataConfig(classes=CLASSES)
    return Config(backbone=backbone, model=model, data=data, test=ScoringConfig(batch_size=4))


def slices() -> None:
    values = np.random.default_rng(0).integers(-1000, 500, (8, 512, 512)).astype(np.int16)
    volume = Volume(values, grid_of(values.shape, SPACING))
    for decoder, channels, stride, backbone in NETWORKS:
        config = config_of(decoder, channels, stride, backbone)
        network = deploy(build(config).eval())
        with torch.inference_mode():
            segment(network, volume, config, torch.device("cpu"))
            taken, _ = seconds(
                lambda c=config, n=network: segment(n, volume, c, torch.device("cpu"))
            )
        print(f"{decoder:14}{backbone:23}{len(values) / taken:6.2f} slices of 512x512 a second")


class Threshold(nn.Module):
    """Takes next to no memory of its own, and no time: three classes by brightness."""

    def forward(self, slices: torch.Tensor) -> Scores:
        """Logits (B, 3, H, W)."""
        middle = slices[:, 1].float()
        return Scores(torch.stack([150 - middle, middle - 100, middle - 200], 1), None)


def memory() -> None:
    """What grows with the volume, without a network; then what the network takes besides."""
    size, config = "x".join(map(str, LONG[::-1])), config_of(*NETWORKS[1])
    cpu = torch.device("cpu")
    with TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "long.nii.gz"
        plane = np.random.default_rng(0).integers(-1000, 500, LONG[1:]).astype(np.int16)
        nifti.write_scan(path, np.broadcast_to(plane, LONG), grid_of(LONG, (1.0, 0.8, 0.8)))
        before = peak()
        found = nifti.read(path)
        read = peak()
        labels, _ = segment(Threshold(), found, config, cpu)
        nifti.write_labels(Path(folder) / "labels.nii.gz", labels, found.grid)
        whole = peak()
        some = Volume(found.values[:8], found.grid)
        segment(deploy(build(config).eval()), some, config, cpu)
    print(f"peak of memory: {before:.2f} GB before, {read:.2f} GB with a volume of {size} read")
    print(f"{whole:.2f} GB when its labels are written, {peak():.2f} GB with {NETWORKS[1][3]}")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


PARTS = {"surfaces": distances, "slices": slices, "memory": memory}


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("surfaces", "slices"):
        PARTS[name]()


if __name__ == "__main__":
    main()
