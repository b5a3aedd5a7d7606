import re
import subprocess
import sys

import pytest
import torch

from speechtl.audio.encoders import build_encoder, data_input, load_encoder
from speechtl.audio.encoders import torchaudio_pipelines as pipelines
from speechtl.audio.encoders.base import audio_input
from speechtl.audio.encoders.torchaudio_pipelines import torchaudio
from speechtl.audio.evaluation.evaluate import evaluate
from speechtl.audio.evaluation.material import Plan
from speechtl.audio.evaluation.model import open_model
from speechtl.audio.recipe import read_recipe
from speechtl.audio.run import load_run
from speechtl.audio.training.train import train
from speechtl.errors import InputMismatchError, MissingExtraError, RecipeError, SpeechtlError, WeightsError
from speechtl.export.bundle import export_runs, graphs_for
from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.features import LogMelSettings
from speechtl.runtime.parity import verify
from speechtl.transfer import check_inputs


def test_all_networks_of_these_kinds_are_known():
    known = pipelines.known_pipelines()
    assert {"torchaudio:WAV2VEC2_BASE", "torchaudio:HUBERT_BASE", "torchaudio:WAV2VEC2_ASR_BASE_960H", "torchaudio:WAVLM_LARGE"} < set(
        known
    )
    assert len(known) == 30


def test_an_unknown_network_is_an_error_that_suggests_the_nearest():
    with pytest.raises(RecipeError, match=r"did you mean 'torchaudio:HUBERT_BASE'.*WAVLM_LARGE.*\+layers"):
        load_encoder("torchaudio:HUBERT_BAES")


def test_weights_come_from_the_cache_of_torch_hub(tiny_pipeline):
    _, model = tiny_pipeline("WAV2VEC2_ASR_BASE_960H")
    encoder = load_encoder("torchaudio:TINY")
    loaded = dict(encoder.named_parameters())
    expected = model.encoder.transformer.layers[1].feed_forward.output_dense.weight
    assert any(torch.equal(weights, expected) for weights in loaded.values())


def test_the_architecture_without_weights_has_the_same_weights_by_name_and_shape(tiny_pipeline):
    tiny_pipeline("WAVLM_BASE")
    for name in ("torchaudio:TINY", "torchaudio:TINY+layers"):
        built, loaded = build_encoder(name), load_encoder(name)
        assert {key: value.shape for key, value in built.state_dict().items()} == {
            key: value.shape for key, value in loaded.state_dict().items()
        }
        assert built.info == loaded.info


def test_every_network_says_where_it_comes_from_and_what_its_licence_is():
    library = torchaudio().pipelines
    infos = {name: pipelines._info(name, getattr(library, name.removeprefix("torchaudio:"))) for name in pipelines.known_pipelines()}
    assert all(re.search("(?i)trained on", info.source) for info in infos.values())
    for name, info in infos.items():
        expected = "CC-BY-NC-4.0" if "VOXPOPULI" in name or "MMS" in name else "MIT"
        assert info.licence == expected, name
    hours = {name.removeprefix("torchaudio:"): info.source_hours for name, info in infos.items()}
    assert hours["WAV2VEC2_ASR_BASE_960H"] == hours["HUBERT_BASE"] == 960
    assert hours["HUBERT_ASR_XLARGE"] == 60_000
    assert hours["WAVLM_LARGE"] == 94_000
    assert hours["VOXPOPULI_ASR_BASE_10K_DE"] == 10_000
    assert hours["WAV2VEC2_XLSR_1B"] == 436_000
    assert hours["MMS_FA"] == 31_000
    assert None not in hours.values()


def test_offline_the_error_says_what_to_fetch_and_where_to_put_it(tiny_pipeline, monkeypatch):
    bundle, _ = tiny_pipeline()
    path = pipelines.weights_path(bundle)
    path.unlink()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(WeightsError) as caught:
        load_encoder("torchaudio:TINY")
    assert "https://download.pytorch.org/torchaudio/models/tiny.pth" in str(caught.value)
    assert str(path) in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", "pickle", "others"])
def test_a_file_that_holds_something_else_is_an_error_that_names_it(tiny_pipeline, content):
    bundle, model = tiny_pipeline()
    path = pipelines.weights_path(bundle)
    if content == "pickle":
        torch.save({"weights": Harmful()}, path)
    elif content == "others":
        torch.save({name: weights for name, weights in model.state_dict().items() if "layers.2" not in name}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"tiny\.pth does not contain the weights of torchaudio:TINY") as caught:
        load_encoder("torchaudio:TINY")
    assert "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_recordings_are_brought_into_the_form_of_the_encoder_and_others_are_refused_with_both_sides(tiny_pipeline):
    tiny_pipeline()
    encoder = load_encoder("torchaudio:TINY")
    check_inputs(encoder, data_input(encoder))
    with pytest.raises(InputMismatchError, match=r"kind is waveform there and log_mel here"):
        check_inputs(encoder, audio_input(LogMelSettings()))
    with pytest.raises(InputMismatchError, match=r"kind is log_mel there and waveform here"):
        check_inputs(build_encoder("speech-embedding"), data_input(encoder))


