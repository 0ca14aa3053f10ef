"""The four cameras of the sample data: what each one makes of a person who passes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.sample import backgrounds
from tasks.reid.sample.look import Look
from tasks.reid.sample.pedestrian import Picture, Sight, paint

HEIGHT, WIDTH = 128, 64
"""Of a picture, as in Market-1501."""

_OVERSAMPLING = 2


@dataclass(frozen=True)
class Camera:
    """One place with its light, its view and its faults."""

    scene: str
    """Photograph behind the people."""
    turn: float
    """Direction in which most people walk, as the turn of a `Sight`."""
    spread: float
    """Standard deviation of that direction."""
    gain: tuple[float, float, float]
    """Light and colour cast: factors of red, green and blue."""
    gamma: float
    """Above 1 darkens the middle tones."""
    saturation: float
    tilt: float
    """How much a high camera shortens legs and enlarges heads."""
    resolution: float
    """Share of the pixels that it resolves along each side."""
    noise: float
    """Standard deviation of the sensor's noise, of 255."""
    light: float
    """Direction of the light as an angle, 0 from the camera."""


CAMERAS = (
    Camera("gravel", 0.0, 0.7, (1.06, 1.0, 0.9), 0.95, 1.0, 0.0, 1.0, 3.0, 0.6),
    Camera("coffee", 3.14, 0.7, (0.78, 0.84, 0.94), 1.05, 0.95, 0.08, 0.7, 4.0, -0.5),
    Camera("grass", 1.0, 0.7, (0.92, 1.03, 0.88), 1.1, 1.1, 0.16, 0.85, 4.0, 0.0),
    Camera("brick", -0.9, 1.0, (1.14, 1.12, 1.18), 0.9, 0.8, 0.08, 0.8, 4.0, 1.0),
)
"""In the order of their numbers from 1: frontal and warm; from behind, dim, blue and coarse; from
the side and above, green; in all directions, bright and pale."""


class Place:
    """A camera with the scene that it looks at."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        photograph = backgrounds()[camera.scene]
        side = max(3 * WIDTH * _OVERSAMPLING, 2 * HEIGHT * _OVERSAMPLING)
        scene = cv2.resize(photograph, (2 * side, side), interpolation=cv2.INTER_AREA)
        self.scene = cv2.GaussianBlur(scene, (0, 0), 3)  # It is farther away than the people.

    def see(self, look: Look, passers_by: Look | None, generator: np.random.Generator) -> Picture:
        """A detector's crop (HEIGHT, WIDTH, 3) of a person, perhaps with another one beside."""
        canvas = self._backdrop(generator)
        if passers_by is not None:
            side = generator.choice((-0.42, 0.42)) + generator.normal(0, 0.05)
            self._stand(canvas, passers_by, 0.8, side, generator)
        # A detector's boxes are neither centred nor of one size.
        size = generator.uniform(0.8, 0.98)
        self._stand(canvas, look, size, generator.normal(0, 0.05), generator)
        if generator.random() < 0.1:
            _hide(canvas, generator)
        return self._photograph(canvas, generator)

    def miss(self, look: Look, generator: np.random.Generator) -> Picture:
        """A false detection: a stretch of the scene, often with a piece of a person."""
        canvas = self._backdrop(generator)
        if generator.random() < 0.6:
            self._stand(
                canvas, look, generator.uniform(1.8, 2.6), generator.normal(0, 0.4), generator
            )
        return self._photograph(canvas, generator)

    def _backdrop(self, generator: np.random.Generator) -> Picture:
        height, width = HEIGHT * _OVERSAMPLING, WIDTH * _OVERSAMPLING
        top = int(generator.integers(0, self.scene.shape[0] - height, endpoint=True))
        left = int(generator.integers(0, self.scene.shape[1] - width, endpoint=True))
        cut: Picture = self.scene[top : top + height, left : left + width].copy()
        return cut

    def _stand(
        self,
        canvas: Picture,
        look: Look,
        size: float,
        shift: float,
        generator: np.random.Generator,
    ) -> None:
        """Paint a person whose height is `size` of the canvas's, `shift` widths off the middle."""
        camera = self.camera
        turn = camera.turn + generator.normal(0, camera.spread)
        sight = Sight(turn, generator.uniform(-1, 1), camera.light)
        colour, coverage = paint(look, sight, round(size * len(canvas)))
        rows = _tilted(len(colour), camera.tilt)
        colour, coverage = colour[rows], coverage[rows]
        height, width = coverage.shape
        # Boxes end near the soles as often as not; of a person larger than the box any part shows.
        gap = len(canvas) - height
        top = int(gap * generator.uniform(0.2, 0.8)) if gap < 0 else int(generator.uniform(0, gap))
        left = round(canvas.shape[1] * (0.5 + shift) - width / 2)
        y0, y1 = max(top, 0), min(top + height, len(canvas))
        x0, x1 = max(left, 0), min(left + width, canvas.shape[1])
        if x0 >= x1:
            return
        there = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        covered = coverage[there] > 0
        canvas[y0:y1, x0:x1][covered] = colour[there][covered]

    def _photograph(self, canvas: Picture, generator: np.random.Generator) -> Picture:
        """Light, colours, resolution and noise of this camera, at a moment of its day."""
        camera = self.camera
        moment = np.array(camera.gain) * np.exp(generator.normal(0, 0.08))
        moment = moment * np.exp(generator.normal(0, 0.03, 3))
        values = np.clip(canvas / 255.0 * moment, 0, 1) ** camera.gamma
        grey = values.mean(axis=2, keepdims=True)
        values = grey + (values - grey) * camera.saturation
        share = camera.resolution * generator.uniform(0.8, 1.0)
        coarse = (round(WIDTH * share), round(HEIGHT * share))
        small = cv2.resize(values, coarse, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) * 255
        picture += generator.normal(0, camera.noise, picture.shape)
        bytes_: Picture = np.clip(picture, 0, 255).astype(np.uint8)
        return bytes_


def _tilted(rows: int, tilt: float) -> NDArray[np.int64]:
    """Rows of a standing person as a high camera spreads them: the upper ones wider."""
    spread = np.linspace(0, 1, rows) ** (1 + tilt)
    return np.rint(spread * (rows - 1)).astype(np.int64)


def _hide(canvas: Picture, generator: np.random.Generator) -> None:
    """Put a thing before the legs or beside the body."""
    height, width = canvas.shape[:2]
    colour = generator.integers(40, 200, 3).tolist()
    if generator.random() < 0.5:
        cv2.rectangle(
            canvas, (0, round(height * generator.uniform(0.7, 0.88))), (width, height), colour, -1
        )
    else:
        x, thick = round(width * generator.uniform(0.05, 0.95)), round(width * 0.08)
        cv2.rectangle(canvas, (x, 0), (x + thick, height), colour, -1)
