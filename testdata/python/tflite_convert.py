"""Converts a SavedModel to TensorFlow Lite: FOLDER OUTPUT."""
import sys

import tensorflow as tf

folder, output = sys.argv[1:]
converter = tf.lite.TFLiteConverter.from_saved_model(folder)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
with open(output, "wb") as file:
    file.write(converter.convert())
