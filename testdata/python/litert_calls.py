"""Converts a small torch network to LiteRT; see bind.py."""
import litert_torch
import torch

import bind
from convert_torch_net import Net

torch.manual_seed(0)
net = Net().eval()
image = (torch.zeros(1, 3, 8, 8),)


def several():
    return litert_torch.signature("serve", net, image).convert, (), {"strict_export": False}


def export():
    return litert_torch.convert(net, image).export, ("exported.tflite",), {}


def write(name):
    def done(model):
        with open(name, "wb") as file:
            file.write(model.model_content())

    return done


bind.run({
    "convert": (litert_torch.convert, (net, image), {"enable_x64": True}),
    "signature": (litert_torch.signature, ("serve", net, image), {}),
    "several": several,
    "export": export,
    "fail": (litert_torch.convert, (net,), {}),
}, {"convert": write("convert.tflite"), "several": write("several.tflite")})
