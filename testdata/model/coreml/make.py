"""Makes the files of this folder again, with coremltools and torch:

    python make.py [FOLDER]

facts.json is what coremltools itself says of each file once it has loaded it.
"""
import json
import logging
import pathlib
import shutil
import struct
import sys
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil import Builder as mb
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder, SgdParams, AdamParams
from coremltools.optimize import coreml as optimize
from coremltools.proto import MIL_pb2, Model_pb2
from torch import nn
from torch.nn import functional as F

from network import trained

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
IMAGE = (2, 1, 8, 8)


class Mask(nn.Module):
    def forward(self, x):
        return torch.where(torch.rand_like(x) > 0.3, x / 0.7, torch.zeros_like(x))


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Functional(nn.Module):
    def forward(self, x):
        return F.dropout(x + 1, 0.5, True)


class Statistics(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        mean = x.mean(self.axes, keepdim=True)
        var = ((x - mean) ** 2).mean(self.axes, keepdim=True)
        return (x - mean) / torch.sqrt(var + 1e-5)


class Layer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


class Cache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.zeros(1, 2))

    def forward(self, x):
        self.cache.add_(x)
        return self.cache * 2


def convert(model, shape=IMAGE, to="mlprogram", target=None, **kw):
    torch.manual_seed(0)
    given = tuple(d if isinstance(d, int) else d.default for d in shape)
    traced = torch.jit.trace(model, torch.zeros(given), check_trace=False)
    return ct.convert(traced, inputs=[ct.TensorType(name="x", shape=shape)], convert_to=to, minimum_deployment_target=target, **kw)


def save(name, model):
    if model is None:
        return  # it is saved
    spec = model if isinstance(model, Model_pb2.Model) else model.get_spec()
    path = OUT / (name + (".mlpackage" if spec.WhichOneof("Type") == "mlProgram" else ".mlmodel"))
    shutil.rmtree(path, ignore_errors=True)
    if isinstance(model, Model_pb2.Model):
        path.write_bytes(model.SerializeToString())
        return
    model.save(str(path))


def state():
    tensor = ct.TensorType(name="x", shape=(1, 2), dtype=np.float16)
    cache = ct.StateType(wrapped_type=ct.TensorType(shape=(1, 2), dtype=np.float16), name="cache")
    traced = torch.jit.trace(Cache().eval(), torch.zeros(1, 2), check_trace=False)
    return ct.convert(traced, inputs=[tensor], states=[cache], minimum_deployment_target=ct.target.iOS18)


def quantizer(**kw):
    return optimize.OptimizationConfig(optimize.OpLinearQuantizerConfig(weight_threshold=8, **kw))


def bernoulli(to):
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
    def prog(x):
        return mb.mul(x=x, y=mb.random_bernoulli(shape=[2, 3], prob=0.8))
    return ct.convert(prog, convert_to=to)


def without_empty_items(package):
    """Removes the folder of weights when there are none: git keeps no empty folder."""
    manifest = json.loads((package / "Manifest.json").read_text())
    for key, item in list(manifest["itemInfoEntries"].items()):
        folder = package / "Data" / item["path"]
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            del manifest["itemInfoEntries"][key]
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n")


def branch():
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
    def prog(x):
        def dropped():
            keep = mb.greater(x=mb.random_uniform(shape=[2, 3], low=0.0, high=1.0), y=np.float32(0.3))
            return mb.mul(x=x, y=mb.cast(x=keep, dtype="fp32"))
        positive = mb.greater(x=mb.reduce_sum(x=x), y=np.float32(0))
        return mb.cond(pred=positive, _true_fn=dropped, _false_fn=lambda: mb.sin(x=x))
    return ct.convert(prog, convert_to="mlprogram")


def loop():
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
    def prog(x):
        def body(i, v):
            keep = mb.greater(x=mb.random_uniform(shape=[2, 3], low=0.0, high=1.0), y=np.float32(0.3))
            return mb.add(x=i, y=np.float32(1)), mb.mul(x=v, y=mb.cast(x=keep, dtype="fp32"))
        return mb.while_loop(_cond=lambda i, v: mb.less(x=i, y=np.float32(3)), _body=body, loop_vars=(np.float32(0), x))[1]
    return ct.convert(prog, convert_to="mlprogram")


