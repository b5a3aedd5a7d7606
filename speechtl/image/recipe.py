"""A recipe for pictures: what to tell, from which pictures, and how. TOML; everything but the name and the pictures has a default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from speechtl.files import at_home
from speechtl.image.augment import AugmentSection
from speechtl.image.backbones import PRETRAINED, SCRATCH, is_known, known_backbones
from speechtl.image.manifest import image_data
from speechtl.runtime.pictures import PictureSettings
from speechtl.settings import Name, Section, checked, known, known_policy, read_toml
from speechtl.transfer import FitSettings


class DataSection(Section):
    """Manifests, or folders with a sub-folder for each class; paths are relative to the recipe, else to the pictures' folder."""

    train: list[Path] = Field(min_length=1)
    classes: list[str] = Field(default_factory=list)  # by default those that are found
    examples: int | None = Field(default=None, ge=2)  # of the training pictures, drawn by the seed
    validation: float = Field(default=0.2, gt=0, lt=1)  # of the groups, where the manifests have no validation lines


class PictureSection(Section):
    """The form in which pictures enter the network."""

    size: int = Field(default=224, ge=16, le=1024)
    shape: Literal["stretch", "crop", "pad"] = "stretch"
    grey: bool = False

    def settings(self) -> PictureSettings:
        """The settings for reading pictures."""
        return PictureSettings(self.size, self.shape, self.grey)


class TransferSection(Section):
    """Which backbone, which of its layers, which new layers, and how much of it all to train."""

    backbone: str = "squeezenet"
    weights: str = PRETRAINED  # or "scratch", or the path of a safetensors file
    keep: str | None = None  # the last group that is kept; by default all but the output layer
    grid: int = Field(default=1, ge=1, le=8)  # rows and columns in which the head averages over the picture
    hidden: int = Field(default=0, ge=0)  # width of one more new layer
    policy: str = "head"

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, value: str) -> str:
        return value if is_known(value) else known(value, "backbone", known_backbones())

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        return known_policy(value)


class TrainSection(Section):
    """How long and how fast to train."""

    steps: int = Field(default=300, ge=1)  # batches in all, however few pictures there are
    batch_size: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    copies: int = Field(default=8, ge=1)  # of every picture behind a frozen front
    seed: int = Field(default=0, ge=0)

    def fit_settings(self, batches: int) -> FitSettings:
        """Settings of the training loop, given the number of batches per epoch."""
        return FitSettings(
            epochs=max(round(self.steps / batches), 1),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=self.seed,
        )


class ImageRecipe(Section):
    """A whole recipe."""

    name: Name
    data: DataSection
    pictures: PictureSection = PictureSection()
    transfer: TransferSection = TransferSection()
    augment: AugmentSection = AugmentSection()
    train: TrainSection = TrainSection()


def read_image_recipe(path: Path | str) -> ImageRecipe:
    """Read a recipe file; raise `RecipeError` that names every wrong key or value."""
    path = Path(path)
    return make_image_recipe(read_toml(path), base=path.parent, source=str(path))


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
