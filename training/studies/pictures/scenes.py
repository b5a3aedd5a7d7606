"""Road scenes drawn by seed, for studies of several tasks: each scene may have a pedestrian, car, stop sign and traffic light."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from speechtl.transfer import Task

TASKS = (Task("pedestrian"), Task("car"), Task("stop_sign"), Task("traffic_light"))
PRESENT = 0.4  # probability of each object
BUSY, QUIET = 0.65, 0.15  # probabilities where tasks share a context; also 0.4 on average
STRIPE = 4  # pixels of the enlarged drawing
OVERSAMPLING = 2  # drawn larger, then reduced, so that edges are smooth
MOST_COVERED = 0.45  # fraction of an object's box that something in front of it may hide

Colour = tuple[int, int, int]


def scenes(
    count: int, size: int = 48, *, missing: float = 0.0, seed: int = 0, parts: bool = False, context: bool = False
) -> tuple[Tensor, Tensor]:
    """Bytes `(count, 3, size, size)` and labels `(count, 4)`: 1 present, 0 absent, NaN for the fraction that is missing.

    Scene number n is the same for every count, size and fraction of missing labels. The tasks share more with
    `parts` (all four objects are striped in one direction, distractors in the other, and colour carries no information) and with
    `context` (busy streets have more of all four, quiet ones fewer).
    """
    pixels, labels = [], []
    for number in range(count):
        picture, present = Scene(size, seed, number, parts=parts, context=context).draw()
        pixels.append(np.asarray(picture).transpose(2, 0, 1))
        labels.append(present)
    known = torch.tensor(labels, dtype=torch.float32)
    return torch.from_numpy(np.stack(pixels)), without(known, missing, seed)


def without(labels: Tensor, missing: float, seed: int) -> Tensor:
    """Labels with a fraction of them missing (NaN); every picture keeps one label as long as enough remain."""
    random = np.random.default_rng([seed, 1])
    order = random.random(labels.shape)
    order[np.arange(len(labels)), random.integers(labels.shape[1], size=len(labels))] += 1.0
    first = np.argsort(order, axis=None)[: round(missing * order.size)]
    hidden = np.zeros(order.size, dtype=bool)
    hidden[first] = True
    return labels.masked_fill(torch.from_numpy(hidden.reshape(order.shape)), math.nan)


class Scene:
    """A scene: its random numbers, and the picture that is being drawn."""

    def __init__(self, size: int, seed: int, number: int, *, parts: bool = False, context: bool = False) -> None:
        self.random = np.random.default_rng([seed, 0, number])
        self.size = size
        self.parts, self.context = parts, context
        self.side = OVERSAMPLING * size
        self.picture = Image.new("RGB", (self.side, self.side))
        self.pen = ImageDraw.Draw(self.picture)

    def draw(self) -> tuple[Image.Image, list[float]]:
        """The picture, and 1.0 or 0.0 for each of the four objects."""
        self._ground()
        probability = self._probability() if self.context else PRESENT
        present = [bool(self.random.random() < probability) for _ in TASKS]
        things = [
            kind for kind, there in zip((self._pedestrian, self._car, self._stop_sign, self._traffic_light), present, strict=True) if there
        ]
        wanted = len(things)
        things += [kind for kind in (self._bin, self._round_sign, self._lamp) if self.random.random() < PRESENT]  # distractors
        for index in self.random.permutation(len(things)):
            before = np.asarray(self.picture).astype(np.int16) if self.parts else None
            box = things[index]()
            if before is not None:
                self._stripe(before, 1 if index < wanted else -1)
            self._cover(box)
        return self._photograph(), [float(there) for there in present]

    def _probability(self) -> float:
        return BUSY if self.random.random() < 0.5 else QUIET

    def _stripe(self, before: NDArray[np.int16], direction: int) -> None:
        """Stripe the object that was drawn last, rising or falling, in any colour, so that colour and brightness carry no information."""
        drawn = np.asarray(self.picture).astype(np.int16)
        mask = (drawn != before).any(axis=2)
        rows, columns = np.mgrid[: self.side, : self.side]
        light = ((columns + direction * rows) // STRIPE) % 2
        colour = self.random.integers(40, 160, 3)
        striped = 0.25 * drawn + 0.75 * (colour + 70 * light[..., None])
        self.picture.paste(Image.fromarray(np.where(mask[..., None], striped, drawn).clip(0, 255).astype(np.uint8)))

    def _ground(self) -> None:
        side, horizon = self.side, self._between(0.3, 0.5)
        sky, road = self._colour(120, 230), self._grey(60, 120)
        self._box(0, 0, 1, horizon, sky)
        for _ in range(int(self.random.integers(2, 6))):
            left, top = self._between(-0.1, 0.9), self._between(0.05, horizon)
            self._box(left, top, left + self._between(0.1, 0.35), horizon, self._colour(70, 180))
        self._box(0, horizon, 1, 1, self._colour(70, 150))
        middle = self._between(0.3, 0.7)
        corners = [(middle - 0.06, horizon), (middle + 0.06, horizon), (middle + 0.6, 1), (middle - 0.6, 1)]
        self.pen.polygon([(x * side, y * side) for x, y in corners], fill=road)
        for depth in (0.15, 0.4, 0.75):
            y = horizon + depth * (1 - horizon)
            self._box(middle - 0.01 * (1 + depth), y, middle + 0.01 * (1 + depth), y + 0.12 * depth, (225, 225, 215))

    def _pedestrian(self) -> tuple[float, float, float, float]:
        height = self._between(0.3, 0.6)
        x, foot = self._between(0.1, 0.9), self._between(0.7, 0.95)
        top, half = foot - height, height * 0.12
        skin, coat, legs = self._pick([(235, 195, 165), (150, 100, 70), (90, 60, 45)]), self._colour(30, 230), self._colour(20, 110)
        stride = self._between(0.2, 1.2) * half
        for side in (-1, 1):
            self._line(x, top + 0.55 * height, x + side * stride, foot, legs, 0.09 * height)
            self._line(x, top + 0.25 * height, x + side * (half + stride * 0.6), top + 0.5 * height, coat, 0.07 * height)
        self._box(x - half, top + 0.2 * height, x + half, top + 0.6 * height, coat)
        self._disc(x, top + 0.1 * height, 0.1 * height, skin)
        return x - 2 * half, top, x + 2 * half, foot

    def _car(self) -> tuple[float, float, float, float]:
        width = self._between(0.25, 0.55)
        height = width * self._between(0.38, 0.5)
        x, bottom = self._between(0.05, 0.95 - width), self._between(0.65, 0.95)
        top, paint = bottom - height, self._colour(30, 240)
        roof = [
            (x + 0.2 * width, top),
            (x + 0.75 * width, top),
            (x + 0.9 * width, top + 0.45 * height),
            (x + 0.08 * width, top + 0.45 * height),
        ]
        self.pen.polygon([(a * self.side, b * self.side) for a, b in roof], fill=paint)
        self._box(x + 0.26 * width, top + 0.1 * height, x + 0.7 * width, top + 0.42 * height, self._grey(140, 210))
        self._box(x, top + 0.42 * height, x + width, bottom - 0.12 * height, paint)
        for wheel in (0.22, 0.78):
            self._disc(x + wheel * width, bottom - 0.1 * height, 0.17 * height, (20, 20, 22))
            self._disc(x + wheel * width, bottom - 0.1 * height, 0.08 * height, (150, 150, 155))
        return x, top, x + width, bottom

    def _post(self, thick: float = 0.012) -> tuple[float, float, float]:
        x, top, scale = self._between(0.1, 0.9), self._between(0.08, 0.4), self._between(0.06, 0.13)
        self._box(x - thick, top, x + thick, self._between(0.75, 0.95), self._grey(90, 150))
        return x, top, scale

    def _stop_sign(self) -> tuple[float, float, float, float]:
        x, y, radius = self._post()
        for size, colour in ((radius, (240, 240, 240)), (0.88 * radius, (200, 25, 35))):
            corners = [(x + size * math.cos(math.pi * (k + 0.5) / 4), y + size * math.sin(math.pi * (k + 0.5) / 4)) for k in range(8)]
            self.pen.polygon([(a * self.side, b * self.side) for a, b in corners], fill=colour)
        self._box(x - 0.6 * radius, y - 0.18 * radius, x + 0.6 * radius, y + 0.18 * radius, (240, 240, 240))
        return x - radius, y - radius, x + radius, y + radius

    def _traffic_light(self) -> tuple[float, float, float, float]:
        x, y, scale = self._post()
        self._box(x - 0.6 * scale, y - 1.5 * scale, x + 0.6 * scale, y + 1.5 * scale, (25, 28, 25))
        lit = int(self.random.integers(3))
        for lamp, colour in enumerate([(255, 50, 40), (255, 190, 40), (60, 240, 110)]):
            dark = (colour[0] // 5, colour[1] // 5, colour[2] // 5)
            self._disc(x, y + (lamp - 1) * scale, 0.4 * scale, colour if lamp == lit else dark)
        return x - 0.6 * scale, y - 1.5 * scale, x + 0.6 * scale, y + 1.5 * scale

    def _round_sign(self) -> tuple[float, float, float, float]:
        x, y, radius = self._post()
        rim, face = self._pick([(200, 25, 35), (30, 70, 180), (240, 240, 240)]), self._pick([(240, 240, 240), (30, 70, 180), (200, 25, 35)])
        self._disc(x, y, radius, rim)
        self._disc(x, y, 0.7 * radius, face)
        return x - radius, y - radius, x + radius, y + radius

    def _lamp(self) -> tuple[float, float, float, float]:
        x, y, scale = self._post()
        self._box(x - 0.3 * scale, y - 1.2 * scale, x + 0.3 * scale, y, self._grey(20, 90))
        self._disc(x, y - scale, 0.35 * scale, (255, 235, 180))
        return x - scale, y - scale, x + scale, y

    def _bin(self) -> tuple[float, float, float, float]:
        x, height, bottom = self._between(0.05, 0.85), self._between(0.1, 0.35), self._between(0.7, 0.95)
        width = height * self._between(0.35, 0.9)
        self._box(x, bottom - height, x + width, bottom, self._colour(30, 230))
        self._box(x, bottom - height, x + width, bottom - 0.85 * height, self._grey(20, 200))
        return x, bottom - height, x + width, bottom

    def _cover(self, box: tuple[float, float, float, float]) -> None:
        """Sometimes hide a part of an object."""
        if self.random.random() > 0.35:
            return
        left, top, right, bottom = box
        share = self._between(0.1, MOST_COVERED)
        colour = self._colour(30, 160)
        if self.random.random() < 0.5:
            self._box(left, top, left + share * (right - left), bottom, colour)
        else:
            self._box(left, bottom - share * (bottom - top), right, bottom, colour)

    def _photograph(self) -> Image.Image:
        """The scene as a camera records it: reduced, blurred, under random light, with noise."""
        small = self.picture.resize((self.size, self.size), Image.Resampling.BOX)
        if self.random.random() < 0.3:
            small = small.filter(ImageFilter.GaussianBlur(self._between(0.3, 0.8)))
        values = np.asarray(small).astype(np.float64) * self._between(0.35, 1.1) * self.random.uniform(0.9, 1.1, 3)
        values += self.random.normal(0, self._between(2, 16), values.shape)
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    def _between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def _colour(self, low: int, high: int) -> Colour:
        red, green, blue = self.random.integers(low, high, 3).tolist()
        return red, green, blue

    def _grey(self, low: int, high: int) -> Colour:
        value = int(self.random.integers(low, high))
        return value, value, value

    def _pick(self, colours: list[Colour]) -> Colour:
        return colours[int(self.random.integers(len(colours)))]

    def _box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        if right > left and bottom > top:
            self.pen.rectangle((left * self.side, top * self.side, right * self.side, bottom * self.side), fill=colour)

    def _disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.pen.ellipse(
            [(x - radius) * self.side, (y - radius) * self.side, (x + radius) * self.side, (y + radius) * self.side], fill=colour
        )

    def _line(self, x: float, y: float, to_x: float, to_y: float, colour: Colour, width: float) -> None:
        self.pen.line(
            (x * self.side, y * self.side, to_x * self.side, to_y * self.side), fill=colour, width=max(round(width * self.side), 1)
        )
