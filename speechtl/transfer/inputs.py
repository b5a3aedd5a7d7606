"""The input type must be the same in pre-training and fine-tuning."""

from __future__ import annotations

from speechtl.errors import InputMismatchError
from speechtl.transfer.network import Encoder, InputSpec


def check_inputs(encoder: Encoder, data: InputSpec) -> None:
    """Raise `InputMismatchError`, naming both sides, unless the data is what the encoder was pretrained on."""
    source = encoder.info.input
    if source.modality != data.modality:
        raise InputMismatchError(
            f"The encoder {encoder.info.name!r} was pretrained on {source}, and the data is {data}. What it learned does not carry "
            f"over to another kind of input; take an encoder that was pretrained on {data.modality}."
        )
    keys = sorted(source.properties.keys() | data.properties.keys())
    different = [key for key in keys if source.properties.get(key) != data.properties.get(key)]
    if different:
        sides = "; ".join(f"{key} is {source.properties.get(key)} there and {data.properties.get(key)} here" for key in different)
        raise InputMismatchError(
            f"The encoder {encoder.info.name!r} was pretrained on {source.modality} of another form: {sides}. "
            "Bring the data into the encoder's form."
        )
