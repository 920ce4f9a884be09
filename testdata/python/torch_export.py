"""Exports a small network to ONNX in several ways; see bind.py."""
import inspect
import io
import pathlib
import warnings

import torch
from torch.onnx import export

import bind


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.dropout = torch.nn.Dropout(0.5)
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(self.dropout(self.norm(self.convolution(x))).mean((2, 3)))


class Unexportable(torch.nn.Module):
    def forward(self, x):
        raise ValueError("no such layer: %d" % x.shape[1])


def saved():
    """The way the documentation shows: export first, save later."""
    program = bind.made(export, model, (image,), dynamo=True, verbose=False)
    return type(program).save, (program, "saved.onnx"), {"include_initializers": True}


def halved(x):
    return x / 2


torch.manual_seed(0)
model = Small().eval()
image = torch.zeros(1, 3, 8, 8)
# torch 2.1 has neither of these.
batch = torch.export.Dim("batch", min=1, max=64) if hasattr(torch.export, "Dim") else None
legacy = {"dynamo": False} if "dynamo" in inspect.signature(export).parameters else {}
named = {"input_names": ["image"], "output_names": ["score"]}

warnings.warn("one of the script's own")
bind.run({
    "legacy": (torch.onnx.export, (model, (image,), "legacy.onnx"), dict(named, opset_version=17, dynamic_axes={"image": {0: "batch"}}, **legacy)),
    # The whole Python stack of each operator goes into the file.
    "verbose": (torch.onnx.export, (model, (image,), "verbose.onnx"), {"dynamo": False, "verbose": True}),
    "training": (torch.onnx.export, (Small().train(), (image,), pathlib.Path("training.onnx")), dict(legacy, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)),
    "buffer": (export, (model, (image,), io.BytesIO()), legacy),
    # Weights go into a second file. dynamo is given its default.
    "dynamo": (export, (model,), dict(named, args=(torch.zeros(2, 3, 8, 8),), f="dynamo.onnx", dynamo=True, dynamic_shapes={"x": {0: batch}})),
    "saved": saved,
    "export": (torch.export.export, (model,), {"args": (torch.zeros(2, 3, 8, 8),), "dynamic_shapes": {"x": {0: batch}}, "strict": True}),
    "export_plain": (torch.export.export, (model, (image,)), {}),
    "dynamo_export": lambda: (torch.onnx.dynamo_export, (model, image), {}),
    "export_save": lambda: (torch.export.save, (bind.made(torch.export.export, model, (image,)), "exported.pt2"), {"extra_files": {"labels.txt": "cat, dog"}}),
    # In older versions the time goes into the file.
    "export_buffer": lambda: (torch.export.save, (bind.made(torch.export.export, model, (image,)), io.BytesIO()), {}),
    "trace": (torch.jit.trace, (model, image), {"check_trace": False}),
    "trace_module": (torch.jit.trace_module, (model, {"forward": image}), {}),
    "script": (torch.jit.script, (Small(),), {}),
    # A function that is scripted is no model.
    "script_function": lambda: (torch.jit.script(halved).save, ("halved.pt",), {}),
    "jit_save": lambda: (torch.jit.save, (bind.made(torch.jit.trace, model, image), pathlib.Path("traced.pt")), {"_extra_files": {"labels.txt": "cat, dog"}}),
    "method_save": lambda: (torch.jit.RecursiveScriptModule.save, (bind.made(torch.jit.script, model), "scripted.pt"), {}),
    "fail": (torch.onnx.export, (Unexportable(), (image,), "fail.onnx"), legacy),
    "wrong": (torch.onnx.export, (model,), {"opset": 17}),
})
