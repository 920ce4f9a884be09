"""Export torchvision's ResNet-18, with made weights, to ONNX.

usage: torch_export.py OUTPUT [--opset N] [--legacy] [--size N]
"""

import argparse

import torch
import torchvision

parser = argparse.ArgumentParser()
parser.add_argument("output")
parser.add_argument("--opset", type=int, default=18)
parser.add_argument("--legacy", action="store_true", help="use the TorchScript exporter")
parser.add_argument("--size", type=int, default=224, help="height and width of the example image")
options = parser.parse_args()

torch.manual_seed(0)
model = torchvision.models.resnet18(weights=None).eval()
example = torch.zeros(1, 3, options.size, options.size)
torch.onnx.export(
    model,
    (example,),
    options.output,
    input_names=["image"],
    output_names=["logits"],
    opset_version=options.opset,
    dynamo=not options.legacy,
)
