import numpy as np
import pytest
import torch

from speechtl.errors import WeightsError
from speechtl.image.backbones.mobilenet import FILE, build, load


def test_it_has_the_number_of_weights_that_the_paper_gives():
    assert sum(weights.numel() for weights in build().parameters()) == pytest.approx(3.5e6, rel=0.02)


@pytest.fixture(scope="module")
def tflite(image_folder):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: it reads the TFLite file")
    if not (image_folder / "weights" / FILE).is_file():
        pytest.skip(f"{FILE} is not here")
    return image_folder / "weights" / FILE


@pytest.mark.real
def test_it_says_what_the_quantised_network_says(tflite, image_folder):
    from ai_edge_litert.interpreter import Interpreter

    from speechtl.runtime.pictures import PictureSettings, read_pixels

    interpreter = Interpreter(str(tflite))
    interpreter.allocate_tensors()
    (given,), (asked,) = interpreter.get_output_details(), interpreter.get_input_details()
    network = load(tflite)
    same = 0
    files = sorted((image_folder / "road").glob("*.jpg"))[::90]
    for path in files:
        pixels = read_pixels(path, PictureSettings())
        interpreter.set_tensor(asked["index"], pixels.transpose(1, 2, 0)[None])
        interpreter.invoke()
        expected = set(np.argsort(interpreter.get_tensor(given["index"])[0])[-3:].tolist())
        with torch.no_grad():
            same += int(network(torch.from_numpy(pixels)[None]).argmax()) in expected
    assert same >= 0.8 * len(files)


def test_another_tflite_file_or_none_is_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "x.tflite").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"x\.tflite is damaged, or not a TFLite network"):
        load(tmp_path / "x.tflite")
    with pytest.raises(WeightsError, match="is not a file"):
        load(tmp_path / "none.tflite")
