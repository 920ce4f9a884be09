"""What the arguments of calls come to, told without the observer.

The converters here make each call through run(). With --bind FILE first among
the arguments they make none: what inspect.signature binds the same arguments
to is written to FILE as JSON instead. A test compares that with what an
observed run recorded. This file and recorder.py share no code on purpose.
"""
import enum
import inspect
import json
import sys
import traceback

bound = []


def made(function, *args, **kwargs):
    """Makes the call, whose result a case needs, and binds it too."""
    bound.append(bind("made", function, args, kwargs))
    return function(*args, **kwargs)


def run(cases, results={}):
    """cases maps a name to (function, arguments, keyword arguments), or to a
    function that returns them; a fourth is the parameter whose attributes are
    settings of the call. results maps names to what to do with the results.
    The names on the command line are done."""
    names, target = sys.argv[1:], None
    if names[:1] == ["--bind"]:
        target, names = names[1], names[2:]
    for name in names:
        case = cases[name]
        function, args, kwargs, *rest = case() if callable(case) else case
        if target is not None:
            bound.append(bind(name, function, args, kwargs, *rest))
            continue
        try:
            results.get(name, id)(function(*args, **kwargs))
        except Exception:
            traceback.print_exc()
    if target is not None:
        with open(target, "w") as file:
            json.dump(bound, file, default=describe)


def bind(name, function, args, kwargs, settings=None):
    if inspect.ismethod(function):
        function, args = function.__func__, (function.__self__, *args)
    try:
        found = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return {"case": name, "given": None, "arguments": None}
    given = list(found.arguments)
    found.apply_defaults()
    arguments = {k: members(v) for k, v in found.arguments.items()}
    for key, value in vars(arguments.get(settings, None)).items() if settings else ():
        if key[0] != "_" or "_experimental" in key:
            arguments[settings + "." + key] = members(value)
    return {"case": name, "given": given, "arguments": arguments}


# Classes whose attributes say what is wanted of a conversion.
SPECIFICATIONS = (
    "coremltools.converters.mil.input_types.TensorType", "coremltools.converters.mil.input_types.Shape",
    "coremltools.converters.mil.input_types.RangeDim",
    "tensorflow.lite.python.lite.TargetSpec", "tensorflow.lite.python.lite.RepresentativeDataset",
    "tensorflow.python.saved_model.save_options.SaveOptions",
)


def members(value):
    """json would write an enum that is an integer as one."""
    if isinstance(value, enum.Enum):
        return describe(value)
    if isinstance(value, (list, tuple)):
        return [members(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(members(v) for v in value)
    if isinstance(value, dict):
        return {k: members(v) for k, v in value.items()}
    return value


def describe(value):
    kind = "%s.%s" % (type(value).__module__, type(value).__qualname__)
    if kind in SPECIFICATIONS:
        names = getattr(value, "__slots__", None) or vars(value)
        return dict({"class": kind}, **{k: members(getattr(value, k)) for k in names if k[0] != "_"})
    if kind in ("openvino._pyopenvino.PartialShape", "openvino._pyopenvino.Type"):
        return str(value)
    if hasattr(value, "_width"):
        return "fp%d" % value._width  # an element type of Core ML
    if hasattr(type(value), "__members__"):
        return type(value).__name__ + "." + value.name
    if kind.endswith(".DType"):
        return value.name
    if inspect.isroutine(value) or inspect.isclass(value):
        return {"callable": value.__module__ + "." + value.__qualname__}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        dtype = getattr(value.dtype, "name", None) or str(value.dtype).split(".")[-1]
        dtype = dtype.lower() if kind.startswith("paddle.") else dtype
        return {"dtype": dtype, "shape": list(value.shape)}
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if kind == "torch.export.dynamic_shapes.Dim":
        return {"class": kind, "name": value.__name__, "min": value.min, "max": value.max}
    if kind.startswith("skl2onnx.common.data_types."):
        return {"class": kind, "shape": value.shape}
    if kind.startswith("optimum.exporters.onnx."):
        return {"class": kind, "task": value.task, "int_dtype": value.int_dtype, "float_dtype": value.float_dtype}
    if kind.startswith("onnxruntime.quantization.quantize."):
        return dict(members(vars(value)), **{"class": kind})
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if kind == "onnx.onnx_ml_pb2.OperatorSetIdProto":
        return {"class": kind, "domain": value.domain, "version": value.version}
    return {"class": kind}