def mask_constant():
    rng = np.random.default_rng(0)

    @mb.program(input_specs=[mb.TensorSpec(shape=(4, 8, 8))])
    def prog(x):
        return mb.mul(x=x, y=(rng.random((4, 8, 8)) < 0.5).astype(np.float32) * 2)
    return ct.convert(prog, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32)


def functions():
    """Two functions over the same weights; the second one is the default."""
    desc = ct.utils.MultiFunctionDescriptor()
    for name, model in (("whole", "network_train"), ("other", "mask")):
        desc.add_function(str(OUT / f"{model}.mlpackage"), "main", name)
    desc.default_function_name = "other"
    ct.utils.save_multifunction(desc, str(OUT / "functions.mlpackage"))
    return None


def builder(shape=(3, 4, 4)):
    b = NeuralNetworkBuilder([("x", datatypes.Array(*shape))], [("y", None)], disable_rank5_shape_mapping=True)
    return b


def nn_batchnorm(instance):
    b = builder()
    b.add_batchnorm("bn", 3, np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), "x", "y", compute_mean_var=True, instance_normalization=True)
    b.spec.neuralNetwork.layers[0].batchnorm.instanceNormalization = instance  # coremltools refuses to write false
    return b.spec


def nn_branch():
    b = builder()
    b.add_reduce_sum("sum", "x", "s", axes=[0, 1, 2], keepdims=False, reduce_all=True)
    b.add_greater_than("positive", ["s"], "p", alpha=0.0)
    layer = b.add_branch("either", "p")
    dropped = NeuralNetworkBuilder(input_features=None, output_features=None, spec=None, nn_spec=layer.branch.ifBranch, disable_rank5_shape_mapping=True)
    dropped.add_random_bernoulli_like("keep", "x", "m", prob=0.7)
    dropped.add_multiply_broadcastable("drop", ["x", "m"], "y")
    other = NeuralNetworkBuilder(input_features=None, output_features=None, spec=None, nn_spec=layer.branch.elseBranch, disable_rank5_shape_mapping=True)
    other.add_copy("same", "x", "y")
    return b.spec


def nn_custom():
    b = builder()
    params = b.spec.neuralNetwork.layers.add()
    params.name, params.custom.className = "halve", "Halve"
    params.input.append("x")
    params.output.append("y")
    return b.spec


def updatable(optimizer):
    b = NeuralNetworkBuilder([("x", datatypes.Array(3))], [("y", datatypes.Array(2))], disable_rank5_shape_mapping=True)
    b.add_inner_product("dense", np.ones((2, 3)), np.zeros(2), 3, 2, True, "x", "z")
    b.add_softmax("softmax", "z", "y")
    b.make_updatable(["dense"])
    if optimizer == "sgd":
        b.set_categorical_cross_entropy_loss("loss", "y")
        b.set_sgd_optimizer(SgdParams(lr=0.01, batch=2, momentum=0.9))
    else:
        b.set_mean_squared_error_loss("loss", ("y", datatypes.Array(2)))
        b.set_adam_optimizer(AdamParams(lr=0.02, batch=2))
    b.set_epochs(3)
    return b.spec


def glm():
    spec = Model_pb2.Model()
    spec.specificationVersion = 1
    for feature, name in ((spec.description.input.add(), "x"), (spec.description.output.add(), "y")):
        feature.name = name
        feature.type.doubleType.MergeFromString(b"")
    spec.glmRegressor.offset.append(1.0)
    spec.glmRegressor.weights.add().value.append(2.0)
    return spec


def pipeline(*models):
    spec = Model_pb2.Model()
    spec.specificationVersion = max(m.specificationVersion for m in models)
    spec.description.input.extend(models[0].description.input)
    spec.description.output.extend(models[-1].description.output)
    spec.pipeline.models.extend(models)
    return spec


