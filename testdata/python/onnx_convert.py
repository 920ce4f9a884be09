"""Makes, changes and quantizes small ONNX models; see bind.py."""
import logging
import pathlib

import numpy
import onnx
import onnxmltools
import onnxsim
import skl2onnx
import sklearn.ensemble
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnxruntime import quantization
from skl2onnx.common.data_types import FloatTensorType

import bind


class Reader(quantization.CalibrationDataReader):
    def __init__(self):
        self.inputs = iter([{"x": numpy.ones((1, 4), numpy.float32)}])

    def get_next(self):
        return next(self.inputs, None)


def network():
    """Two layers with a node between them that does nothing."""
    weights = numpy.arange(16, dtype=numpy.float32).reshape(4, 4) / 16
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "network", [x], [y], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def training():
    """Nodes that act as in training, and nodes that do not; the flag of the last
    one is computed."""
    def flag(name, value):
        return helper.make_tensor(name, TensorProto.BOOL, [], [value])

    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "s", "s", "s"], ["a", "m", "v"], training_mode=1),
        helper.make_node("BatchNormalization", ["a", "s", "s", "s", "s"], ["b"]),
        helper.make_node("Constant", [], ["on"], value=flag("on", True)),
        helper.make_node("Dropout", ["b"], ["c"]),
        helper.make_node("Dropout", ["c", "", "off"], ["d"]),
        helper.make_node("Dropout", ["d", "", "on"], ["e"]),
        helper.make_node("Cast", ["f"], ["computed"], to=TensorProto.BOOL),
        helper.make_node("Dropout", ["e", "", "computed"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [2, 4]), ("f", []), ("y", [2, 4]))]
    constants = [numpy_helper.from_array(numpy.ones(4, numpy.float32), "s"), flag("off", False)]
    return helper.make_model(helper.make_graph(nodes, "training", values[:2], values[2:], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def early():
    """Dropout as it was told to act before opset 7: as in training, unless an
    attribute says otherwise."""
    nodes = [helper.make_node("Dropout", ["x"], ["a"]), helper.make_node("Dropout", ["a"], ["y"], is_test=1)]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 4]) for n in ("x", "y")]
    return helper.make_model(helper.make_graph(nodes, "early", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 6)], ir_version=3)


logging.basicConfig()
model = network()
with open("network.onnx", "wb") as file:
    file.write(model.SerializeToString())
samples = numpy.arange(40, dtype=numpy.float32).reshape(10, 4)
classes = numpy.array([0, 1] * 5)
pipeline = sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), sklearn.linear_model.LogisticRegression()).fit(samples, classes)
forest = sklearn.ensemble.RandomForestClassifier(3, random_state=0).fit(samples, classes)
types = [("x", FloatTensorType([None, 4]))]
quantized = {"weight_type": quantization.QuantType.QUInt8, "op_types_to_quantize": ["MatMul"]}

bind.run({
    "sklearn": (skl2onnx.convert_sklearn, (pipeline, "pipeline"), {"initial_types": types, "target_opset": {"": 15, "ai.onnx.ml": 3}, "options": {"zipmap": False}, "black_op": {"Celu", "Abs"}}),
    "to_onnx": (skl2onnx.to_onnx, (forest, samples[:1]), {"target_opset": 15, "dtype": numpy.float32}),
    "mltools": (onnxmltools.convert_sklearn, (pipeline,), {"initial_types": types}),
    "dynamic": (quantization.quantize_dynamic, ("network.onnx", pathlib.Path("dynamic.onnx")), quantized),
    "dynamic_proto": (quantization.quantize_dynamic, (network(), "proto.onnx"), {"per_channel": True}),
    "static": (quantization.quantize_static, ("network.onnx", "static.onnx", Reader()), {"calibrate_method": quantization.CalibrationMethod.Entropy}),
    "quantize": (quantization.quantize, ("network.onnx", "configured.onnx", quantization.DynamicQuantConfig(per_channel=True, **quantized)), {}),
    # What is called stands under three decorators, each with parameters of its own.
    "simplify": (onnxsim.simplify, ("network.onnx", 1), {"skipped_optimizers": ["eliminate_identity"], "certify": False, "check_hazards": False, "output_path": "simple.onnx"}),
    "simplify_proto": (onnxsim.simplify, (model,), {"certify": False}),
    "simplify_wrong": (onnxsim.simplify, (model,), {"certify": False, "simpler": True}),
    "version": (version_converter.convert_version, (model, 20), {}),
    "training": (version_converter.convert_version, (training(), 17), {}),
    "early": (version_converter.convert_version, (early(), 6), {}),
    "version_wrong": (version_converter.convert_version, (model, "fifteen"), {}),
    "save": (onnx.save, (model, "saved.onnx"), {"save_as_external_data": False}),
})
