"""Makes the files of this folder again, with openvino, torch and onnx:

    python make.py [FOLDER]

facts.json is what OpenVINO itself says of each file once it has read it. The
sources are the files of ../onnx and ../tensorflow, which OpenVINO reads without
their frameworks, and the network of ../network.py.
"""
import json
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
warnings.filterwarnings("ignore")

import numpy as np
import onnx
import openvino as ov
import torch
from openvino import opset6, opset8, opset13
from torch.nn import functional as F

from network import trained

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
IMAGE = torch.zeros(2, 1, 8, 8)

CONVERTED = {
    "network_eval": "onnx/torchscript_eval_17.onnx",
    "network_train": "onnx/torchscript_train_9.onnx",
    "channel_dropout": "onnx/dynamo_channel_dropout_20.onnx",
    "mask": "onnx/mask_rng_17.onnx",
    "mask_where": "onnx/mask_rng_where_17.onnx",
    "mask_constant": "onnx/mask_constant_17.onnx",
    "mask_not_binary": "onnx/mask_not_binary_17.onnx",
    "noise": "onnx/rng_noise_17.onnx",
    "batch_statistics": "onnx/batch_statistics_18.onnx",
    "layer_statistics": "onnx/layer_statistics_18.onnx",
    "tf_network_inference": "tensorflow/network_inference.pb",
    "tf_network_training": "tensorflow/network_training.pb",
    "tf_dropout": "tensorflow/dropout.pb",
    "tf_branch": "tensorflow/branch.pb",
    "tf_loop": "tensorflow/loop.pb",
    "tf_batch_statistics": "tensorflow/batch_statistics.pb",
    "tf_layer_statistics": "tensorflow/layer_statistics.pb",
    "tf_norm_of_activation": "tensorflow/norm_of_activation.pb",
    "tf_saved_model": "tensorflow/tf1_inference.saved_model",
    "tf_saved_model_training": "tensorflow/tf1_training.saved_model",
    "lite_int8": "tensorflow/network_int8.tflite",
    "lite_batchnorm_inference": "tensorflow/fused_inference.tflite",
    "lite_batchnorm_training": "tensorflow/fused_training.tflite",
}


def traced(train):
    """The network by way of torch.jit.trace, as OpenVINO takes it: dropout is
    dropped, batch normalization keeps its mode."""
    model = trained()[0].train(train)
    return ov.convert_model(torch.jit.trace(model, IMAGE, check_trace=False), input=[2, 1, 8, 8])


class Functional(torch.nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, True)


UNSTORED = "u2 u3 u6 f4e2m1 f8e8m0".split()  # Python makes no constants of these
TYPES = "boolean bf16 f16 f32 f64 i4 i8 i16 i32 i64 u1 u4 u8 u16 u32 u64 nf4 f8e4m3 f8e5m2 string".split() + UNSTORED


def types():
    """An input and a constant of each element type, and dimensions that are not fixed."""
    results, parameters = [], []
    for i, name in enumerate(TYPES):
        kind = getattr(ov.Type, name)
        shape = ov.PartialShape.dynamic() if i == 0 else [[], [3], [-1, 2], [ov.Dimension(1, 5)]][i % 4]
        parameters.append(opset13.parameter(shape, kind, name="in_" + name))
        results.append(opset13.result(parameters[-1]))
        if name == "string":
            results.append(opset13.result(ov.op.Constant(ov.Tensor(["a", "bcd"])).output(0)))
        elif name not in UNSTORED:
            results.append(opset13.result(ov.op.Constant(kind, ov.Shape([3, 3]), [0] * 9).output(0)))
    return ov.Model(results, parameters, "types")


def state():
    x = opset13.parameter([1, 2], np.float32, name="x")
    read = opset6.read_value(opset13.constant(np.zeros((1, 2), np.float32)), "cache")
    total = opset13.add(read, x)
    return ov.Model([opset13.result(total)], [opset6.assign(total, "cache")], [x], "state")


def weights_int8():
    """Weights of 8 bits with a scale and a zero point, as compressed models have them."""
    x = opset13.parameter([1, 4], np.float32, name="x")
    stored = opset13.convert(opset13.constant(np.arange(8, dtype=np.uint8).reshape(4, 2)), "f32")
    zero = opset13.convert(opset13.constant(np.array([[3, 4]], np.uint8)), "f32")
    weights = opset13.multiply(opset13.subtract(stored, zero), opset13.constant(np.array([[0.5, 0.25]], np.float32)))
    return ov.Model([opset13.result(opset13.matmul(x, weights, False, False))], [x], "weights_int8")


