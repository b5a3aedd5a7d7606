"""The example for browsers, in Node with the oldest ONNX Runtime Web that reads our graphs."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from speechtl.export.bundle import export_run

EXAMPLE = Path(__file__).parents[3] / "export" / "web" / "wake.js"
RUNTIME = "onnxruntime-web@1.17.3"
PROGRAM = """
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
const [place, path, chunk] = process.argv.slice(2);
const ort = createRequire(place)("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const { compare, openBundle } = await import(EXAMPLE);
const content = await readFile(path);
const bundle = await openBundle(content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength));
for (const graph of Object.keys(bundle.about.graphs)) console.log(JSON.stringify(await compare(bundle, graph, ort, Number(chunk))));
"""


@pytest.fixture(scope="module")
def compare(tmp_path_factory):
    """Compare every graph of a bundle as the page does; skipped where Node or ONNX Runtime Web cannot be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node and npm are not installed")
    folder = tmp_path_factory.mktemp("web")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), RUNTIME]
    if subprocess.run(command, capture_output=True, timeout=300, check=False).returncode:
        pytest.skip(f"{RUNTIME} cannot be installed here")
    program = folder / "compare.mjs"
    program.write_text(PROGRAM.replace("EXAMPLE", json.dumps(EXAMPLE.as_uri())), encoding="utf-8")

    def run(bundle: Path, chunk: int) -> list[dict]:
        arguments = ["node", str(program), f"{folder}/", str(bundle), str(chunk)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [441, 16_000])
def test_graphs_give_the_golden_scores_in_javascript(compare, recorded_run, tmp_path, chunk):
    export_run(recorded_run(head="conv"), tmp_path / "burst.wake", tflite=False)
    small, exact = compare(tmp_path / "burst.wake", chunk)
    assert (small["graph"], small["ok"], exact["graph"], exact["ok"]) == ("model.int8.onnx", True, "model.onnx", True)
    assert exact["difference"] < 1e-5
    assert len(exact["scores"]) == len(exact["expected"]) > 50
