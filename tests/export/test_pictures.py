import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from speechtl.cli.app import app, main
from speechtl.errors import BundleError, CheckFailedError, ManifestError
from speechtl.export.pictures import export_image_run
from speechtl.image.predict import predict_files
from speechtl.image.run import load_run
from speechtl.runtime.bundle.pictures import open_picture_bundle
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.pictures import PictureEngine
from speechtl.runtime.parity import verify_pictures


def test_the_bundle_carries_both_graphs_and_their_certificate(halves):
    bundle = open_picture_bundle(halves / "halves.wake")
    assert list(bundle.about["graphs"]) == ["model.int8.onnx", "model.onnx"]
    parity = {result["graph"]: result for result in bundle.about["parity"]}
    assert parity["model.onnx"]["largest_difference"] < 1e-5
    assert all(result["ok"] for result in parity.values())
    assert bundle.about["graphs"]["model.int8.onnx"]["agreement"] >= 0.9
    assert len(bundle.files["model.int8.onnx"]) < 0.5 * len(bundle.files["model.onnx"])


def test_the_device_says_what_the_workstation_says(halves):
    files = sorted((halves / "halves").rglob("*.png"))[::7]
    ours, theirs = (list(predict_files(halves / name, files)) for name in ("run", "halves.wake"))
    assert [line["label"]["answer"] for line in ours] == [line["label"]["answer"] for line in theirs]
    exact = list(predict_files(halves / "halves.wake", files, "model.onnx"))
    for one, other in zip(ours, exact, strict=True):
        assert one["label"]["scores"]["left"] == pytest.approx(other["label"]["scores"]["left"], abs=2e-4)


def test_prediction_from_a_bundle_needs_neither_torch_nor_training_packages(halves):
    code = (
        "import sys\n"
        "class Forbid:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'lightning_fabric', 'scipy', 'safetensors', 'onnx', 'matplotlib'}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Forbid())\n"
        "from speechtl.cli.app import main\n"
        "sys.argv[0] = 'speechtl'; main()\n"
    )
    picture = halves / "halves" / "left" / "0.png"
    for arguments in (["image", "predict", str(halves / "halves.wake"), str(picture)], ["image", "verify", str(halves / "halves.wake")]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout


@pytest.mark.slow
def test_the_commands_export_and_verify(halves, tmp_path):
    runner = CliRunner()
    done = runner.invoke(app, ["image", "export", str(halves / "run"), "-o", str(tmp_path / "a.wake"), "--no-int8", "--json"])
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["graphs"]) == ["model.onnx"]
    assert json.loads(runner.invoke(app, ["image", "verify", str(tmp_path / "a.wake"), "--json"]).stdout)[0]["ok"]


def golden(pixels: np.ndarray, scores: np.ndarray) -> dict[str, bytes]:
    stream = io.BytesIO()
    np.savez(stream, pixels=pixels, scores=scores)
    return {"golden.npz": stream.getvalue()}


def test_a_graph_that_gives_other_scores_fails_verification_with_exit_code_1(halves, remake_halves, monkeypatch, capsys):
    pixels, scores = open_picture_bundle(halves / "halves.wake").golden()
    path = remake_halves(files=golden(pixels, 1 - scores))
    assert not any(result.ok for result in verify_pictures(open_picture_bundle(path)))
    monkeypatch.setattr("sys.argv", ["speechtl", "image", "verify", str(path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == CheckFailedError.exit_code
    assert "produces different scores" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("about", "files", "sentence"),
    [
        ({"pictures": {"size": 32, "shape": "stretch", "grey": False}}, {}, "does not contain pictures and their scores"),
        ({"pictures": 3}, {}, "pictures must be a table"),
        ({"graphs": {"other.onnx": {"runtime": "onnx"}}}, {}, "names a graph that is not in it"),
        ({"graphs": {}}, {}, "no graph to run by default"),
        ({}, {"model.int8.onnx": b"nothing"}, "cannot load model.int8.onnx"),
        ({}, {"golden.npz": b"nothing"}, "golden.npz cannot be read"),
        ({}, golden(np.zeros((2, 3, 24, 23), np.uint8), np.zeros((2, 2), np.float32)), "does not contain pictures and their scores"),
        ({}, golden(np.zeros((0, 3, 24, 24), np.uint8), np.zeros((0, 2), np.float32)), "does not contain pictures and their scores"),
        ({}, golden(np.uint8(0), np.float32(0)), "does not contain pictures and their scores"),
        ({}, golden(np.zeros((2, 3, 24, 24), np.uint8), np.array([["a", "b"]] * 2)), "scores is of the type <U1"),
    ],
)
def test_damaged_bundles_are_refused_in_words(remake_halves, about, files, sentence):
    with pytest.raises(BundleError, match=sentence):
        verify_pictures(open_picture_bundle(remake_halves(about, files)))


def test_a_graph_for_pictures_of_another_size_is_refused(remake_halves):
    bundle = open_picture_bundle(remake_halves({"pictures": {"size": 32, "shape": "stretch", "grey": False}}))
    with pytest.raises(BundleError, match="does not take the pictures in its description"):
        PictureEngine(bundle)


def test_bundles_of_another_kind_are_told_apart(halves, tiny_bundle):
    with pytest.raises(BundleError, match="of the kind 'image', where 'wake word' is needed"):
        open_bundle(halves / "halves.wake")
    with pytest.raises(BundleError, match="of the kind 'wake word', where 'image' is needed"):
        open_picture_bundle(tiny_bundle)


def test_without_its_pictures_a_run_is_not_exported_and_nothing_is_written(halves, tmp_path):
    run = load_run(halves / "run")
    run.about["recipe"]["data"]["train"] = [str(tmp_path / "gone")]
    with pytest.raises(ManifestError, match="does not exist"):
        export_image_run(run, tmp_path / "a.wake")
    assert not list(tmp_path.glob("*.wake"))


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "keep", "grid"), [("squeezenet", "fire7", 2), ("squeezenet", None, 3), ("mobilenet", "stage4", 1)])
def test_the_large_backbones_are_exported_exactly_and_as_int8(backbone, keep, grid):
    import onnxruntime

    from speechtl.export.pictures import ScoringNetwork, quantise, to_onnx
    from speechtl.image.network import new_network
    from speechtl.image.run import open_encoder
    from speechtl.transfer import Task

    torch.manual_seed(0)
    network = ScoringNetwork(
        new_network(open_encoder(backbone, "scratch", keep)[0], [Task("kind", ("a", "b")), Task("loud")], grid=grid)
    ).eval()
    pixels = torch.randint(0, 256, (4, 3, 56, 56), dtype=torch.uint8)
    graph = to_onnx(network.to(memory_format=torch.contiguous_format), 56)
    with torch.no_grad():
        expected = torch.cat([network(picture[None]) for picture in pixels]).numpy()
    for content, tolerance in ((graph, 1e-4), (quantise(graph, pixels.numpy()), 0.1)):
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        given = np.concatenate([session.run(["scores"], {"pixels": picture[None].numpy()})[0] for picture in pixels])
        assert np.abs(given - expected).max() < tolerance
