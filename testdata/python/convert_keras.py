"""Makes, or converts, a small Keras network: HOW SOURCE OUTPUT MODULES."""
import sys

import keras
import tensorflow as tf

import convert_modules

how, source, output, modules = sys.argv[1:]
if source == "-":
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.25)(x))
    net = keras.Model(image, keras.layers.Dense(2, name="score")(x))
    net.compile(optimizer="sgd", loss="mse")
    net.fit(tf.random.uniform((4, 8, 8, 3), seed=1), tf.zeros((4, 2)), verbose=0)
else:
    net = keras.models.load_model(source)
if how == "keras":
    net.save(output)
elif how == "saved_model":
    net.export(output, verbose=False)
elif how == "onnx":
    import tf2onnx

    signature = (tf.TensorSpec((None, 8, 8, 3), tf.float32, name="image"),)
    tf2onnx.convert.from_keras(net, input_signature=signature, opset=15, output_path=output)
convert_modules.write(modules)
