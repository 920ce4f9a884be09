"""Makes the TensorFlow fixtures of this folder again.

    python make.py              with tensorflow and keras

The versions are those of testdata/python/tensorflow.txt. Files go beside this
script, or to the folder given as the argument; a second argument names the one
function below whose files are made.

The network of most files is conv1 → bn1 → ReLU → dropout → conv2 → ReLU → bn2 →
pool → dropout → fc: bn1 can be merged into conv1, bn2 cannot. `inference` and
`training` are the mode in which the model was traced.
"""
import os
import pathlib
import random
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))

IMAGE = tf.TensorSpec((None, 8, 8, 1), tf.float32, name="x")
ROW = tf.TensorSpec((None, 4), tf.float32, name="x")


def network(regularizer=None):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(2, 3, use_bias=False, name="conv1", kernel_regularizer=regularizer),
        layers.BatchNormalization(name="bn1"),
        layers.ReLU(),
        layers.Dropout(0.25, name="drop1", seed=1),
        layers.Conv2D(3, 3, activation="relu", name="conv2"),
        layers.BatchNormalization(name="bn2"),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.5, name="drop2", seed=2),
        layers.Dense(2, name="fc"),
    ])


class Traced(tf.Module):
    """A model with one function, which runs it in one mode."""

    def __init__(self, model, training, spec=IMAGE):
        super().__init__()
        self.model = model
        self.seeds = [layer.seed_generator.state.value for layer in model.layers if hasattr(layer, "seed_generator")]
        self.call = tf.function(lambda x: model(x, training=training), input_signature=[spec])

    def signatures(self, *names):
        return {name: getattr(self, name).get_concrete_function() for name in names}


# --- TFLite -----------------------------------------------------------------

def tflite(name, function, module=None, flex=False):
    lite(name, tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module), flex)


def lite(name, converter, flex=False, **settings):
    if flex:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    for key, value in settings.items():
        setattr(converter, key, value)
    (OUT / f"{name}.tflite").write_bytes(converter.convert())


class Trainer(tf.Module):
    """A model that a device goes on training, with a function for each task:
    https://www.tensorflow.org/lite/examples/on_device_training/overview."""

    def __init__(self, clip=False, decay=False):
        super().__init__()
        self.w = tf.Variable([[0.5], [0.25], [0.125], [1.0]], name="w")
        self.b = tf.Variable([0.0], name="b")
        self.clip, self.decay = clip, decay

    @tf.function(input_signature=[ROW, tf.TensorSpec((None, 1), tf.float32, name="y")])
    def train(self, x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.matmul(x, self.w) + self.b - y))
            if self.decay:
                loss += 0.01 * tf.reduce_sum(tf.square(self.w))
        gradients = tape.gradient(loss, [self.w, self.b])
        if self.clip:
            gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
        for variable, gradient in zip([self.w, self.b], gradients):
            variable.assign_sub(0.1 * gradient)
        return {"loss": loss}

    @tf.function(input_signature=[ROW])
    def infer(self, x):
        return {"output": tf.matmul(x, self.w) + self.b}

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, name="checkpoint_path")])
    def save(self, checkpoint_path):
        tf.raw_ops.Save(filename=checkpoint_path, tensor_names=["w", "b"], data=[self.w.read_value(), self.b.read_value()])
        return {"checkpoint_path": checkpoint_path}

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, name="checkpoint_path")])
    def restore(self, checkpoint_path):
        for name, variable in (("w", self.w), ("b", self.b)):
            variable.assign(tf.raw_ops.Restore(file_pattern=checkpoint_path, tensor_name=name, dt=tf.float32))
        return {"w": self.w.read_value()}

    def signatures(self, *names):
        return {name: getattr(self, name).get_concrete_function() for name in names}


def from_signatures(name, module, *names):
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=module.signatures(*names))
        lite(name, tf.lite.TFLiteConverter.from_saved_model(folder), flex=True, experimental_enable_resource_variables=True)


def function(spec, call):
    return tf.function(call, input_signature=[spec])


def fused(x, training):
    return fused_all(x, training)[0]


def fused_all(x, training):
    """All outputs of the operator: TFLite has no operators for those behind the first."""
    ones, zeros = tf.constant([1.0]), tf.constant([0.0])
    empty = tf.constant([], tf.float32)
    made = tf.raw_ops.FusedBatchNormV3(x=x, scale=ones, offset=zeros, mean=empty if training else zeros + 0.5,
                                       variance=empty if training else ones * 2, is_training=training)
    return made.y, made.reserve_space_1, made.reserve_space_2


