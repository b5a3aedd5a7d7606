import importlib.metadata
import importlib.util
import inspect

import numpy as np
import pytest

from speechtl.errors import MissingExtraError, SpeechtlError
from speechtl.places import ovos, packages
from speechtl.toml_files import read_toml
from tests.documents.pages import ROOT

NAME = "ovos-ww-plugin-speechtl"
INSTALLED = importlib.util.find_spec("ovos_plugin_manager") is not None
real = pytest.mark.skipif(not INSTALLED, reason="ovos-plugin-manager is not installed: pip install 'speechtl[ovos]'")


@pytest.fixture
def pcm(bursts) -> bytes:
    return np.round(bursts((1.0, 3.0)) * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def chunks(pcm: bytes, length: int = 2048) -> list[bytes]:
    return [pcm[at : at + length] for at in range(0, len(pcm), length)]


def heard(engine, pcm: bytes) -> list[bool]:
    return [bool(engine.update(chunk) or engine.found_wake_word()) for chunk in chunks(pcm)]


def test_the_entry_point_leads_to_the_plugin():
    (target,) = read_toml(ROOT / "pyproject.toml")["project"]["entry-points"]["opm.wake_word"].values()
    module, _, name = target.partition(":")
    assert getattr(importlib.import_module(module), name) is ovos.SpeechtlHotWord


@real
def test_the_plugin_manager_finds_it_and_it_finds_the_word(tiny_bundle, pcm):
    from ovos_plugin_manager.wakewords import OVOSWakeWordFactory, find_wake_word_plugins

    try:
        importlib.metadata.distribution("speechtl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("speechtl is not installed here, only in the path: no entry points")
    assert find_wake_word_plugins()[NAME] is ovos.SpeechtlHotWord
    config = {"hotwords": {"burst": {"module": NAME, "model": str(tiny_bundle)}}}
    engine = OVOSWakeWordFactory.create_hotword("burst", config)
    assert heard(engine, pcm).count(True) == 2
    engine.update(pcm[:48_000])
    engine.reset()
    assert not engine.found_wake_word()
    engine.stop()


@real
def test_it_has_the_methods_of_the_template():
    from ovos_plugin_manager.templates.hotwords import HotWordEngine

    assert issubclass(ovos.SpeechtlHotWord, HotWordEngine)
    for name in ("update", "found_wake_word", "reset"):
        theirs = list(inspect.signature(getattr(HotWordEngine, name)).parameters)
        assert list(inspect.signature(getattr(ovos.SpeechtlHotWord, name)).parameters)[: len(theirs)] == theirs


@real
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"module": NAME}, "The hotword 'burst' has no model"),
        ({"model": "none.wake"}, r"none\.wake"),
        ({"model": "BUNDLE", "word": "brust"}, r"no word 'brust' \(did you mean 'burst'\?\); it has: burst"),
        ({"model": "BUNDLE", "threshold": 3}, "A threshold must be above 0 and at most 1"),
        ({"model": "BUNDLE", "threshold": "high"}, "The threshold of the hotword 'burst' must be a number; got 'high'"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tiny_bundle, config, sentence):
    config = {key: str(tiny_bundle) if value == "BUNDLE" else value for key, value in config.items()}
    with pytest.raises(SpeechtlError, match=sentence):
        ovos.SpeechtlHotWord("burst", config)


@pytest.mark.skipif(INSTALLED, reason="ovos-plugin-manager is installed")
def test_without_the_plugin_manager_the_pip_command_is_said():
    with pytest.raises(MissingExtraError, match=r"pip install 'speechtl\[ovos\]'"):
        ovos.SpeechtlHotWord("burst", {"model": "a.wake"})


def test_an_old_plugin_manager_is_said(monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda _: "0.0.26")
    with pytest.raises(SpeechtlError, match=r"needs ovos-plugin-manager .* or newer, and 0\.0\.26 is installed"):
        ovos.SpeechtlHotWord("burst", {"model": "a.wake"})
