import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="session")
def heard() -> np.ndarray:
    """Features of four examples, as varied as those of speech."""
    return np.random.default_rng(0).integers(-128, 100, (4, 200, 40)).astype(np.int8)


@pytest.fixture(scope="session")
def student(heard):
    """A student whose normalisation has seen the features; its scores vary."""
    import torch

    from speechtl.export.microwakeword.student import as_input, make_student

    torch.manual_seed(0)
    torch.set_num_threads(1)
    made = make_student()
    with torch.no_grad():
        made.head.weight *= 20
        for _ in range(30):
            made(as_input(heard))
    return made.eval()


@pytest.fixture(scope="session")
def model(student, heard) -> bytes:
    """The student's file."""
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'speechtl[tflite]'")
    from speechtl.export.microwakeword.int8 import quantise
    from speechtl.export.microwakeword.model_file import to_tflite
    from speechtl.export.microwakeword.student import folded

    return to_tflite(quantise(folded(student), heard))


@pytest.fixture
def front_end():
    pytest.importorskip("pymicro_features", reason="pymicro-features is not installed: pip install 'speechtl[microwakeword]'")
