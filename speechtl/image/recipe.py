"""Recipes for pictures: data, backbone, augmentation and training. TOML; only the name and the pictures are required."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from speechtl.files import at_home
from speechtl.image.augment import AugmentSection
from speechtl.image.backbones import PRETRAINED, SCRATCH, is_known, known_backbones
from speechtl.image.manifest import image_data
from speechtl.runtime.pictures import PictureSettings
from speechtl.settings import Name, Section, accepted, checked, known, read_recipe_file
from speechtl.transfer import FitSettings, parse_policy


class DataSection(Section):
    """Labelled pictures. Paths are relative to the recipe, or else to $SPEECHTL_IMAGES."""

    train: list[Path] = Field(min_length=1)
    """manifests, or folders with a sub-folder for each class"""

    classes: list[str] = Field(default_factory=list)
    """class names; default: those found in the data"""

    examples: int | None = Field(default=None, ge=2)
    """size of a random subset to train on; default: all pictures"""

    validation: float = Field(default=0.2, gt=0, lt=1)
    """fraction of the groups; lines with split "validation" take precedence"""


class PictureSection(Section):
    """The input of the network."""

    size: int = Field(default=224, ge=16, le=1024)
    """width and height in pixels"""

    shape: Literal["stretch", "crop", "pad"] = "stretch"
    """how pictures are made square: stretch, crop or pad"""

    grey: bool = False
    """grey in all three channels"""

    def settings(self) -> PictureSettings:
        """Settings of the reader of pictures."""
        return PictureSettings(self.size, self.shape, self.grey)


class TransferSection(Section):
    """The backbone, the new layers, and how many of the layers are trained."""

    backbone: str = "squeezenet"
    """or mobilenet, small, or one that you registered or pretrained"""

    weights: str = PRETRAINED
    """or "scratch" (random initialisation), or a safetensors file"""

    keep: str | None = None
    """last layer group of the backbone to keep, such as "fire7"; default: all but the output layer"""

    grid: int = Field(default=1, ge=1, le=8)
    """rows and columns of the average pooling before the head"""

    hidden: int = Field(default=0, ge=0)
    """width of an additional new layer; 0: none"""

    policy: str = "head"
    """layers to train: head, last:2 (any number of layer groups), all, or gradual"""

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, value: str) -> str:
        return value if is_known(value) else known(value, "backbone", known_backbones())

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        return accepted(value, parse_policy)


class TrainSection(Section):
    """The training loop."""

    steps: int = Field(default=300, ge=1)
    """batches in total"""

    batch_size: int = Field(default=16, ge=2)
    """pictures per batch"""

    learning_rate: float = Field(default=1e-3, gt=0)
    """of the new layers; smaller toward the front"""

    weight_decay: float = Field(default=1e-2, ge=0)
    """of AdamW"""

    copies: int = Field(default=8, ge=1)
    """augmented copies of each picture, if layers are frozen"""

    seed: int = Field(default=0, ge=0)
    """random seed"""

    def fit_settings(self, batches: int) -> FitSettings:
        """Settings of the training loop, given the number of batches per epoch."""
        return FitSettings(
            epochs=max(round(self.steps / batches), 1),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=self.seed,
        )


class ImageRecipe(Section):
    """A recipe for pictures."""

    name: Name
    """name of the run"""

    data: DataSection
    pictures: PictureSection = PictureSection()
    transfer: TransferSection = TransferSection()
    augment: AugmentSection = AugmentSection()
    train: TrainSection = TrainSection()


def read_image_recipe(path: Path | str) -> ImageRecipe:
    """Read a recipe file; raise `RecipeError` that names every wrong key or value."""
    path = Path(path)
    return make_image_recipe(read_recipe_file(path), base=path.parent, source=str(path))


def make_image_recipe(values: dict[str, Any], *, base: Path, source: str) -> ImageRecipe:
    """Check the values of a recipe; paths are relative to `base`."""
    recipe = checked(ImageRecipe, values, source)
    data = recipe.data.model_copy(update={"train": [_found(base, path) for path in recipe.data.train]})
    weights = recipe.transfer.weights
    transfer = recipe.transfer.model_copy(update={"weights": weights if weights in (PRETRAINED, SCRATCH) else str(at_home(weights, base))})
    return recipe.model_copy(update={"data": data, "transfer": transfer})


def _found(base: Path, path: Path) -> Path:
    folder = image_data()
    beside = at_home(path, base)
    return folder / path if folder and not beside.exists() and (folder / path).exists() else beside