def features():
    """Inputs of each kind that a description can have."""
    b = NeuralNetworkBuilder([("x", datatypes.Array(3, 4, 4))], [("y", None)], disable_rank5_shape_mapping=True)
    b.add_copy("copy", "x", "y")
    spec = b.spec
    for name in ("i64", "f64", "text", "image", "ints", "texts", "by_int", "by_text", "f32", "i32", "ranged", "listed"):
        feature = spec.description.input.add()
        feature.name, kind = name, feature.type
        if name == "i64":
            kind.int64Type.MergeFromString(b"")
        elif name == "f64":
            kind.doubleType.MergeFromString(b"")
        elif name == "text":
            kind.stringType.MergeFromString(b"")
        elif name == "image":
            kind.imageType.width, kind.imageType.height, kind.imageType.colorSpace = 7, 5, 20
        elif name == "ints":
            kind.sequenceType.int64Type.MergeFromString(b"")
        elif name == "texts":
            kind.sequenceType.stringType.MergeFromString(b"")
        elif name == "by_int":
            kind.dictionaryType.int64KeyType.MergeFromString(b"")
        elif name == "by_text":
            kind.dictionaryType.stringKeyType.MergeFromString(b"")
        else:
            array = kind.multiArrayType
            array.dataType = {"f32": 65568, "i32": 131104}.get(name, 65552)
            array.shape.extend([2, 3])
            if name == "ranged":
                for low, high in ((1, 4), (3, 3), (2, -1)):
                    size = array.shapeRange.sizeRanges.add()
                    size.lowerBound, size.upperBound = low, high
            if name == "listed":
                for dims in ((2, 3), (4, 3)):
                    array.enumeratedShapes.shapes.add().shape.extend(dims)
    return spec


def models():
    for word, train in (("eval", False), ("train", True)):
        network = trained()[0].train(train)
        yield f"network_{word}", convert(network)
        yield f"network_f32_{word}", convert(trained()[0].train(train), compute_precision=ct.precision.FLOAT32)
        yield f"nn_{word}", convert(trained()[0].train(train), to="neuralnetwork")
    yield "mask", convert(Mask().eval(), (2, 3))
    yield "nn_mask", convert(Mask().eval(), (2, 3), to="neuralnetwork")
    yield "noise", convert(Noise().eval(), (2, 3))
    yield "bernoulli", bernoulli("mlprogram")
    yield "nn_bernoulli", bernoulli("neuralnetwork")
    yield "functional_dropout", convert(Functional().eval(), (2, 3))
    yield "statistics", convert(Statistics([0, 2, 3]).eval())
    yield "nn_statistics", convert(Statistics([0, 2, 3]).eval(), to="neuralnetwork")
    yield "statistics_layer", convert(Statistics([1, 2, 3]).eval())
    yield "batchnorm", convert(Layer(nn.BatchNorm2d(1)).eval())
    yield "nn_batchnorm", convert(Layer(nn.BatchNorm2d(1)).eval(), to="neuralnetwork")
    yield "instance", convert(Layer(nn.InstanceNorm2d(1, affine=True)).eval())
    yield "nn_instance", convert(Layer(nn.InstanceNorm2d(1, affine=True)).eval(), to="neuralnetwork")
    yield "nn_batchnorm_computed", nn_batchnorm(False)
    yield "nn_batchnorm_instance", nn_batchnorm(True)
    yield "state", state()
    big = Layer(nn.Linear(64, 64)).eval()
    whole = convert(big, (1, 64))
    yield "weights_int8", optimize.linear_quantize_weights(whole, quantizer())
    yield "weights_palette", optimize.palettize_weights(whole, optimize.OptimizationConfig(optimize.OpPalettizerConfig(nbits=4, weight_threshold=8)))
    yield "weights_int4", optimize.linear_quantize_weights(convert(big, (1, 64), target=ct.target.iOS18), quantizer(dtype="int4", granularity="per_block", block_size=32))
    yield "dynamic", convert(Layer(nn.Linear(3, 2)).eval(), (ct.RangeDim(1, 8, default=2), 3))
    yield "branch", branch()
    yield "loop", loop()
    yield "mask_constant", mask_constant()
    yield "nn_branch", nn_branch()
    yield "nn_custom", nn_custom()
    yield "nn_updatable_sgd", updatable("sgd")
    yield "nn_updatable_adam", updatable("adam")
    yield "glm", glm()
    yield "features", features()
    yield "functions", functions()
    yield "pipeline", pipeline(nn_batchnorm(False), glm())


