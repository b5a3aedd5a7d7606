"""Recipes for wake words: recordings, network, training and calibration. TOML; only the name and the recordings are required."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from speechtl.audio.encoders import ENCODERS, from_folder, load_encoder, own_weights, parts_of, short_name
from speechtl.audio.encoders.torchaudio_pipelines import check_pipeline, is_pipeline
from speechtl.audio.network.heads import HEADS
from speechtl.audio.pronunciation import is_pronunciation
from speechtl.errors import RecipeError, RunError
from speechtl.files import at_home
from speechtl.settings import Name, Precision, Section, accepted, checked, known, read_recipe_file
from speechtl.transfer import FitSettings, parse_policy

FROZEN = "speech-embedding+conv-ctc"  # the encoder by default where it stays frozen
TRAINED = "speech-embedding"  # and where some of its layers learn, too


class DataSection(Section):
    """Recordings: manifests, tables, folders or single files. Paths are relative to the recipe."""

    synthesise: bool = False
    """also speak the word with synthesised voices, and words that sound like it as negatives"""

    positives: list[Path] = Field(default=cast("list[Path]", None), validate_default=True)  # the validator replaces it
    """recordings of the word, in a sub-folder for each speaker; not required if it is synthesised"""

    negatives: list[Path] = Field(default_factory=list)
    """recordings of anything else; default: speech under CC-BY, downloaded once, with noise and music"""

    noise: list[Path] = Field(default_factory=list)
    """background noise, in addition to synthetic noise"""

    music: list[Path] = Field(default_factory=list)
    """background music, in addition to synthetic music; talk in the background is made of the negatives"""

    rooms: str | list[Path] = "simulated"
    """or "none", or a list of manifests of impulse responses"""

    mine: list[Path] = Field(default_factory=list)
    """more negatives, any number of hours: of them the 15 minutes that are hardest for the detector are trained on"""

    negative_minutes: float | None = Field(default=None, gt=0)
    """upper limit of what is drawn from the negatives; default: all of them"""

    @field_validator("positives", mode="before")
    @classmethod
    def _something_to_learn(cls, value: Any, info: ValidationInfo) -> Any:
        if not info.data.get("synthesise") and value in (None, []):
            raise PydanticCustomError("missing" if value is None else "too_short", "give recordings")
        return [] if value is None else value


class TransferSection(Section):
    """The pretrained encoder, the new layers, and how many of the layers are trained."""

    encoder: str = FROZEN
    """or conv-ctc, speech-embedding, torchaudio:HUBERT_BASE, or your own weights as conv-ctc:FILE"""

    head: str = "conv"
    """new layers: linear, conv, gru or attention"""

    policy: str = "head"
    """layers to train: head, last:2 (any number of layer groups), all, or gradual"""

    @model_validator(mode="before")
    @classmethod
    def _encoder_for_the_policy(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "encoder" not in values and values.get("policy", "head") != "head":
            return {**values, "encoder": TRAINED}
        return values

    @model_validator(mode="after")
    def _one_encoder_to_train(self) -> TransferSection:
        if self.policy != "head" and len(parts_of(self.encoder)) > 1:
            raise ValueError(f"{self.encoder!r} combines encoders, which stay frozen; use only one of them with policy {self.policy!r}")
        return self

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        if is_pipeline(value):
            check_pipeline(value)
            return value
        names = parts_of(value)
        for name in names:
            if is_pipeline(name):
                raise ValueError(f"{name} takes samples in windows and cannot be combined with another encoder; use it alone")
            if not own_weights(name):
                known(name, "encoder", [*ENCODERS, FROZEN, "torchaudio:HUBERT_BASE", "conv-ctc:FILE"])
        networks = [short_name(name) for name in names]
        if len(set(networks)) < len(networks):
            raise ValueError(f"{value!r} names an encoder twice; name each once")
        return value

    @field_validator("head")
    @classmethod
    def _known_head(cls, value: str) -> str:
        return known(value, "head", HEADS)

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        return accepted(value, parse_policy)


class TrainSection(Section):
    """The training loop."""

    epochs: int = Field(default=19, ge=1)
    """passes over newly augmented examples"""

    steps: int = Field(default=30, ge=1)
    """batches per epoch"""

    batch_size: int = Field(default=128, ge=2)
    """examples per batch"""

    learning_rate: float = Field(default=1e-3, gt=0)
    """of the new layers; smaller toward the front"""

    weight_decay: float = Field(default=1e-2, ge=0)
    """of AdamW"""

    repeats: int = Field(default=3, ge=1)
    """augmented copies of each positive per epoch"""

    precision: Precision = "32-true"
    """bf16-mixed is faster if the encoder is trained, on a processor or GPU with bfloat16"""

    seed: int = Field(default=0, ge=0)
    """random seed"""

    def fit_settings(self) -> FitSettings:
        """Settings of the training loop."""
        return FitSettings(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            precision=self.precision,
            seed=self.seed,
        )


class CalibrateSection(Section):
    """The detector: target of the threshold, and settings of the trigger."""

    enabled: bool = True
    """false leaves the threshold at 0.5 and holds out no speakers, unless a manifest marks them"""

    false_accepts_per_hour: float = Field(default=0.3, gt=0)
    """target; a lower one misses more words"""

    smoothing: int = Field(default=1, ge=1)
    """steps of 80 ms over which scores are averaged"""

    refractory: float = Field(default=1.0, ge=0)
    """seconds after an event without another event"""


class Recipe(Section):
    """A recipe for a wake word."""

    name: Name
    """name of the run and of its events"""

    phrases: list[str] = Field(default_factory=list)
    """what is spoken, or how, as in "/mɑːvɪn/"; default: the name"""

    data: DataSection
    transfer: TransferSection = TransferSection()
    train: TrainSection = TrainSection()
    calibrate: CalibrateSection = CalibrateSection()

    @model_validator(mode="after")
    def _time_to_mine(self) -> Recipe:
        if self.data.mine and self.train.epochs < 3:
            raise ValueError(f"data.mine needs 3 epochs: recordings are heard in the second one; train.epochs is {self.train.epochs}")
        return self

    @property
    def spoken(self) -> list[str]:
        """The phrases without pronunciations, or the name in words where there are none."""
        return [phrase for phrase in self.phrases if not is_pronunciation(phrase)] or [self._name_in_words]

    @property
    def pronounced(self) -> list[str]:
        """What synthesised voices say: the phrases and pronunciations, or the name in words."""
        return self.phrases or [self._name_in_words]

    @property
    def _name_in_words(self) -> str:
        return self.name.replace("_", " ").replace("-", " ").lower()


def read_recipe(path: Path | str, replacing: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """Read a recipe file, with single keys replaced; raise `RecipeError` that names every wrong key or value."""
    path = Path(path)
    keys = {f"{section}.{key}": value for section, values in (replacing or {}).items() for key, value in values.items()}
    return make_recipe(read_recipe_file(path, keys), base=path.parent, source=str(path))


def make_recipe(values: dict[str, Any], *, base: Path, source: str) -> Recipe:
    """Check the values of a recipe; paths relative to `base` become absolute."""
    recipe = checked(Recipe, values, source)
    data = recipe.data
    base = base.resolve()
    rooms = data.rooms if isinstance(data.rooms, str) else [at_home(room, base) for room in data.rooms]
    if isinstance(rooms, str) and rooms not in ("simulated", "none"):
        raise RecipeError(f'{source}: data.rooms is {rooms!r}; it must be "simulated", "none" or a list of manifests of impulse responses.')
    anchored = {key: [at_home(path, base) for path in getattr(data, key)] for key in ("positives", "negatives", "noise", "music", "mine")}
    anchored_data = data.model_copy(update={**anchored, "rooms": rooms})
    return recipe.model_copy(update={"data": anchored_data, "transfer": with_weights_from(recipe.transfer, base, source)})


def with_weights_from(transfer: TransferSection, base: Path, source: str) -> TransferSection:
    """The section with the path of the user's own weights, if any, relative to `base`; raises `RecipeError` if they cannot be read."""
    own = own_weights(parts_of(transfer.encoder)[-1])
    if own is None:
        return transfer
    weights = at_home(own[1], base)
    if not weights.is_file():
        raise RecipeError(
            f"{source}: transfer.encoder: {weights} does not exist or is not a file; give the encoder.safetensors of a pretraining. "
            "With two encoders side by side, put it last."
        )
    encoder = from_folder(transfer.encoder, base)
    try:
        load_encoder(parts_of(encoder)[-1])
    except RunError as error:
        raise RecipeError(f"{source}: transfer.encoder: {error}") from error
    return transfer.model_copy(update={"encoder": encoder})
