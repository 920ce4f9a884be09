"""Converts small networks with OpenVINO; see bind.py."""
import os

import onnx
import openvino
import torch

import bind
from convert_torch_net import Net

torch.manual_seed(0)
net = Net().eval()
image = torch.zeros(1, 3, 8, 8)
path = os.environ["HOME"] + "/relu.onnx"


def made():
    """The model that the command ovc converts, too."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, ["n", 2])], [value("y", 1, ["n", 2])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return onnx.save, (model, path), {}


def save(name):
    return lambda model: openvino.save_model(model, name, compress_to_fp16=False)


bind.run({
    "made": made,
    "torch": (openvino.convert_model, (net,), {"example_input": image, "input": [("x", openvino.PartialShape([-1, 3, 8, 8]), openvino.Type.f32)]}),
    "onnx": (openvino.convert_model, (path, {"x": [1, 2]}), {"share_weights": False}),
    "fail": (openvino.convert_model, (path,), {"output": "nothing"}),
}, {"torch": save("torch.xml"), "onnx": save("onnx.xml")})
