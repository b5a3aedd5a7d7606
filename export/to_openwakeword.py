"""python export/to_openwakeword.py RUN [--out FOLDER] [--no-tflite] [--check]

Convert a run's head to openWakeWord's format: FOLDER/NAME.onnx and NAME.tflite, 16 embeddings (1, 16, 96) in and one score
(1, 1) out, with the NAME.json by which linux-voice-assistant finds it. It works for heads on the published speech_embedding
only (speechtl train RECIPE --encoder speech-embedding); for others the program says why not. `--check` installs openWakeWord
0.5.1 and pyopen-wakeword into separate environments in the cache folder, plays a recording to them and to the network, and
compares the scores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechtl.arguments import output_folder
from speechtl.audio.network.model import scorer_of
from speechtl.audio.run import Run, load_run
from speechtl.cache import environment
from speechtl.errors import CheckFailedError, SpeechtlError, reported
from speechtl.export.golden import golden_audio
from speechtl.export.openwakeword import convert
from speechtl.runtime.samples import to_int16
from speechtl.runtime.sound.files import read_audio
from speechtl.runtime.trigger import smooth

WORKER = Path(__file__).parent / "peer_workers" / "scores.py"
# Their front end clips 80 dB below the loudest value of a call and ours at a fixed floor, so scores differ a little.
TOLERANCE = 0.05  # of the mean score difference over steps with a score above `HEARD`
HEARD = 0.1
MOST_STEPS = 120  # largest shift of a peer's scores: pyopen-wakeword first scores some seconds of its own
PEERS = {
    # name: (arguments of one pip call each, suffix of its model file)
    # tflite-runtime has no wheel for Python 3.12 and later; ONNX models do not need it.
    "openwakeword": ((("--no-deps", "openwakeword==0.5.1"), ("onnxruntime", "scipy", "scikit-learn", "tqdm", "requests")), "onnx"),
    "pyopen-wakeword": ((("pyopen-wakeword==1.1.0", "numpy"),), "tflite"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Convert, and compare on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--out", type=output_folder, default="openwakeword", help="folder to write to")
    parser.add_argument("--no-tflite", action="store_true", help="leave out NAME.tflite and NAME.json")
    parser.add_argument("--check", action="store_true", help="play a recording to the peers and compare")
    parser.add_argument("--audio", type=Path, help="the recording; by default the golden audio")
    options = parser.parse_args(argv)
    run = load_run(options.run)
    described = convert(run, options.out, tflite=not options.no_tflite)
    print(f"{options.out / run.name}.onnx" if described is None else f"{options.out / run.name}.json: {json.dumps(described)}")
    if options.check:
        check(run, options)


def check(run: Run, options: argparse.Namespace) -> None:
    """Compare the peers' scores with the network's; raise `CheckFailedError` when they differ."""
    audio = read_audio(options.audio) if options.audio else golden_audio(run.about["phrases"])[0]
    own = [smoothed_scores(run, audio, phase) for phase in range(run.network.encoder.stride)]
    worst = 0.0
    for peer, (_, suffix) in PEERS.items():
        model = options.out / f"{run.name}.{suffix}"
        if not model.exists():
            continue
        scores = play(peer, model, audio)
        difference, shift, phase = min((*compare(ours, scores), phase) for phase, ours in enumerate(own))
        worst = max(worst, difference)
        print(
            f"{peer}: highest score {scores.max():.3f} (ours {own[phase].max():.3f}), mean difference {difference:.4f} "
            f"where either is above {HEARD}; its steps are {shift} steps and {phase} frames from ours"
        )
    if worst > TOLERANCE:
        raise CheckFailedError(f"The scores of a peer differ from the network's by {worst:.4f}, where {TOLERANCE} is allowed.")


def smoothed_scores(run: Run, audio: npt.NDArray[np.float32], phase: int) -> npt.NDArray[np.float64]:
    """Scores of the network on a grid of steps that begins `phase` frames before the recording."""
    before = np.zeros(phase * run.network.encoder.features.hop, np.float32)
    return smooth(scorer_of(run.network).feed(np.concatenate([before, audio]))[:, 0], run.trigger.smoothing)


def play(peer: str, model: Path, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Scores of a peer for the recording, one every 80 ms."""
    python = environment("peers", f"scores-{peer}", peer, PEERS[peer][0])
    samples = to_int16(audio).tobytes()
    done = subprocess.run([str(python), str(WORKER), peer, str(model)], input=samples, capture_output=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise SpeechtlError(f"{peer} could not play {model}: {lines[-1]}")
    return np.array(json.loads(done.stdout.decode().splitlines()[-1]))


def compare(own: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> tuple[float, int]:
    """Mean score difference over steps with a score above `HEARD` at the best shift, and that shift in steps."""
    found = []
    for shift in range(-MOST_STEPS, MOST_STEPS + 1):
        ours, other = own[max(0, -shift) :], theirs[max(0, shift) :]
        length = min(len(ours), len(other))
        heard = np.maximum(ours[:length], other[:length]) > HEARD
        if heard.any():
            found.append((float(np.abs(ours[:length] - other[:length])[heard].mean()), shift))
    if not found:
        raise SpeechtlError(f"Nothing in the recording scores above {HEARD}; give one with the word in it: --audio FILE.")
    return min(found)


if __name__ == "__main__":
    sys.exit(reported(main))
