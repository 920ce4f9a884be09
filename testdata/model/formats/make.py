"""Makes the fixtures of this folder again: one small model a format, as its
own framework writes it.

    python make.py torch        with torch
    python make.py tensorflow   with tensorflow and keras
    python make.py onnxruntime  with onnxruntime
    python make.py training     with onnxruntime-training

The versions are those of testdata/python/*.txt. Files go beside this script,
or to the folder given as the second argument.
"""
import os
import pathlib
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

OUT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__)))


def torch_fixtures():
    import torch

    torch.manual_seed(0)
    linear = torch.nn.Linear(2, 1)
    torch.save(linear.state_dict(), OUT / "torch_zip.pt")
    torch.save(linear.state_dict(), OUT / "torch_legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.trace(linear, torch.zeros(1, 2)).save(OUT / "torchscript_traced.pt")
    torch.jit.freeze(torch.jit.script(linear).eval()).save(OUT / "torchscript_frozen.pt")
    exported = torch.export.export(linear, (torch.zeros(1, 2),))
    for node in exported.graph.nodes:  # paths of the machine that made the file
        node.meta.pop("stack_trace", None)
    torch.export.save(exported, OUT / "exported.pt2")


def tensorflow_fixtures():
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(OUT / "model.keras")
    model.save(OUT / "model.h5")
    module = tf.Module()
    module.w = tf.Variable([[1.0], [2.0]])
    signature = tf.TensorSpec((1, 2), tf.float32)
    module.f = tf.function(lambda x: x @ module.w, input_signature=[signature])
    tf.saved_model.save(module, OUT / "saved_model", signatures=module.f)
    concrete = module.f.get_concrete_function()
    (OUT / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert())
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    frozen = convert_variables_to_constants_v2(concrete)
    (OUT / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString(deterministic=True))


SOURCE = pathlib.Path(__file__).resolve().parent.parent / "onnx"


def onnxruntime_fixtures():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(OUT / "model.ort")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(SOURCE / "torchscript_train_17.onnx", options)


def training_fixtures():
    import tempfile

    import onnx
    from onnxruntime.training import artifacts

    model = onnx.load(SOURCE / "torchscript_eval_17.onnx")
    trained = ["fc.weight", "fc.bias"]
    frozen = [i.name for i in model.graph.initializer if i.name not in trained]
    with tempfile.TemporaryDirectory() as folder:
        artifacts.generate_artifacts(model, requires_grad=trained, frozen_params=frozen, loss=artifacts.LossType.MSELoss,
                                     optimizer=artifacts.OptimType.AdamW, artifact_directory=folder)
        (OUT / "ort_checkpoint").write_bytes((pathlib.Path(folder) / "checkpoint").read_bytes())


if __name__ == "__main__":
    {"torch": torch_fixtures, "tensorflow": tensorflow_fixtures,
     "onnxruntime": onnxruntime_fixtures, "training": training_fixtures}[sys.argv[1]]()