# Functions that show one rule each; they are written in several formats.
def rules():
    w = tf.constant(np.arange(8, dtype=np.float32).reshape(4, 2))
    image = lambda call: (IMAGE, call)
    row = lambda call: (ROW, call)

    def batch_statistics(x):
        mean, variance = tf.nn.moments(x, [0])
        return (x - mean) * tf.math.rsqrt(variance + 1e-3)

    def layer_statistics(x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1e-3)

    return {
        "plain": row(lambda x: tf.matmul(x, w)),
        "dropout": row(lambda x: tf.nn.dropout(tf.matmul(x, w), 0.4, seed=1)),
        "dropout_stateless": row(lambda x: tf.nn.experimental.stateless_dropout(tf.matmul(x, w), 0.4, seed=[1, 2])),
        "noise": row(lambda x: x + tf.random.normal(tf.shape(x), seed=1)),
        "batch_statistics": row(batch_statistics),
        "layer_statistics": row(layer_statistics),
        "fused_inference": image(lambda x: fused(x, False)),
        "fused_training": image(lambda x: fused(x, True)),
        "branch": row(lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.dropout(x, 0.4, seed=1), lambda: x * 2)),
        "loop": row(lambda x: tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, tf.nn.dropout(v, 0.4, seed=1)), [0, x])[1]),
        "norm_of_activation": row(lambda x: x / tf.sqrt(tf.reduce_sum(tf.square(x)))),
        "clip_of_activation": row(lambda x: tf.clip_by_value(tf.matmul(x, w), 0.0, 6.0)),
    }


def tflite_fixtures():
    model = network()
    lite("network_inference", tf.lite.TFLiteConverter.from_keras_model(model))
    tflite("network_variables", Traced(model, False).call, model)
    from_signatures("network_training", Traced(model, True), "call")
    for name, (spec, call) in rules().items():
        tflite(name, function(spec, call), flex=name in ("dropout_stateless", "fused_training"))
    quantized = network()
    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    samples = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    lite("network_int8", converter, optimizations=[tf.lite.Optimize.DEFAULT],
         representative_dataset=lambda: iter([[samples]]))
    tflite("fused_flex_training", function(IMAGE, lambda x: fused_all(x, True)), flex=True)
    tflite("fused_flex_inference", function(IMAGE, lambda x: fused_all(x, False)), flex=True)
    from_signatures("device_training", Trainer(), "train", "infer", "save", "restore")
    from_signatures("device_clipping", Trainer(clip=True), "train", "infer")
    from_signatures("device_decay", Trainer(decay=True), "train")
    from_signatures("device_infer", Trainer(), "infer", "restore")


# --- SavedModel -------------------------------------------------------------

def saved(name, module, *names):
    """A folder with the module and its functions; what is random in it goes."""
    folder = OUT / f"{name}.saved_model"
    tf.saved_model.save(module, str(folder), signatures=module.signatures(*names), options=SMALL)
    strip(folder)


# Without stack traces, which hold paths of the machine.
SMALL = tf.saved_model.SaveOptions(experimental_debug_stripper=True)


def strip(folder):
    for part in ("fingerprint.pb", "assets"):  # a random number, and an empty folder
        path = folder / part
        if path.is_dir():
            path.rmdir()
        elif path.exists():
            path.unlink()


class One(tf.Module):
    """One function of one signature."""

    def __init__(self, spec, call):
        super().__init__()
        self.call = tf.function(call, input_signature=[spec])

    def signatures(self, *names):
        return {"serving_default": self.call.get_concrete_function()}


def small(k, regularizer=None):
    """Dense, batch normalization and dropout, of Keras 3 or of Keras 2."""
    k.backend.clear_session()
    k.utils.set_random_seed(0)
    return k.Sequential([
        k.layers.Dense(3, name="fc1", kernel_regularizer=regularizer, input_shape=(4,)),
        k.layers.BatchNormalization(name="bn"),
        k.layers.Dropout(0.25, name="drop", seed=1),
        k.layers.Dense(2, name="fc2"),
    ])


def compiled(k):
    model = small(k, k.regularizers.L2(0.01))
    schedule = k.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(k.optimizers.Adam(schedule, clipnorm=1.0), "mse")
    model.fit(np.ones((2, 4), np.float32), np.ones((2, 2), np.float32), verbose=0)
    return model


