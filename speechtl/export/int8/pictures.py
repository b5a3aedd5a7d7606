"""Quantise a picture graph to int8: static QDQ, uint8 activations, int8 weights per channel; the output layer stays float."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechtl.errors import MissingExtraError
from speechtl.export.onnx_graph import to_bytes
from speechtl.runtime.bundle.pictures import INPUT

QUANTISED = ("Conv", "MaxPool", "Concat", "Relu", "Clip", "Add")


def quantise(graph: bytes, pixels: NDArray[np.uint8]) -> bytes:
    """Return the int8 graph of a float one; ranges are measured on pictures `(pictures, 3, size, size)`."""
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError("Export of int8 to ONNX", "train") from error

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out one picture after the other."""

        def __init__(self) -> None:
            self.left = iter(pixels)

        def get_next(self) -> dict[str, Any] | None:
            """Return the next picture as the graph's input, None after the last."""
            picture = next(self.left, None)
            return None if picture is None else {INPUT: picture[None]}

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        given.write_bytes(graph)
        quant_pre_process(str(given), str(prepared))
        quantize_static(
            str(prepared),
            str(made),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=list(QUANTISED),
        )
        return to_bytes(onnx.load_from_string(made.read_bytes()))
