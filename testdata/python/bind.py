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


def run(cases):
    """cases maps a name to (function, arguments, keyword arguments), or to a
    function that returns them. The names on the command line are done."""
    names, target = sys.argv[1:], None
    if names[:1] == ["--bind"]:
        target, names = names[1], names[2:]
    for name in names:
        case = cases[name]
        function, args, kwargs = case() if callable(case) else case
        if target is not None:
            bound.append(bind(name, function, args, kwargs))
            continue
        try:
            function(*args, **kwargs)
        except Exception:
            traceback.print_exc()
    if target is not None:
        with open(target, "w") as file:
            json.dump(bound, file, default=describe)


def bind(name, function, args, kwargs):
    try:
        found = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return {"case": name, "given": None, "arguments": None}
    given = list(found.arguments)
    found.apply_defaults()
    arguments = {k: members(v) for k, v in found.arguments.items()}
    return {"case": name, "given": given, "arguments": arguments}


def members(value):
    """json would write an enum that is an integer as one."""
    if isinstance(value, enum.Enum):
        return describe(value)
    if isinstance(value, (list, tuple)):
        return [members(v) for v in value]
    if isinstance(value, dict):
        return {k: members(v) for k, v in value.items()}
    return value


def describe(value):
    kind = "%s.%s" % (type(value).__module__, type(value).__qualname__)
    if hasattr(type(value), "__members__"):
        return type(value).__name__ + "." + value.name
    if inspect.isroutine(value) or isinstance(value, type):
        return {"callable": value.__module__ + "." + value.__qualname__}
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        dtype = getattr(value.dtype, "name", None) or str(value.dtype).split(".")[-1]
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