class Halve(ov.Op):
    def __init__(self, inputs=None):
        super().__init__(self, inputs)

    def validate_and_infer_types(self):
        self.set_output_type(0, self.get_input_element_type(0), self.get_input_partial_shape(0))

    def clone_with_new_inputs(self, inputs):
        return Halve(inputs)

    def visit_attributes(self, visitor):
        return True


def custom():
    x = opset13.parameter([2], np.float32, name="x")
    return ov.Model([opset13.result(Halve([x.output(0)]))], [x], "custom")


def scan():
    """ONNX's Scan becomes a TensorIterator, with dropout in its body."""
    value = lambda name, *shape: onnx.helper.make_tensor_value_info(name, 1, shape)
    body = onnx.helper.make_graph([
        onnx.helper.make_node("RandomUniformLike", ["item"], ["u"]), onnx.helper.make_node("Less", ["u", "rate"], ["keep"]),
        onnx.helper.make_node("Cast", ["keep"], ["mask"], to=1), onnx.helper.make_node("Mul", ["mask", "item"], ["kept"]),
        onnx.helper.make_node("Add", ["sum", "kept"], ["next"]), onnx.helper.make_node("Identity", ["next"], ["out"]),
    ], "body", [value("sum", 3), value("item", 3)], [value("next", 3), value("out", 3)], [onnx.numpy_helper.from_array(np.float32(0.5), "rate")])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Scan", ["zero", "x"], ["last", "y"], body=body, num_scan_inputs=1)], "scan",
                                   [value("x", 4, 3)], [value("y", 4, 3)], [onnx.numpy_helper.from_array(np.zeros(3, np.float32), "zero")])
    path = OUT / "scan.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    try:
        return ov.convert_model(path)
    finally:
        path.unlink()


def save():
    core = ov.Core()
    models = {name: ov.convert_model(HERE.parent / path) for name, path in CONVERTED.items()}
    for name, model in models.items():
        ov.save_model(model, OUT / f"{name}.xml")
    ov.save_model(models["network_eval"], OUT / "network_eval_f32.xml", compress_to_fp16=False)
    for word, train in (("eval", False), ("train", True)):
        ov.save_model(traced(train), OUT / f"torch_{word}.xml")
    ov.save_model(ov.convert_model(torch.jit.trace(Functional().eval(), torch.zeros(2, 3), check_trace=False), input=[-1, 3]), OUT / "functional_dropout.xml")
    # What is read and written again without a conversion keeps batch
    # normalization as an operator.
    read = core.read_model(HERE.parent / "onnx/torchscript_eval_unfolded_17.onnx")
    ov.serialize(read, OUT / "read.xml", OUT / "read.bin")
    ov.serialize(read, OUT / "read_v10.xml", OUT / "read_v10.bin", "IR_V10")
    ov.serialize(models["network_train"], OUT / "network_train_v10.xml", OUT / "network_train_v10.bin", "IR_V10")
    for make in (types, state, weights_int8, custom, scan):
        ov.save_model(make(), OUT / f"{make.__name__}.xml", compress_to_fp16=False)


def values(ports):
    return [[sorted(p.get_names()), p.get_node().get_friendly_name(), p.get_element_type().get_type_name(),
             None if p.partial_shape.rank.is_dynamic else [str(d) for d in p.partial_shape]] for p in ports]


def bodies(op):
    if op.get_type_name() == "If":
        return [op.get_function(0), op.get_function(1)]
    return [op.get_function()] if op.get_type_name() in ("Loop", "TensorIterator") else []


def count(model, operators, constants):
    for op in model.get_ops():
        kind = op.get_type_name()
        operators[kind] = operators.get(kind, 0) + 1
        if kind == "Constant":
            constants.append([op.get_friendly_name(), op.get_element_type().get_type_name(), list(op.get_output_shape(0)), op.get_byte_size()])
        for body in bodies(op):
            count(body, operators, constants)


def facts(path):
    core = ov.Core()
    if path.stem == "custom":
        core.add_extension(Halve)
    model = core.read_model(path)
    operators, constants = {}, []
    count(model, operators, constants)
    return {"inputs": values(model.inputs), "outputs": values(model.outputs), "operators": operators, "constants": sorted(constants),
            "runtime": model.get_rt_info("Runtime_version").value if model.has_rt_info("Runtime_version") else ""}


save()
(OUT / "facts.json").write_text(json.dumps({p.name: facts(p) for p in sorted(OUT.glob("*.xml"))}, sort_keys=True, indent=1) + "\n")