def saved_model_fixtures():
    model = small(keras)
    saved("network_inference", Traced(model, False, ROW), "call")
    saved("network_training", Traced(model, True, ROW), "call")
    tf.saved_model.save(compiled(keras), str(OUT / "compiled.saved_model"), options=SMALL)
    strip(OUT / "compiled.saved_model")
    saved("dropout", One(*rules()["dropout"]))
    tf1_saved_model("tf1_training", True)
    tf1_saved_model("tf1_inference", False)
    unsigned = One(*rules()["dropout"])
    unsigned.call.get_concrete_function()
    tf.saved_model.save(unsigned, str(OUT / "no_signature.saved_model"), signatures={}, options=SMALL)
    strip(OUT / "no_signature.saved_model")


def keras2_fixtures():
    """With tf_keras 2.21.0, which has to be installed for it."""
    import tf_keras
    compiled(tf_keras).save(str(OUT / "keras2.saved_model"), save_format="tf", options=SMALL)
    strip(OUT / "keras2.saved_model")


# --- TensorFlow 1 -----------------------------------------------------------

v1 = tf.compat.v1


def tf1_network(training):
    x = v1.placeholder(tf.float32, (None, 4), name="x")
    w = v1.get_variable("w", (4, 2), initializer=v1.random_uniform_initializer(seed=1))
    y = tf.matmul(x, w)
    if training is not False:
        y = v1.nn.dropout(y, rate=0.4, seed=1)
    return x, tf.identity(y, name="y")


def tf1_saved_model(name, training):
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = tf1_network(training)
        if training:
            step = v1.train.get_or_create_global_step()
            rate = v1.train.exponential_decay(0.1, step, 10, 0.9)
            optimizer = v1.train.AdamOptimizer(rate)
            loss = tf.reduce_mean(tf.square(y)) + 0.01 * tf.nn.l2_loss(v1.trainable_variables()[0])
            gradients = optimizer.compute_gradients(loss)
            optimizer.apply_gradients([(tf.clip_by_norm(g, 1.0), v) for g, v in gradients], global_step=step)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(OUT / f"{name}.saved_model"), {"x": x}, {"y": y})


def tf1_train_graph(name, clip, schedule, decay, optimizer):
    """A graph that trains, not frozen."""
    with tf.Graph().as_default():
        _, y = tf1_network(False)
        w = v1.trainable_variables()[0]
        step = v1.train.get_or_create_global_step()
        rate = v1.train.exponential_decay(0.1, step, 10, 0.9) if schedule else 0.1
        loss = tf.reduce_mean(tf.square(y))
        if decay:
            loss += 0.01 * tf.reduce_sum(tf.square(w))
        optimizer = optimizer(rate)
        (gradient, _), = optimizer.compute_gradients(loss, [w])
        gradient = {"": lambda g: g, "norm": lambda g: tf.clip_by_norm(g, 1.0), "value": lambda g: tf.clip_by_value(g, -1.0, 1.0)}[clip](gradient)
        optimizer.apply_gradients([(gradient, w)], global_step=step)
        write_graph(name, tf.compat.v1.get_default_graph().as_graph_def())


def write_graph(name, graph):
    (OUT / f"{name}.pb").write_bytes(graph.SerializeToString(deterministic=True))


def frozen(name, function):
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    made = convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)
    write_graph(name, made.graph.as_graph_def())


def small_network(training):
    """One that has no variable, since what is assigned to cannot be frozen."""
    kernel = tf.constant(np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1))

    def call(x):
        x = fused(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), training)
        return tf.nn.dropout(x, 0.4, seed=1) if training else x

    return call


def graph_fixtures():
    model = network()
    frozen("network_inference", Traced(model, False).call)
    frozen("network_training", function(IMAGE, small_network(True)))
    for name, (spec, call) in rules().items():
        if name not in ("clip_of_activation", "fused_training", "fused_inference"):
            frozen(name, function(spec, call))
    sgd, adam = v1.train.GradientDescentOptimizer, v1.train.AdamOptimizer
    tf1_train_graph("train_plain", "", False, False, sgd)
    tf1_train_graph("train_clip_norm", "norm", False, False, sgd)
    tf1_train_graph("train_clip_value", "value", False, False, adam)
    tf1_train_graph("train_schedule", "", True, False, adam)
    tf1_train_graph("train_decay", "", False, True, adam)
    for name, default in (("learning_phase", False), ("learning_phase_constant", None)):
        with tf.Graph().as_default() as graph:
            v1.disable_control_flow_v2()
            x = v1.placeholder(tf.float32, (None, 4), name="x")
            phase = v1.placeholder_with_default(default, (), name="keras_learning_phase") if default is not None else tf.constant(False, name="keras_learning_phase")
            y = v1.cond(phase, lambda: v1.nn.dropout(x, rate=0.4, seed=1), lambda: tf.identity(x))
            tf.identity(y, name="y")
            v1.enable_control_flow_v2()
            write_graph(name, graph.as_graph_def())


