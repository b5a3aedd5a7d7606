"""Recipes for pretraining an encoder: recordings, synthesised speech, tasks and training. TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from speechtl.audio.encoders.conv_ctc import SIZES
from speechtl.errors import RecipeError
from speechtl.files import at_home
from speechtl.settings import Name, Precision, Section, checked, known, read_recipe_file
from speechtl.transfer import FitSettings

PATHS = ("transcribed", "unlabelled", "noise", "music", "test")


class DataSection(Section):
    """Lists of manifests. Paths are relative to the recipe."""

    transcribed: list[Path] = Field(default_factory=list)
    """recordings whose `text` is what is said"""

    unlabelled: list[Path] = Field(default_factory=list)
    """recordings without transcripts, for the teacher only"""

    noise: list[Path] = Field(default_factory=list)
    """background noise, in addition to synthetic noise"""

    music: list[Path] = Field(default_factory=list)
    """music in the background, in addition to synthetic music"""

    test: list[Path] = Field(default_factory=list)
    """lines with split "test" give the final error rate; their speakers are excluded from training"""

    without: list[str] = Field(default_factory=list)
    """phrases that are excluded from training"""

    validation: float = Field(default=0.06, gt=0, lt=0.5)
    """fraction of the transcribed speakers; lines with split "validation" take precedence"""

    repeats: int = Field(default=2, ge=1)
    """times that each recording is used per epoch; synthesised speech is used once"""


class BackgroundSection(Section):
    """What is heard behind the speech. The shares of the kinds are relative to each other; 0 leaves a kind out."""

    probability: float = Field(default=0.9, ge=0, le=1)
    """fraction of the windows with a background"""

    noise: float = Field(default=0.4, ge=0)
    """recorded and synthetic noise"""

    babble: float = Field(default=0.25, ge=0)
    """two to eight people of the training data at once"""

    talker: float = Field(default=0.15, ge=0)
    """one other person"""

    music: float = Field(default=0.2, ge=0)
    """recorded and synthetic music"""

    def shares(self) -> dict[str, float]:
        """The share of every kind."""
        return {"noise": self.noise, "babble": self.babble, "talker": self.talker, "music": self.music}


class SpeechSection(Section):
    """Synthesised sentences. They are made once and kept in the cache."""

    hours: float = Field(default=0.0, ge=0)
    """hours of speech"""

    seed: int = Field(default=0, ge=0)
    """random seed"""


class WordsSection(Section):
    """Synthesised isolated words, for tasks.words."""

    hours: float = Field(default=0.0, ge=0)
    """hours of speech"""

    vocabulary: int = Field(default=2000, ge=2)
    """maximum number of words, drawn from the transcripts"""

    seed: int = Field(default=1, ge=0)
    """random seed"""


class TaskSection(Section):
    """Weights of the tasks; 0 leaves a task out."""

    ctc: float = Field(default=1.0, ge=0)
    """phone recognition (CTC)"""

    teacher: str = "speech-embedding"
    """network whose embeddings are predicted, or several: speech-embedding+wakehubert; or torchaudio:PIPELINE"""

    teacher_weight: float = Field(default=1.0, ge=0)
    """prediction of the teacher's embeddings"""

    words: float = Field(default=0.0, ge=0)
    """classification of words that occur alone ten times or more"""


class TrainSection(Section):
    """The training loop."""

    epochs: int = Field(default=30, ge=1)
    """passes over one augmented copy of one pack each"""

    batch_size: int = Field(default=16, ge=1)
    """windows of 20 s per batch"""

    learning_rate: float = Field(default=3e-3, gt=0)
    """peak of the schedule (linear warmup, cosine decay)"""

    weight_decay: float = Field(default=1e-2, ge=0)
    """of AdamW"""

    packs: int = Field(default=2, ge=1)
    """different orders and speeds in which utterances are packed into windows"""

    copies: int = Field(default=2, ge=1)
    """copies of each pack: the first is dry, the others are in rooms; backgrounds and levels are drawn anew in every epoch"""

    precision: Precision = "32-true"
    """bf16-mixed is faster on a processor or GPU with bfloat16"""

    seed: int = Field(default=0, ge=0)
    """random seed"""

    def fit_settings(self) -> FitSettings:
        """Settings of the training loop."""
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
    """A recipe for pretraining an encoder."""

    name: Name
    """name of the run"""

    encoder: str = "conv-ctc"
    """network: conv-ctc or conv-ctc-tiny"""

    start: Path | None = None
    """encoder.safetensors of another run, to continue from its weights"""

    data: DataSection = DataSection()
    backgrounds: BackgroundSection = BackgroundSection()
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
        raise RecipeError(f"{path}: there is no speech; give data.transcribed, data.unlabelled or speech.hours.")
    if recipe.words.hours and not tasks.words:
        raise RecipeError(f"{path}: words.hours is {recipe.words.hours:g}, but tasks.words is 0, so the words would not be used.")
    if recipe.words.hours and not data.transcribed:
        raise RecipeError(f"{path}: words.hours is {recipe.words.hours:g}, but the words are drawn from data.transcribed, which is empty.")
    anchored = {key: [at_home(one, folder) for one in getattr(data, key)] for key in PATHS}
    start = recipe.start and at_home(recipe.start, Path.cwd() if replacing and "start" in replacing else folder)
    return recipe.model_copy(update={"data": data.model_copy(update=anchored), "start": start})
