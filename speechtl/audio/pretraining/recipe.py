"""A pretraining recipe: which encoder, from which recordings and synthesised speech, with which teacher, how long. TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from speechtl.audio.encoders.conv_ctc import SIZES
from speechtl.errors import RecipeError
from speechtl.files import at_home
from speechtl.settings import Name, Precision, Section, checked, known, read_recipe_file
from speechtl.transfer import FitSettings

PATHS = ("transcribed", "unlabelled", "noise", "test")


class DataSection(Section):
    """Manifests; paths are relative to the recipe."""

    transcribed: list[Path] = Field(default_factory=list)
    unlabelled: list[Path] = Field(default_factory=list)
    noise: list[Path] = Field(default_factory=list)
    test: list[Path] = Field(default_factory=list)  # manifests whose lines of split "test" tell the error rate in the end
    without: list[str] = Field(default_factory=list)  # phrases that the encoder must not have been taught
    validation: float = Field(default=0.06, gt=0, lt=0.5)  # of the speakers with transcripts
    repeats: int = Field(default=2, ge=1)  # of every recording in an epoch, against one of every synthesised one


class SpeechSection(Section):
    """Synthesised speech; it is made where it is not there yet."""

    hours: float = Field(default=0.0, ge=0)
    seed: int = Field(default=0, ge=0)


class WordsSection(Section):
    """Synthesised words, each said alone; every word that is said alone often enough, also in recordings, becomes a class."""

    hours: float = Field(default=0.0, ge=0)
    vocabulary: int = Field(default=2000, ge=2)  # words at most, drawn from the transcripts
    seed: int = Field(default=1, ge=0)


class TaskSection(Section):
    """What is taught, and how much each counts; a weight of zero leaves a task out."""

    ctc: float = Field(default=1.0, ge=0)
    teacher: str = "speech-embedding"  # or torchaudio:PIPELINE
    teacher_weight: float = Field(default=1.0, ge=0)
    words: float = Field(default=0.0, ge=0)


class TrainSection(Section):
    """How long and how fast to train."""

    epochs: int = Field(default=30, ge=1)  # of one pack in one copy each
    batch_size: int = Field(default=16, ge=1)  # windows
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    packs: int = Field(default=2, ge=1)  # orders and speeds of the utterances
    copies: int = Field(default=2, ge=1)  # of every pack: noise, rooms, levels
    precision: Precision = "32-true"  # bf16-mixed on a processor or GPU that has it
    seed: int = Field(default=0, ge=0)

    def fit_settings(self) -> FitSettings:
        """Return the settings of the training loop."""
        return FitSettings(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            averaging=0.995,
            gradient_clip=5.0,
            precision=self.precision,
            seed=self.seed,
        )


class PretrainingRecipe(Section):
    """A whole recipe."""

    name: Name
    encoder: str = "conv-ctc"
    start: Path | None = None  # encoder.safetensors of another run, to go on from what it learned; relative to the recipe
    data: DataSection = DataSection()
    speech: SpeechSection = SpeechSection()
    words: WordsSection = WordsSection()
    tasks: TaskSection = TaskSection()
    train: TrainSection = TrainSection()

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        return known(value, "encoder", SIZES)


def read_pretraining_recipe(path: Path | str, replacing: dict[str, Any] | None = None) -> PretrainingRecipe:
    """Read a recipe, with single keys (`section.key`) replaced; raise `RecipeError` that names every wrong key or value.

    Paths are relative to the recipe; a `start` that is given in `replacing` is relative to the working directory.
    """
    path = Path(path)
    folder = path.parent.resolve()
    recipe = checked(PretrainingRecipe, read_recipe_file(path, replacing), str(path))
    data, tasks = recipe.data, recipe.tasks
    if not data.transcribed and not recipe.speech.hours and tasks.ctc:
        raise RecipeError(f"{path}: there is nothing to learn phones from; give data.transcribed or speech.hours, or set tasks.ctc to 0.")
    if not tasks.ctc and not tasks.teacher_weight and not tasks.words:
        raise RecipeError(f"{path}: tasks.ctc, tasks.teacher_weight and tasks.words are all 0, so there is nothing to learn.")
    if not (data.transcribed or data.unlabelled or recipe.speech.hours):
        raise RecipeError(f"{path}: there is nothing to hear; give data.transcribed, data.unlabelled or speech.hours.")
    if recipe.words.hours and not tasks.words:
        raise RecipeError(f"{path}: words.hours is {recipe.words.hours:g}, but tasks.words is 0, so that nothing would learn from them.")
    if recipe.words.hours and not data.transcribed:
        raise RecipeError(f"{path}: words.hours is {recipe.words.hours:g}, but the words are drawn from data.transcribed, which is empty.")
    anchored = {key: [at_home(one, folder) for one in getattr(data, key)] for key in PATHS}
    start = recipe.start and at_home(recipe.start, Path.cwd() if replacing and "start" in replacing else folder)
    return recipe.model_copy(update={"data": data.model_copy(update=anchored), "start": start})
