"""Saves, freezes and converts small networks with TensorFlow; see bind.py."""
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import bind

keras.utils.set_random_seed(7)
image = keras.Input((8, 8, 1), name="image")
model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(keras.layers.Dropout(0.5)(image)))))


@tf.function(input_signature=[tf.TensorSpec((2,), tf.float32, name="x")])
def double(x):
    return tf.nn.relu(x * 2.0)


def samples():
    for _ in range(3):
        yield [numpy.zeros((1, 8, 8, 1), numpy.float32)]


module = tf.Module()
module.double = double
concrete = double.get_concrete_function()
lite = tf.lite.TFLiteConverter
folder = os.environ["HOME"] + "/saved"


def write(name):
    def done(content):
        with open(name, "wb") as file:
            file.write(content)

    return done


def of_keras():
    converter = lite.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = tf.lite.RepresentativeDataset(samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel = True
    return converter.convert, (), {}, "self"


def of_functions():
    converter = lite.from_concrete_functions([concrete], module)
    converter.target_spec.supported_types = [tf.float16]
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert, (), {}, "self"


def of_folder():
    return lite.from_saved_model(folder).convert, (), {}, "self"


def wrong():
    """An integer input without a representative data set."""
    converter = lite.from_keras_model(model)
    converter.inference_input_type = tf.int8
    return converter.convert, (), {}, "self"


def freeze():
    """The way of TensorFlow 1, in a graph and a session."""
    with tf.Graph().as_default() as graph:
        variable = tf.compat.v1.get_variable("w", (2,), use_resource=False)
        tf.multiply(variable, 2.0, name="y")
        session = tf.compat.v1.Session()
        session.run(tf.compat.v1.global_variables_initializer())
    return tf.compat.v1.graph_util.convert_variables_to_constants, (session, graph.as_graph_def(), ["y"]), {}


bind.run({
    "save": (model.save, ("net.keras",), {}),
    "h5": (model.save, ("net.h5",), {"overwrite": False}),
    "save_model": (keras.saving.save_model, (model, "same.keras"), {"zipped": True}),
    "export": (model.export, ("exported",), {"verbose": False, "input_signature": [keras.InputSpec(shape=(1, 8, 8, 1), dtype="float32", name="image")]}),
    "freeze_v2": (convert_variables_to_constants_v2, (concrete,), {"aggressive_inlining": True}),
    "freeze": freeze,
    "saved": (tf.saved_model.save, (module, folder), {"signatures": concrete, "options": tf.saved_model.SaveOptions(experimental_io_device="/job:localhost")}),
    "from_keras": (lite.from_keras_model, (model,), {}),
    "from_functions": (lite.from_concrete_functions, ([concrete],), {"trackable_obj": module}),
    "from_folder": (lite.from_saved_model, (folder,), {"signature_keys": ["serving_default"]}),
    "keras": of_keras,
    "functions": of_functions,
    "folder": of_folder,
    "wrong": wrong,
}, {"keras": write("keras.tflite"), "functions": write("functions.tflite"), "folder": write("folder.tflite")})
