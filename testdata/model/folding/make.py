"""Makes the files of this folder again: trained weights, and the frozen models
that converters made of them.

    python make.py torch [FOLDER]         with torch, onnx, onnxruntime, safetensors
    python make.py tensorflow [FOLDER]    with tensorflow, keras, tf2onnx

convolutions.* are of a network whose five batch normalizations can all be
folded but the last, which stands behind a ReLU.
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
OUT = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE


def torch_files():
    import logging
    logging.disable(logging.WARNING)
    import onnx
    import onnxruntime
    import torch
    from onnx import numpy_helper
    from safetensors.torch import save_file
    from torch import nn

    class Convolutions(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)
            self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4, eps=1e-3)
            self.conv3, self.bn3 = nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, affine=False)
            self.deconv, self.bn4 = nn.ConvTranspose2d(6, 3, 2), nn.BatchNorm2d(3)
            self.bn5 = nn.BatchNorm2d(3)

        def forward(self, x):
            x = torch.relu(self.bn1(self.conv1(x)))
            x = torch.relu(self.bn2(self.conv2(x)))
            x = torch.relu(self.bn3(self.conv3(x)))
            return self.bn5(torch.relu(self.bn4(self.deconv(x)))).mean((2, 3))

    torch.manual_seed(3)
    model = Convolutions().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 1, 8, 8)).square().sum().backward()
        optimizer.step()
    model.eval()
    state = model.state_dict()
    torch.save(state, OUT / "convolutions.pt")
    torch.save(nn.ModuleDict(dict(model.named_children())), OUT / "convolutions_module.pt")
    shifted = {k: v + 0.5 if v.is_floating_point() else v for k, v in state.items()}
    torch.save({"model": shifted, "ema": state, "optimizer": optimizer.state_dict()}, OUT / "convolutions_checkpoint.pt")
    save_file(state, OUT / "convolutions.safetensors")
    save_file(shifted, OUT / "shifted.safetensors")

    image = torch.zeros(1, 1, 8, 8)
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(model, (image,), OUT / "torchscript.onnx", dynamo=False, opset_version=17, **names)
    torch.onnx.export(model, (image,), OUT / "unfolded.onnx", dynamo=False, opset_version=17, do_constant_folding=False, **names)
    torch.onnx.export(model, (image,), OUT / "dynamo.onnx", dynamo=True, opset_version=20, external_data=False, verbose=False, **names)
    for path in ("dynamo.onnx",):
        m = onnx.load(OUT / path)
        for n in m.graph.node:  # stack traces hold paths of the machine
            kept = [p for p in n.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
            del n.metadata_props[:]
            n.metadata_props.extend(kept)
        onnx.save(m, OUT / path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(OUT / "onnxruntime.onnx")
    onnxruntime.InferenceSession(str(OUT / "unfolded.onnx"), options, providers=["CPUExecutionProvider"])

    def altered(name, pick, change):
        m = onnx.load(OUT / "torchscript.onnx")
        t = next(t for t in m.graph.initializer if pick(t))
        values = numpy_helper.to_array(t).copy()
        change(values.reshape(-1))
        t.CopyFrom(numpy_helper.from_array(values, t.name))
        onnx.save(m, OUT / name)

    def last(v):
        v[-1] *= 1.001

    altered("altered_weight.onnx", lambda t: list(t.dims) == [6, 4, 1, 1], last)
    altered("altered_bias.onnx", lambda t: list(t.dims) == [6], last)
    m = onnx.load(OUT / "torchscript.onnx")
    onnx.save(m, OUT / "external.onnx", save_as_external_data=True, location="external.onnx.data", size_threshold=0)


def tensorflow_files():
    import keras
    import numpy
    import tensorflow as tf
    import tf2onnx

    layers = keras.layers
    x = keras.Input((8, 8, 1), name="x")
    y = layers.ReLU()(layers.BatchNormalization(name="bn1")(layers.Conv2D(4, 3, use_bias=False, name="conv1")(x)))
    y = layers.ReLU()(layers.BatchNormalization(name="bn2", epsilon=1e-5)(layers.DepthwiseConv2D((2, 3), use_bias=False, name="conv2")(y)))
    y = layers.ReLU()(layers.BatchNormalization(name="bn3", scale=False)(layers.Conv2D(6, (2, 1), use_bias=False, name="conv3")(y)))
    y = layers.BatchNormalization(name="bn4")(y)
    model = keras.Model(x, layers.GlobalAveragePooling2D()(y), name="net")
    numbers = numpy.random.default_rng(1)
    for w in model.weights:
        w.assign(numbers.uniform(0.5, 1.5, w.shape).astype("float32"))
    model.save(OUT / "keras.h5")
    spec = tf.TensorSpec((None, 8, 8, 1), tf.float32, name="x")
    tf2onnx.convert.from_function(tf.function(lambda x: model(x, training=False)), [spec], opset=17, output_path=str(OUT / "tf2onnx.onnx"))


{"torch": torch_files, "tensorflow": tensorflow_files}[sys.argv[1]]()
