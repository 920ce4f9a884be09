"""Converts small networks to ONNX by tf2onnx's Python interface; see bind.py."""
import logging
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tensorflow as tf
from tf2onnx import convert, utils

import bind

logging.basicConfig()
keras.utils.set_random_seed(0)
image = keras.Input((8,), name="x")
model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(image)))
pair = tf.TensorSpec((2,), tf.float32, name="x")


@tf.function
def double(x):
    return tf.nn.relu(x * 2.0)


def saved_model():
    """Not a conversion to ONNX: makes what the command line converts."""
    module = tf.Module()
    module.double = double
    signature = double.get_concrete_function(pair)
    return tf.saved_model.save, (module, "saved", signature), {}


def graph_def():
    graph = double.get_concrete_function(pair).graph.as_graph_def()
    return convert.from_graph_def, (graph,), {"input_names": ["x:0"], "output_names": ["Identity:0"], "opset": 15}


def tflite():
    converter = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function(pair)], double)
    with open("double.tflite", "wb") as file:
        file.write(converter.convert())
    return convert.from_tflite, ("double.tflite",), {"opset": 15, "output_path": "tflite.onnx"}


bind.run({
    "keras": (convert.from_keras, (model, (tf.TensorSpec((None, 8), tf.float32, name="x"),)), {"opset": 15, "output_path": "keras.onnx"}),
    "function": (convert.from_function, (double, [pair]), {"opset": 15, "output_path": "function.onnx", "extra_opset": [utils.make_opsetid("example", 1)]}),
    "graph_def": graph_def,
    "tflite": tflite,
    # tf2onnx needs the signature of a Keras 3 model.
    "fail": (convert.from_keras, (model,), {"output_path": "fail.onnx"}),
    "saved_model": saved_model,
})
