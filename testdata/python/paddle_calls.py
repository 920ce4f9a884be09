"""Saves a small Paddle network and converts it to ONNX; see bind.py."""
import os

import paddle
import paddle2onnx

import bind

paddle.seed(3)
net = paddle.nn.Sequential(paddle.nn.Conv2D(1, 2, 3), paddle.nn.BatchNorm2D(2), paddle.nn.Dropout(0.5), paddle.nn.Flatten(), paddle.nn.Linear(72, 2))
net.eval()
image = paddle.static.InputSpec([1, 1, 8, 8], "float32", name="image")
saved = os.environ["HOME"] + "/net"

bind.run({
    "save": (paddle.jit.save, (net, saved, [image]), {}),
    "export": (paddle2onnx.export, (saved + ".json", saved + ".pdiparams", "export.onnx"), {"opset_version": 13, "optimize_tool": "None"}),
    "layer": (paddle2onnx.dygraph2onnx, (net, "layer.onnx"), {"input_spec": [image], "opset_version": 13}),
    "onnx": (paddle.onnx.export, (net, "onnx"), {"input_spec": [image], "opset_version": 13}),
    "fail": (paddle2onnx.export, ("nothing.json", ""), {}),
})
