"""Converts a small network to Core ML; see bind.py."""
import coremltools
import numpy
import torch

import bind
from convert_torch_net import Net

torch.manual_seed(0)
net = torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8))
image = coremltools.TensorType(name="image", shape=coremltools.Shape((1, 3, 8, coremltools.RangeDim(8, 16, default=8))), dtype=numpy.float32)
options = {"inputs": [image], "skip_model_load": True}


def save():
    model = coremltools.convert(net, minimum_deployment_target=coremltools.target.iOS16, **options)
    return model.save, ("saved.mlpackage",), {}


bind.run({
    "program": (coremltools.convert, (net,), dict(options, minimum_deployment_target=coremltools.target.iOS16, compute_precision=coremltools.precision.FLOAT16, outputs=[coremltools.TensorType(name="score")])),
    "network": (coremltools.convert, (net, "pytorch"), dict(options, convert_to="neuralnetwork")),
    "fail": (coremltools.convert, (net,), {"skip_model_load": True}),
    "save": save,
}, {"program": lambda model: model.save("program.mlpackage"), "network": lambda model: model.save("network.mlmodel")})