# --- Keras ------------------------------------------------------------------

def keras_files(name, model, **settings):
    model.save(OUT / f"{name}.keras", **settings)
    model.save(OUT / f"{name}.h5", **settings)


@keras.saving.register_keras_serializable("mine")
class Mine(layers.Layer):
    def call(self, x):
        return x


def functional():
    """Each kind of layer that a rule is about, nested and called with training=True."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    x = keras.Input((5, 4), name="sequence")
    mask = keras.Input((5,), dtype="bool", name="mask")
    y = layers.Bidirectional(layers.LSTM(2, return_sequences=True, recurrent_dropout=0.2), name="both")(x, mask=mask)
    y = layers.TimeDistributed(layers.Dense(2, kernel_regularizer="l1", name="inner"), name="each")(y)
    inner = keras.Sequential([keras.Input((5, 4)), layers.SpatialDropout1D(0.1, name="spatial"), layers.BatchNormalization(name="nested")], name="block")
    y = inner(layers.Concatenate(name="join")([y, y]))
    forced = layers.Dropout(0.3, name="forced")(y, training=True)
    return keras.Model([x, mask], [layers.Dense(1, name="first")(forced), layers.Flatten(name="second")(y)], name="net")


def keras_fixtures():
    keras_files("inference", plain_network())
    keras_files("network", small(keras))
    keras_files("compiled", compiled(keras))
    keras_files("compiled_without_optimizer", compiled(keras), include_optimizer=False)
    decayed = small(keras)
    decayed.compile(keras.optimizers.AdamW(0.01, weight_decay=0.004, clipvalue=0.5), "mse")
    decayed.fit(np.ones((2, 4), np.float32), np.ones((2, 2), np.float32), verbose=0)
    keras_files("decayed", decayed)
    keras_files("functional", functional())
    custom = keras.Sequential([keras.Input((4,)), Mine(name="mine"), layers.Dense(1)])
    keras_files("custom", custom)
    small(keras).save_weights(OUT / "weights_only.weights.h5")


def hdf5_fixtures():
    """What Keras does not write, and other writers of HDF5 do."""
    import h5py
    with h5py.File(OUT / "compiled.h5") as old, h5py.File(OUT / "latest.h5", "w", libver="latest") as new:
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value
    with h5py.File(OUT / "odd.h5", "w") as f:
        f.attrs["model_config"] = np.bytes_('{"class_name": "Sequential", "config": {"name": "n", "layers": []}}')
        f.attrs["long"] = "x" * 1000
        f.attrs["list"] = ["a", "b"]
        group = f.create_group("a/b")
        group["again"] = f["a"]  # a circle
        group.create_dataset("chunked", data=np.zeros((10, 10), np.float32), chunks=(5, 5), compression="gzip")
        group.create_dataset("scalar", data=1.0)
        group.create_dataset("empty", data=h5py.Empty("f4"))
        f["soft"] = h5py.SoftLink("/a/b/scalar")
        f["outside"] = h5py.ExternalLink("other.h5", "/x")
        for i in range(40):
            f.create_dataset(f"many/{i}", data=np.zeros(i, np.int8))
    with h5py.File(OUT / "dense.h5", "w", libver="latest") as f:
        f.attrs["model_config"] = '{"class_name": "Sequential", "config": {"name": "n", "layers": []}}'
        for i in range(20):
            f.create_dataset(f"many/{i}", data=np.zeros(i, np.int8))


def plain_network():
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), layers.LayerNormalization(), layers.Dense(2, activity_regularizer="l2")])


def keras2_files():
    """With tf_keras 2.21.0, which has to be installed for it."""
    import tf_keras
    compiled(tf_keras).save(OUT / "keras2.h5")
    compiled(tf_keras).save(OUT / "keras2.keras")


if __name__ == "__main__":
    random.seed(0)
    for fixtures in (tflite_fixtures, saved_model_fixtures, graph_fixtures, keras_fixtures, hdf5_fixtures):
        if len(sys.argv) < 3:
            fixtures()
    if len(sys.argv) > 2:
        globals()[sys.argv[2]]()
