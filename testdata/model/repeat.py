"""Converts one model with real exporters, for the test that two conversions
give one canonical digest.

    python repeat.py torch|tensorflow FOLDER [NAMES]

NAMES go into the names of layers, files and what else a user may choose. The
numbers are the same each time.
"""
import os
import pathlib
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
OUT = pathlib.Path(sys.argv[2])
NAMES = sys.argv[3]


def with_torch():
    import logging
    logging.disable(logging.WARNING)
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            layers = {"conv": nn.Conv2d(1, 4, 3), "bn": nn.BatchNorm2d(4), "branch": nn.Conv2d(4, 4, 1), "other": nn.Conv2d(4, 4, 1), "fc": nn.Linear(4, 2)}
            for name, layer in layers.items():
                setattr(self, NAMES + name, layer)

        def forward(self, x):
            layer = lambda name: getattr(self, NAMES + name)
            x = torch.relu(layer("bn")(layer("conv")(x)))
            x = layer("branch")(x) * torch.sigmoid(layer("other")(x))
            return layer("fc")(x.mean((2, 3)))

    torch.manual_seed(0)
    model, image = Block().eval(), torch.zeros(2, 1, 8, 8)
    torch.onnx.export(model, (image,), OUT / f"{NAMES}torchscript.onnx", dynamo=False, opset_version=17, input_names=[NAMES + "x"],
                      dynamic_axes={NAMES + "x": {0: NAMES + "batch"}})
    torch.onnx.export(model, (image,), OUT / f"{NAMES}dynamo.onnx", dynamo=True, opset_version=20, verbose=False,
                      external_data=NAMES == "a", dynamic_shapes=({0: torch.export.Dim(NAMES + "batch", max=64)},))


def with_tensorflow():
    import keras
    import numpy
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 1), name=NAMES + "x")
    y = keras.layers.Conv2D(4, 3, name=NAMES + "conv")(x)
    y = keras.layers.ReLU()(keras.layers.BatchNormalization(name=NAMES + "bn")(y))
    y = keras.layers.Multiply()([keras.layers.Conv2D(4, 1)(y), keras.layers.Conv2D(4, 1, activation="sigmoid")(y)])
    y = keras.layers.Dense(2, name=NAMES + "fc")(keras.layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, y, name=NAMES + "net")
    numbers = numpy.random.default_rng(1)
    for w in model.weights:
        w.assign(numbers.uniform(0.5, 1.5, w.shape).astype("float32"))
    model.export(OUT / f"{NAMES}saved", verbose=False)
    function = tf.function(lambda x: model(x, training=False))
    spec = tf.TensorSpec((None, 8, 8, 1), tf.float32, name=NAMES + "x")
    tf2onnx.convert.from_function(function, [spec], opset=17, output_path=str(OUT / f"{NAMES}tf2onnx.onnx"))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(OUT / f"{NAMES}saved"))
    (OUT / f"{NAMES}float.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([numpy.random.default_rng(i).random((1, 8, 8, 1), "float32")] for i in range(4))
    (OUT / f"{NAMES}int8.tflite").write_bytes(converter.convert())


{"torch": with_torch, "tensorflow": with_tensorflow}[sys.argv[1]]()
