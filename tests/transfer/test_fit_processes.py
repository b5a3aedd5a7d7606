import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

PROGRAM = """
import sys
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from speechtl.transfer import AllLayers, FitSettings, attach, fit
from speechtl.transfer.network import Encoder, EncoderInfo, InputSpec

class Batches:
    def __len__(self):
        return 6
    def epoch(self, number):
        for index in range(6):
            random = torch.Generator().manual_seed(100 * number + index)
            inputs = torch.randn(8, 4, generator=random)
            yield inputs, inputs.sum(dim=1, keepdim=True)

torch.set_num_threads(1)
torch.manual_seed(0)
groups = {"one": torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.ReLU())}
network = attach(Encoder(groups, EncoderInfo("toy", InputSpec("numbers"), 5)), torch.nn.Linear(5, 1))
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
history = fit(network, Batches(), torch.nn.functional.mse_loss, AllLayers(), FitSettings(epochs=3, learning_rate=0.05), fabric=fabric)
save_file(network.state_dict(), f"{sys.argv[1]}/{fabric.global_rank}.safetensors")
assert history[-1]["loss"] < history[0]["loss"]
fabric.barrier()
torch.distributed.destroy_process_group()  # without it a process may be aborted at its end, when the other is gone
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_statistics(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(program), str(tmp_path)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert not torch.equal(first["encoder.groups.one.1.running_mean"], torch.zeros(5))
