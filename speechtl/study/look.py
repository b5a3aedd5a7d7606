"""What layers see: the inputs, and the part of each, that excite a unit most (Zeiler and Fergus 2014, without their deconvolution)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechtl.errors import SpeechtlError, did_you_mean
from speechtl.progress import tracked
from speechtl.transfer.network import Encoder, run_groups

BATCH = 16

Box = tuple[tuple[int, int], tuple[int, int]]  # first and last row (or frame) plus one, the same for columns (or bands)


@dataclass(frozen=True)
class Excitation:
    """A unit's strongest response to one input: which input, how strong, and the part of the input that it depends on."""

    unit: int
    example: int
    value: float
    box: Box


def first_filters(encoder: Encoder) -> Tensor:
    """Return the weights `(filters, channels, height, width)` of the first convolution."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach()
    raise SpeechtlError(f"The encoder {encoder.info.name!r} has no convolution whose filters could be drawn.")


def middle_and_late(encoder: Encoder) -> list[str]:
    """Return the names of a group in the middle and of the last one, which in a short encoder are one."""
    names = list(encoder.groups)
    return list(dict.fromkeys([names[len(names) // 2], names[-1]]))


def excitations(
    encoder: Encoder, inputs: Tensor, group: str, *, units: int | Sequence[int] = 6, patches: int = 6
) -> dict[int, list[Excitation]]:
    """Return for some units of a group the inputs `(examples, channels, rows, columns)` that excite each most, the strongest first.

    `units` are given by number, or so many are chosen that respond to few inputs strongly: those that stand for something.
    """
    if group not in encoder.groups:
        raise SpeechtlError(f"There is no group {group!r}{did_you_mean(group, encoder.groups)}; there are: {', '.join(encoder.groups)}.")
    encoder.eval()
    names = list(encoder.groups)
    front = [encoder.groups[name] for name in names[: names.index(group) + 1]]
    peaks, places, width = _peaks(front, inputs)
    chosen = _selective(peaks, units) if isinstance(units, int) else list(units)
    found = {}
    for unit in chosen:
        best = peaks[:, unit].topk(min(patches, len(inputs))).indices.tolist()
        found[unit] = [
            Excitation(
                unit, example, float(peaks[example, unit]), _box(front, inputs[example], unit, divmod(int(places[example, unit]), width))
            )
            for example in best
        ]
    return found


def compare(
    encoders: Mapping[str, Encoder], inputs: Tensor, group: str, *, units: int = 6, patches: int = 6
) -> dict[str, dict[int, list[Excitation]]]:
    """Return what excites the same units in several states of an encoder (before and after training); the first chooses them."""
    found: dict[str, dict[int, list[Excitation]]] = {}
    chosen: int | list[int] = units
    for name, encoder in encoders.items():
        found[name] = excitations(encoder, inputs, group, units=chosen, patches=patches)
        chosen = list(found[name])
    return found


@torch.no_grad()
def _peaks(front: Sequence[nn.Module], inputs: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return every unit's largest response to every input `(examples, units)`, where it is, and how many columns there are."""
    values, places = [], []
    width = 1
    parts = torch.split(inputs, BATCH)
    for part in tracked("looking at a layer", parts, len(parts)):
        responses = _responses(front, part)
        width = responses.shape[3]
        strongest = responses.flatten(2).max(dim=2)
        values.append(strongest.values)
        places.append(strongest.indices)
    return torch.cat(values), torch.cat(places), width


def _responses(front: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Return the responses `(examples, units, rows, columns)`; where a group gives no places, as after pooling, there is one."""
    responses = run_groups(front, inputs)
    return responses.reshape(*responses.shape, *[1] * (4 - responses.dim()))


def _selective(peaks: Tensor, count: int) -> list[int]:
    top = peaks.topk(min(3, len(peaks)), dim=0).values.mean(dim=0)
    ratio = (top - peaks.mean(dim=0)) / (peaks.std(dim=0) + 1e-6)
    alive = top > 0.3 * top.median()
    return torch.where(alive, ratio, -torch.inf).topk(min(count, peaks.shape[1])).indices.tolist()


def _box(front: Sequence[nn.Module], example: Tensor, unit: int, place: tuple[int, int]) -> Box:
    """Return the part of the input that the response depends on: where its gradient is not zero."""
    asked = example[None].float().requires_grad_(True)
    _responses(front, asked)[0, unit, place[0], place[1]].backward()  # type: ignore[no-untyped-call]
    assert asked.grad is not None
    touched = asked.grad[0].abs().amax(dim=0) > 0
    rows, columns = (torch.nonzero(touched.any(dim=axis)).flatten().tolist() for axis in (1, 0))
    if not rows:
        return (0, example.shape[1]), (0, example.shape[2])
    return (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
