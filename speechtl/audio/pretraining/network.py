"""The pretraining tasks of an encoder: phones by CTC, the embeddings of a teacher, and words at the moment when they end."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from speechtl.audio.encoders import AudioEncoder
from speechtl.audio.pretraining.phones import BLANK, PHONES
from speechtl.transfer import TransferNetwork

CLASSES = len(PHONES) + 1
TEACHER_FIELD = 76  # log-mel frames of the teacher's first embedding, which is the grid on which the student answers
STRIDE = 8  # frames between two of the teacher's embeddings


AFTER = (4, 12)  # frames after a word's end: the first step from there on is to classify the word
SMOOTHED = 0.05  # of a word's probability is shared among all


class Answers(NamedTuple):
    """The outputs of the head: log-probabilities of phones `(frames * steps, batch, classes)`, the teacher's standardised embeddings
    `(batch, steps, size)`, and the embeddings `(batch, steps, size)` that classify words.
    """

    phones: Tensor
    heard: Tensor | None
    embeddings: Tensor


class PretrainingHead(nn.Module):
    """Output layers on one embedding: `frames` distributions over phones a step, the teacher's embedding, and words."""

    teacher_mean: Tensor
    teacher_scale: Tensor

    def __init__(self, input_size: int, teacher_size: int, words: int = 0, frames: int = 2) -> None:
        super().__init__()
        self.frames = frames
        self.phones = nn.Conv2d(input_size, frames * CLASSES, 1)
        self.teacher = nn.Conv2d(input_size, teacher_size, 1) if teacher_size else None
        self.words = nn.Linear(input_size, words) if words else None  # too many to compute at every step
        self.register_buffer("teacher_mean", torch.zeros(teacher_size))
        self.register_buffer("teacher_scale", torch.ones(teacher_size))

    def forward(self, embeddings: Tensor) -> Answers:
        """Answer from embeddings `(batch, size, steps, 1)`."""
        batch, _, steps, _ = embeddings.shape
        logits = self.phones(embeddings)[..., 0].reshape(batch, self.frames, CLASSES, steps)
        logits = logits.permute(3, 1, 0, 2).reshape(steps * self.frames, batch, CLASSES)
        heard = self.teacher(embeddings)[..., 0].transpose(1, 2) if self.teacher is not None else None
        return Answers(torch.log_softmax(logits.float(), dim=2), heard, embeddings[..., 0].transpose(1, 2))

    def measure(self, heard: Tensor) -> None:
        """Take mean and deviation of the teacher's numbers from its embeddings `(windows, steps, size)`."""
        flat = heard.float().flatten(0, 1)
        self.teacher_mean.copy_(flat.mean(dim=0))
        self.teacher_scale.copy_(1.0 / flat.std(dim=0).clamp(min=1e-3))


class PretrainingNetwork(TransferNetwork):
    """An encoder that answers on the teacher's grid: at frames 76, 84, 92, ..."""

    encoder: AudioEncoder
    head: PretrainingHead

    def forward(self, inputs: Tensor, start: int = 0) -> Answers:  # type: ignore[override]
        """The answers of the head for features `(batch, 1, frames, bands)`."""
        answers: Answers = self.head(self.encoder(inputs[:, :, self._skipped :]))
        return answers

    @property
    def _skipped(self) -> int:
        """The number of frames skipped at the beginning, so that the outputs are aligned with the teacher's."""
        return (TEACHER_FIELD - self.encoder.receptive_field) % STRIDE

    @property
    def first_step(self) -> int:
        """The teacher's step at which the encoder's first output stands."""
        return (self.encoder.receptive_field + self._skipped - TEACHER_FIELD) // STRIDE

    def steps_after(self, frames: Tensor, after: int) -> Tensor:
        """The index of the first output that sees `after` frames after each of `frames`; it may lie outside of the outputs."""
        return (frames.long() + after - TEACHER_FIELD + STRIDE - 1) // STRIDE - self.first_step


class PretrainingLoss:
    """CTC a phone, the squared error of the teacher's standardised numbers, and the cross-entropy of words; unknown labels are masked."""

    def __init__(self, network: PretrainingNetwork, ctc: float, teacher: float, words: float = 0.0) -> None:
        self.network = network
        self.ctc, self.teacher, self.words = ctc, teacher, words

    def __call__(self, answers: Answers, phones: Tensor, counts: Tensor, heard: Tensor, words: Tensor) -> Tensor:
        """The loss; `heard` is `(batch, steps, size)`, on the teacher's grid, `words` `(batch, words, 2)`: classes and frames."""
        log_probabilities, foretold, embeddings = answers
        loss = log_probabilities.sum() * 0.0  # every output takes part, whatever is masked
        known = counts > 0
        if self.ctc and bool(known.any()):
            steps = torch.full((int(known.sum()),), log_probabilities.shape[0], dtype=torch.long)
            lengths = counts[known].long()
            values = nn.functional.ctc_loss(
                log_probabilities[:, known], phones[known].long(), steps, lengths, blank=BLANK, reduction="none", zero_infinity=True
            )
            loss = loss + self.ctc * values.sum() / lengths.sum()
        if foretold is not None:
            head = self.network.head
            wanted = (heard[:, self.network.first_step :].float() - head.teacher_mean) * head.teacher_scale
            loss = loss + self.teacher * (foretold - wanted[:, : foretold.shape[1]]).square().mean()
        if self.network.head.words is not None:
            loss = loss + self.words * self._of_words(self.network.head.words, embeddings, words)
        return loss

    def _of_words(self, layer: nn.Linear, embeddings: Tensor, words: Tensor) -> Tensor:
        """The mean over all words and over two moments shortly after each."""
        classes, frames = words.unbind(dim=2)
        losses = []
        for after in AFTER:
            steps = self.network.steps_after(frames, after)
            known = (classes >= 0) & (steps >= 0) & (steps < embeddings.shape[1])
            rows = torch.nonzero(known)[:, 0]
            logits = layer(embeddings[rows, steps[known]].float())
            wrong = nn.functional.cross_entropy(logits, classes[known].long(), reduction="sum", label_smoothing=SMOOTHED)
            losses.append(wrong / max(len(rows), 1))
        return torch.stack(losses).mean()
