import sys

from speechtl.runtime.bundle.wake_word import open_bundle
from speechtl.runtime.engine.onnx import OnnxSession


def test_the_file_of_a_graph_that_is_loaded_does_not_stay_in_memory(tiny_bundle):
    content = open_bundle(tiny_bundle).files["model.onnx"]
    before = sys.getrefcount(content)
    session = OnnxSession(content)
    assert session.inputs
    assert sys.getrefcount(content) == before
