"""The pretraining tasks behind an encoder: phones by CTC, and the embeddings of a teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speechtl.audio.encoders import AudioEncoder
from speechtl.audio.phones import BLANK, PHONES
from speechtl.transfer import TransferNetwork

CLASSES = len(PHONES) + 1
TEACHER_FIELD = 76  # log-mel frames of the teacher's first embedding, which is the grid on which the student answers
STRIDE = 8  # frames between two of the teacher's embeddings


class PretrainingHead(nn.Module):
    """Two output layers on one embedding: `frames` distributions over phones a step, and the teacher's embedding."""

    teacher_mean: Tensor
    teacher_scale: Tensor

    def __init__(self, input_size: int, teacher_size: int, frames: int = 2) -> None:
        super().__init__()
        self.frames = frames
        self.phones = nn.Conv2d(input_size, frames * CLASSES, 1)
        self.teacher = nn.Conv2d(input_size, teacher_size, 1) if teacher_size else None
        self.register_buffer("teacher_mean", torch.zeros(teacher_size))
        self.register_buffer("teacher_scale", torch.ones(teacher_size))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return log-probabilities `(frames * steps, batch, classes)` and the teacher's standardised embeddings `(batch, steps, size)`."""
        batch, _, steps, _ = embeddings.shape
        logits = self.phones(embeddings)[..., 0].reshape(batch, self.frames, CLASSES, steps)
        logits = logits.permute(3, 1, 0, 2).reshape(steps * self.frames, batch, CLASSES)
        heard = self.teacher(embeddings)[..., 0].transpose(1, 2) if self.teacher is not None else None
        return torch.log_softmax(logits.float(), dim=2), heard

    def measure(self, heard: Tensor) -> None:
        """Take mean and deviation of the teacher's numbers from its embeddings `(windows, steps, size)`."""
        flat = heard.float().flatten(0, 1)
        self.teacher_mean.copy_(flat.mean(dim=0))
        self.teacher_scale.copy_(1.0 / flat.std(dim=0).clamp(min=1e-3))


class PretrainingNetwork(TransferNetwork):
    """An encoder that answers on the teacher's grid: at frames 76, 84, 92, ..."""

    encoder: AudioEncoder
    head: PretrainingHead

    def forward(self, inputs: Tensor, start: int = 0) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        """Return what the head says about features `(batch, 1, frames, bands)`."""
        answers: tuple[Tensor, Tensor | None] = self.head(self.encoder(inputs[:, :, self._skipped :]))
        return answers

    @property
    def _skipped(self) -> int:
        """How many frames are left out at the beginning, so that the answers stand on the teacher's grid."""
        return (TEACHER_FIELD - self.encoder.receptive_field) % STRIDE

    @property
    def first_step(self) -> int:
        """The teacher's step at which the encoder's first output stands."""
        return (self.encoder.receptive_field + self._skipped - TEACHER_FIELD) // STRIDE


class PretrainingLoss:
    """CTC a phone (windows without phones are masked out) plus the squared error of the teacher's standardised numbers."""

    def __init__(self, network: PretrainingNetwork, ctc: float, teacher: float) -> None:
        self.network = network
        self.ctc, self.teacher = ctc, teacher

    def __call__(self, answers: tuple[Tensor, Tensor | None], phones: Tensor, counts: Tensor, heard: Tensor) -> Tensor:
        """Return the loss; `heard` is `(batch, steps, size)`, on the teacher's grid."""
        log_probabilities, foretold = answers
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
        return loss
