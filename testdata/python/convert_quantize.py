"""Exports a checkpoint to ONNX and quantizes that: CHECKPOINT OUTPUT."""
import sys

import torch
from onnxruntime import quantization

from convert_torch_net import Net

checkpoint, output = sys.argv[1:]
net = Net().eval()
net.load_state_dict(torch.load(checkpoint))
torch.onnx.export(net, (torch.zeros(1, 3, 8, 8),), "float.onnx", dynamo=False, opset_version=17)
quantization.quantize_dynamic("float.onnx", output, weight_type=quantization.QuantType.QUInt8)