@pytest.mark.parametrize("like", ["HUBERT_BASE", "HUBERT_LARGE"])
def test_a_teacher_gives_what_a_layer_hears_in_whole_recordings(tiny_pipeline, like):
    _, model = tiny_pipeline(like)
    samples = torch.randn(2, 20_000) * 0.1
    teacher = pipelines.teacher("torchaudio:TINY", layer=1)
    given = teacher(samples)
    assert teacher.frame_rate == 50.0
    assert given.shape == (2, (20_000 - 400) // 320 + 1, teacher.info.embedding_size)
    for one, expected in zip(given, samples, strict=True):
        heard = torch.nn.functional.layer_norm(expected, expected.shape) if like == "HUBERT_LARGE" else expected
        torch.testing.assert_close(one, model.extract_features(heard[None])[0][1][0], rtol=1e-4, atol=1e-5)
    every = torch.stack([pipelines.teacher("torchaudio:TINY", layer=layer)(samples) for layer in range(3)])
    torch.testing.assert_close(pipelines.teacher("torchaudio:TINY+layers")(samples), every.mean(dim=0))


def test_a_layer_that_is_not_there_is_an_error(tiny_pipeline):
    tiny_pipeline()
    with pytest.raises(SpeechtlError, match="no layer 3; its layers are 0 to 2"):
        pipelines.teacher("torchaudio:TINY", layer=3)


WAYS = [
    ("torchaudio:TINY", "head", "HUBERT_BASE"),
    ("torchaudio:TINY+layers", "last:1", "WAV2VEC2_BASE"),
    ("torchaudio:TINY", "all", "WAVLM_BASE"),
]


def report_on(model):
    manifests = model.parent / "positives.jsonl", model.parent / "negatives.jsonl"
    return evaluate(open_model(model), Plan([manifests[0]], [manifests[1]]), lambda text: None)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "policy", "like"), WAYS)
def test_a_word_is_trained_evaluated_exported_and_verified(tiny_pipeline, corpus, monkeypatch, capsys, name, policy, like):
    monkeypatch.setattr("speechtl.audio.training.validation.ROOMS", 1)
    tiny_pipeline(like)
    before = load_encoder(name).state_dict()
    recipe = read_recipe(corpus / "word.toml", {"transfer": {"encoder": name, "policy": policy, "head": "linear"}})
    train(recipe, corpus / "run")
    run = load_run(corpus / "run")
    after = run.network.encoder.state_dict()
    learned = {key.split(".")[1] for key in before if not torch.equal(before[key], after[key])}
    assert learned == {"head": set(), "last:1": {"layers"}, "all": {*run.network.encoder.groups}}[policy]
    assert run.about["encoder"]["input"]["properties"] == {"kind": "waveform", "sample_rate": 16_000, "hop": 320}

    report = report_on(corpus / "run")
    assert report["positives"]["clips"] == 3

    about = export_runs([run], corpus / "a.wake", graphs_for([run]))
    assert "model.onnx only, without int8 and TFLite" in capsys.readouterr().err
    assert list(about["graphs"]) == ["model.onnx"]
    bundle = open_bundle(corpus / "a.wake")
    assert bundle.features == run.network.encoder.features
    assert bundle.states[0].shape == (1, 1, 72, 320)
    assert all(result.ok for result in verify(bundle))
    assert report_on(corpus / "a.wake")["positives"] == report["positives"]
    with pytest.raises(SpeechtlError, match=r"exported as model\.onnx only.*Requested: model\.int8\.onnx"):
        export_runs([run], corpus / "b.wake", ["model.int8.onnx"])
    with pytest.raises(SpeechtlError, match="Leave out --tflite"):
        graphs_for([run], tflite=True)


def test_networks_are_there_whether_or_not_the_compiled_extension_fits():
    library = torchaudio()
    assert library is torchaudio()
    assert library.pipelines.HUBERT_BASE.sample_rate == 16_000


def test_without_torchaudio_the_pip_command_is_printed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[torchaudio\]'"):
        torchaudio()


FAIL = """
import importlib, sys
from speechtl.audio.encoders import torchaudio_pipelines
real, tried = importlib.import_module, []
def fail(name):
    tried.append(name)
    if len(tried) == 1:
        raise OSError({message!r})
    return real(name)
importlib.import_module = fail
try:
    library = torchaudio_pipelines.torchaudio()
    stub = sys.modules[torchaudio_pipelines.EXTENSION]
    print("stepped over", stub._IS_TORCHAUDIO_EXT_AVAILABLE, hasattr(stub, "__file__"), hasattr(library, "pipelines"))
except OSError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Could not load this library: /somewhere/torchaudio/lib/_torchaudio.abi3.so", "stepped over False False True"),
        ("No space left on device", "No space left on device"),
    ],
)
def test_only_an_extension_that_does_not_load_is_stepped_over(message, said):
    done = subprocess.run([sys.executable, "-c", FAIL.format(message=message)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == said, done.stderr
