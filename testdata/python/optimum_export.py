"""Exports small transformers, made from their configuration, by optimum; see
bind.py."""
import os
import pathlib

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from optimum.exporters import onnx as exporter
from optimum.exporters.onnx.model_configs import BertOnnxConfig

import bind

torch.manual_seed(0)
config = transformers.BertConfig(vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16)
model = transformers.BertModel(config).eval()
small = {"batch_size": 1, "sequence_length": 4}


def from_folder():
    model.save_pretrained("bert")
    return exporter.main_export, ("bert",), dict(small, output="main", task="feature-extraction", do_validation=False, local_files_only=True)


print(sum(p.numel() for p in model.parameters()), sum(isinstance(m, torch.nn.Dropout) for m in model.modules()))
bind.run({
    "main": from_folder,
    "model": (exporter.onnx_export_from_model, (model, pathlib.Path("model")), dict(small, task="feature-extraction", opset=17, do_validation=False)),
    "export": (exporter.export, (model, BertOnnxConfig(config, task="feature-extraction"), pathlib.Path("bert.onnx")), {"opset": 17, "input_shapes": small}),
})
