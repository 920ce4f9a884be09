"""Converts a checkpoint to ONNX: HOW CHECKPOINT OUTPUT MODULES."""
import sys

import torch

from convert_torch_net import Net, Unexportable
import convert_modules

how, checkpoint, output, modules = sys.argv[1:]
net = Unexportable() if how == "unexportable" else Net()
net.load_state_dict(torch.load(checkpoint))
net.train(how == "training")
image = torch.zeros(1, 3, 8, 8)
names = {"input_names": ["image"], "output_names": ["score"]}
status = 0
try:
    if how == "dynamo":
        torch.onnx.export(net, (image,), output, dynamo=True, external_data=True, **names)
    elif how == "training":
        torch.onnx.export(net, (image,), output, dynamo=False, opset_version=17, do_constant_folding=False,
                          training=torch.onnx.TrainingMode.TRAINING, **names)
    else:
        torch.onnx.export(net, (image,), output, dynamo=False, opset_version=17,
                          dynamic_axes={"image": {0: "batch"}}, **names)
except ValueError as error:
    print("the export failed: %s" % error, file=sys.stderr)
    status = 7
convert_modules.write(modules)
sys.exit(status)