def feature(f):
    kind = f.type.WhichOneof("Type")
    shape, sort = None, kind
    if kind == "multiArrayType":
        a = f.type.multiArrayType
        sort = a.ArrayDataType.Name(a.dataType)
        shape = list(a.shape)
        if a.WhichOneof("ShapeFlexibility") == "shapeRange":
            shape = [[r.lowerBound, r.upperBound] for r in a.shapeRange.sizeRanges]
        elif a.WhichOneof("ShapeFlexibility") == "enumeratedShapes":
            shape = [list(s.shape) for s in a.enumeratedShapes.shapes]
    elif kind == "imageType":
        shape = [f.type.imageType.height, f.type.imageType.width]
    elif kind == "dictionaryType":
        sort = f.type.dictionaryType.WhichOneof("KeyType")
    elif kind == "sequenceType":
        sort = f.type.sequenceType.WhichOneof("Type")
    return [f.name, kind, sort, shape]


def blocks(block):
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from blocks(inner)


# The headers of a file of weights: a mark, the type, bytes and their place.
def blob(path, offset):
    mark, kind, size, at = struct.unpack_from("<IIQQ", path.read_bytes(), offset)
    assert mark == 0xDEADBEEF
    return [kind, size, at]


def program(spec, path, facts):
    for name, function in spec.mlProgram.functions.items():
        facts["opsets"].append(function.opset)
        for op in blocks(function.block_specializations[function.opset]):
            facts["operators"][op.type] = facts["operators"].get(op.type, 0) + 1
            values = list(op.attributes.values()) + [b.value for a in op.inputs.values() for b in a.arguments if b.WhichOneof("binding") == "value"]
            for value in values:
                tensor = value.type.tensorType
                dims = [d.constant.size for d in tensor.dimensions]
                kind = MIL_pb2.DataType.Name(tensor.dataType)
                if op.type.startswith("const") and value.WhichOneof("value") == "blobFileValue":
                    file = value.blobFileValue.fileName.replace("@model_path", "com.apple.CoreML")
                    facts["blobs"].append([kind, dims, value.blobFileValue.offset] + blob(path / "Data" / file, value.blobFileValue.offset))
                if value.type.WhichOneof("type") == "tensorType" and kind not in ("STRING", "BOOL") and (op.type.startswith("const") and op.type != "const" or "val" in op.attributes):
                    if value is op.attributes.get("name"):
                        continue
                    facts["parameters"] += int(np.prod(dims))


def layers(network, facts):
    for layer in network.layers:
        kind = layer.WhichOneof("layer")
        facts["operators"][kind] = facts["operators"].get(kind, 0) + 1
        for inner in [layer.branch.ifBranch, layer.branch.elseBranch] if kind == "branch" else []:
            layers(inner, facts)
        weights(getattr(layer, kind), facts)


def weights(message, facts):
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.name == "NeuralNetwork":
            continue
        for v in value if field.is_repeated and not hasattr(value, "ListFields") else [value]:
            if not hasattr(v, "ListFields"):
                continue
            if field.message_type.name == "WeightParams":
                facts["parameters"] += len(v.floatValue) + len(v.float16Value) // 2
            else:
                weights(v, facts)


def facts(path):
    spec = ct.utils.load_spec(str(path))
    kind = spec.WhichOneof("Type")
    description = spec.description
    for function in description.functions:
        if function.name == description.defaultFunctionName:
            description = function
    f = {"version": spec.specificationVersion, "type": kind, "updatable": spec.isUpdatable, "operators": {}, "parameters": 0, "opsets": [], "blobs": [],
         "inputs": [feature(v) for v in description.input], "outputs": [feature(v) for v in description.output],
         "source": dict(spec.description.metadata.userDefined)}
    if kind == "mlProgram":
        program(spec, path, f)
    elif kind == "neuralNetwork":
        layers(spec.neuralNetwork, f)
    return f


for name, model in models():
    save(name, model)
for path in OUT.glob("*.mlpackage"):
    without_empty_items(path)
paths = sorted(list(OUT.glob("*.mlmodel")) + list(OUT.glob("*.mlpackage")))
(OUT / "facts.json").write_text(json.dumps({p.name: facts(p) for p in paths}, sort_keys=True, indent=1) + "\n")
