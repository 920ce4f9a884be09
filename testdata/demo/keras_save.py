"""Make a small Keras model and save it as a SavedModel, for tf2onnx.

usage: keras_save.py FOLDER
"""

import sys

import keras

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.layers.Input((32, 32, 3), name="image"),
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, name="logits"),
    ]
)
model.export(sys.argv[1])
