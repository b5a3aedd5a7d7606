"""The inputs, and the part of each, to which a unit responds most (Zeiler and Fergus 2014, without their deconvolution)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechtl.errors import SpeechtlError, did_you_mean
from speechtl.progress import tracked
from speechtl.transfer.network import Encoder, run_groups

BATCH = 16

Box = tuple[tuple[int, int], tuple[int, int]]  # start and stop of rows (or frames) and of columns (or bands)


@dataclass(frozen=True)
class Activation:
    """A unit's strongest response to one input: index of the input, value, and the part of the input that it depends on."""

    unit: int
    example: int
    value: float
    box: Box


def first_filters(encoder: Encoder) -> Tensor:
    """Weights `(filters, channels, height, width)` of the first convolution."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach()
    raise SpeechtlError(f"The encoder {encoder.info.name!r} has no convolution whose filters could be drawn.")


def middle_and_late(encoder: Encoder) -> list[str]:
    """Names of the group in the middle and of the last one, which may be the same."""
    names = list(encoder.groups)
    return list(dict.fromkeys([names[len(names) // 2], names[-1]]))


def strongest_activations(
    encoder: Encoder, inputs: Tensor, group: str, *, units: int | Sequence[int] = 6, patches: int = 6
) -> dict[int, list[Activation]]:
    """The strongest activations of units of a group over inputs `(examples, channels, rows, columns)`, the strongest first.

    `units` are indices, or a number of units to choose: the most selective ones, with strong responses to few inputs.
    """
    if group not in encoder.groups:
        raise SpeechtlError(f"There is no group {group!r}{did_you_mean(group, encoder.groups)}; there are: {', '.join(encoder.groups)}.")
    encoder.eval()
    names = list(encoder.groups)
    layers = [encoder.groups[name] for name in names[: names.index(group) + 1]]
    peaks, places, width = _peaks(layers, inputs)
    chosen = _selective(peaks, units) if isinstance(units, int) else list(units)
    found = {}
    for unit in chosen:
        best = peaks[:, unit].topk(min(patches, len(inputs))).indices.tolist()
        found[unit] = [
            Activation(
                unit, example, float(peaks[example, unit]), _box(layers, inputs[example], unit, divmod(int(places[example, unit]), width))
            )
            for example in best
        ]
    return found


def compare(
    encoders: Mapping[str, Encoder], inputs: Tensor, group: str, *, units: int = 6, patches: int = 6
) -> dict[str, dict[int, list[Activation]]]:
    """Strongest activations of the same units in several states of an encoder (before and after training), chosen in the first."""
    found: dict[str, dict[int, list[Activation]]] = {}
    chosen: int | list[int] = units
    for name, encoder in encoders.items():
        found[name] = strongest_activations(encoder, inputs, group, units=chosen, patches=patches)
        chosen = list(found[name])
    return found


@torch.no_grad()
def _peaks(layers: Sequence[nn.Module], inputs: Tensor) -> tuple[Tensor, Tensor, int]:
    """Every unit's largest response to every input `(examples, units)`, its flat position, and the number of columns."""
    values, places = [], []
    width = 1
    parts = torch.split(inputs, BATCH)
    for part in tracked("analysing a layer", parts, len(parts)):
        responses = _responses(layers, part)
        width = responses.shape[3]
        strongest = responses.flatten(2).max(dim=2)
        values.append(strongest.values)
        places.append(strongest.indices)
    return torch.cat(values), torch.cat(places), width


def _responses(layers: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Responses `(examples, units, rows, columns)`; a group without spatial output, as after pooling, has one position."""
    responses = run_groups(layers, inputs)
    return responses.reshape(*responses.shape, *[1] * (4 - responses.dim()))


def _selective(peaks: Tensor, count: int) -> list[int]:
    top = peaks.topk(min(3, len(peaks)), dim=0).values.mean(dim=0)
    ratio = (top - peaks.mean(dim=0)) / (peaks.std(dim=0) + 1e-6)
    alive = top > 0.3 * top.median()
    return torch.where(alive, ratio, -torch.inf).topk(min(count, peaks.shape[1])).indices.tolist()


def _box(layers: Sequence[nn.Module], example: Tensor, unit: int, place: tuple[int, int]) -> Box:
    """The part of the input that the response depends on: where its gradient is not zero."""
    variable = example[None].float().requires_grad_(True)
    _responses(layers, variable)[0, unit, place[0], place[1]].backward()  # type: ignore[no-untyped-call]
    assert variable.grad is not None
    touched = variable.grad[0].abs().amax(dim=0) > 0
    rows, columns = (torch.nonzero(touched.any(dim=axis)).flatten().tolist() for axis in (1, 0))
    if not rows:
        return (0, example.shape[1]), (0, example.shape[2])
    return (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
