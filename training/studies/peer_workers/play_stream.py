"""python training/studies/peer_workers/play_stream.py [--scores] KIND [ARGUMENT...] < SAMPLES

One contender of peers.py or rivals.py in a process of its own: open it, say "ready", take int16 samples from standard input in chunks
of 80 ms, and print what that cost as one line of JSON, with --scores also the highest score in every chunk and the threshold that the
contender comes with. Nothing is imported but the standard library and the contender, because this also runs in environments where
speechtl is not installed, and every import would be billed.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import NamedTuple

CHUNK_BYTES = 2 * 1280  # 80 ms of int16 at 16 kHz
WINDOW_FRAMES = 76  # what the published encoder hears at a time
STEP_FRAMES = 8  # 80 ms


class Opened(NamedTuple):
    """An open contender: what takes a chunk of samples and gives its result, and its own threshold, if its result is a score."""

    take: Callable[[bytes], object]
    threshold: float | None = None


def open_speechtl(bundle: str, *graph: str) -> Opened:
    """The shipped detector of a bundle."""
    import numpy as np

    from speechtl.runtime import Detector

    detector = Detector.open(bundle, graph=graph[0] if graph else None)
    return Opened(lambda chunk: detector.feed(np.frombuffer(chunk, np.int16)))


def open_scorer(bundle: str, word: str) -> Opened:
    """The scores of one word of a bundle, as the shipped detector compares them; steps end with chunks, as at a microphone."""
    import numpy as np

    from speechtl.runtime import Detector

    detector = Detector.open(bundle)
    heard: list[float] = []
    detector.on_score = lambda event, _: heard.append(event.score) if event.name == word else None
    detector.reset(detector.scorer.lead(CHUNK_BYTES / 2 / detector.scorer.features.sample_rate))

    def take(chunk: bytes) -> float:
        heard.clear()
        detector.feed(np.frombuffer(chunk, np.int16))
        return max(heard)

    return Opened(take, next(one.trigger.threshold for one in detector.words if one.name == word))


def open_recomputing(model: str) -> Opened:
    """The published encoder on speechtl's features, with its whole window recomputed at every step."""
    import numpy as np
    import onnxruntime

    from speechtl.runtime import LogMel

    log_mel = LogMel()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    heard = np.full((WINDOW_FRAMES, log_mel.settings.bands), log_mel.settings.silence, np.float32)

    def take(chunk: bytes) -> list[object]:
        nonlocal heard
        heard = np.concatenate([heard, log_mel.feed(np.frombuffer(chunk, np.int16))])
        embeddings = []
        while len(heard) >= WINDOW_FRAMES + STEP_FRAMES:
            heard = heard[STEP_FRAMES:]
            embeddings += session.run(None, {name: heard[None, :WINDOW_FRAMES, :, None]})
        return embeddings

    return Opened(take)


def open_openwakeword(word: str) -> Opened:
    """openWakeWord with one of its own ONNX models."""
    from pathlib import Path

    import numpy as np
    import openwakeword
    from openwakeword.model import Model

    path = next((Path(openwakeword.__file__).parent / "resources" / "models").glob(f"{word}*.onnx"))
    model = Model(wakeword_models=[str(path)], inference_framework="onnx")
    return Opened(lambda chunk: max(model.predict(np.frombuffer(chunk, np.int16)).values()), 0.5)  # what its README recommends


def open_pymicro(word: str) -> Opened:
    """pymicro-wakeword with one of its own models."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    model, features = MicroWakeWord.from_builtin(Model(word)), MicroWakeWordFeatures()

    def take(chunk: bytes) -> float:
        means = [model.process_streaming_prob(frame) for frame in features.process_streaming(chunk)]
        return max((mean for mean in means if mean is not None), default=0.0)

    return Opened(take, model.probability_cutoff)


def open_wakeforge(word: str) -> Opened:
    """The plugin of wakeforge for Open Voice OS with one of its own models."""
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):  # where its log goes from here on
        from ovos_ww_plugin_wakeforge import WakeForgeHotwordPlugin

        plugin = WakeForgeHotwordPlugin(word, {"model": word})

    def take(chunk: bytes) -> float:
        plugin.update(chunk)
        return plugin.last_score

    return Opened(take, plugin.threshold)


KINDS: dict[str, tuple[Callable[..., Opened], tuple[str, ...]]] = {
    "speechtl": (open_speechtl, ("speechtl", "numpy")),
    "scorer": (open_scorer, ("speechtl", "numpy")),
    "recomputing": (open_recomputing, ("speechtl", "numpy")),
    "openwakeword": (open_openwakeword, ("openwakeword", "numpy")),
    "pymicro": (open_pymicro, ("pymicro-wakeword", "numpy")),
    "wakeforge": (open_wakeforge, ("ovos-ww-plugin-wakeforge", "numpy")),
}
RUNTIMES = {"onnxruntime": "onnxruntime", "ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}  # module: package


def cpu_seconds() -> float:
    """The processor time of this process so far, all threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_bytes() -> int:
    """The peak resident memory of this program."""
    try:
        # Linux carries ru_maxrss over from the program that started this one, VmHWM begins anew. pathlib would be billed.
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: list[str]) -> int:
    """Open a contender, feed it standard input, print what it cost."""
    scoring = arguments[0] == "--scores"
    kind, *rest = arguments[1:] if scoring else arguments
    opener, packages = KINDS[kind]
    take, threshold = opener(*rest)
    start_cpu = cpu_seconds()
    print("ready", flush=True)
    pieces, scores = 0, []
    while len(chunk := sys.stdin.buffer.read(CHUNK_BYTES)) == CHUNK_BYTES:
        result = take(chunk)
        pieces += 1
        if scoring:
            scores.append(float(result))  # type: ignore[arg-type]  # of contenders with scores
    cost = {"pieces": pieces, "start_cpu_seconds": start_cpu, "cpu_seconds": cpu_seconds(), "peak_bytes": peak_bytes()}
    found = {"scores": scores, "threshold": threshold} if scoring else {}

    import json
    from importlib.metadata import version
    from platform import python_version

    packages += tuple(package for module, package in RUNTIMES.items() if module in sys.modules)
    print(json.dumps({**cost, **found, "versions": {"python": python_version(), **{name: version(name) for name in packages}}}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
