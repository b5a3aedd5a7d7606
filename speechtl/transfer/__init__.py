"""The transfer core: cut off the output layer of a pretrained network, attach new layers, and train as many layers as the data allows.

It works on tensors and layers, and knows nothing of audio or images.
"""

from speechtl.transfer.batches import ExampleBatches, group_outputs
from speechtl.transfer.checkpoint import load_tensors, load_weights, save_tensors
from speechtl.transfer.fit import Batch, Batches, FitSettings, fit
from speechtl.transfer.heads import Standardize, Task, TaskHead, TaskLoss, balance
from speechtl.transfer.network import Encoder, EncoderInfo, InputSpec, SourceNetwork, TransferNetwork, attach, check_inputs, cut, take_apart
from speechtl.transfer.policy import AllLayers, GradualUnfreeze, HeadOnly, LastLayers, Policy, at_one_rate, parse_policy

__all__ = [
    "AllLayers",
    "Batch",
    "Batches",
    "Encoder",
    "EncoderInfo",
    "ExampleBatches",
    "FitSettings",
    "GradualUnfreeze",
    "HeadOnly",
    "InputSpec",
    "LastLayers",
    "Policy",
    "SourceNetwork",
    "Standardize",
    "Task",
    "TaskHead",
    "TaskLoss",
    "TransferNetwork",
    "at_one_rate",
    "attach",
    "balance",
    "check_inputs",
    "cut",
    "fit",
    "group_outputs",
    "load_tensors",
    "load_weights",
    "parse_policy",
    "save_tensors",
    "take_apart",
]
