"""Small pictures, a tiny backbone, and the public pictures where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw


def draw_shape(kind: str, seed: int, size: int = 32) -> Image.Image:
    """A light square or disc somewhere on a dark ground."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (size, size), tuple(int(v) for v in random.integers(0, 80, 3)))
    x, y, r = *random.integers(10, size - 10, 2).tolist(), int(random.integers(5, 9))
    draw = ImageDraw.Draw(picture)
    colour = tuple(int(v) for v in random.integers(150, 255, 3))
    if kind == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    else:
        draw.line((x - r, y - r, x + r, y + r), fill=colour, width=2)
        draw.line((x - r, y + r, x + r, y - r), fill=colour, width=2)
    return picture


@pytest.fixture
def shapes(tmp_path) -> Path:
    """A folder with pictures of squares and crosses, twelve each, and a recipe for them."""
    for kind in ("cross", "square"):
        (tmp_path / "shapes" / kind).mkdir(parents=True)
        for seed in range(12):
            draw_shape(kind, seed + 100 * (kind == "square")).save(tmp_path / "shapes" / kind / f"{seed}.png")
    (tmp_path / "shapes.toml").write_text(
        'name = "shapes"\n[data]\ntrain = ["shapes"]\n[pictures]\nsize = 32\n'
        '[transfer]\nbackbone = "small"\nweights = "scratch"\npolicy = "all"\n[train]\nsteps = 12\nbatch_size = 8\n'
    )
    return tmp_path


@pytest.fixture
def manifest(tmp_path):
    """Return a function that writes pictures and their lines into a manifest."""

    def write(lines: list[dict], name: str = "pictures.jsonl") -> Path:
        for index, line in enumerate(lines):
            if "image_filepath" not in line:
                line["image_filepath"] = f"{index}.png"
                draw_shape("square" if index % 2 else "cross", index).save(tmp_path / f"{index}.png")
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def image_folder() -> Path:
    """The folder of public pictures and weights."""
    from speechtl.image.places import image_data

    folder = image_data()
    if folder is None or not (folder / "weights" / "squeezenet1_0.safetensors").is_file():
        pytest.skip("neither SPEECHTL_IMAGES nor SPEECHTL_DATA leads to the pictures and weights: they are not here")
    return folder
