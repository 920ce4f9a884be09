"""Finds out without convrun what a log of the same run should say.

    convert_truth.py OUT [--call NAME]... [--model FILE]... [--modules FILE]
                     -- SCRIPT ARGUMENT... | -- -m MODULE ARGUMENT...

Runs the script with the functions NAME (module:function) replaced by ones that
note their calls, and writes facts as JSON to OUT: the calls, what the ONNX
package says of each FILE, how many of the files in the JSON list of --modules
belong to which distribution, and the versions of all distributions.
"""
import argparse
import collections
import importlib
import importlib.metadata
import inspect
import json
import os
import platform
import re
import runpy
import sys

import bind

calls = []


def watch(name):
    """Replaces a function by one that notes the call and makes it."""
    module, function = name.split(":")
    found = importlib.import_module(module)
    original = getattr(found, function)

    def noting(*args, **kwargs):
        noted = bind.bind(name, original, args, kwargs)
        bound = inspect.signature(original).bind(*args, **kwargs)
        noted["function"] = module + "." + function
        noted["model"] = census(bound.arguments.get("model"))
        noted["arguments"] = json.loads(json.dumps(noted["arguments"], default=bind.describe))
        calls.append(noted)
        return original(*args, **kwargs)

    setattr(found, function, noting)


def name_of(value):
    return "%s.%s" % (type(value).__module__, type(value).__qualname__)


def census(model):
    """The model by the framework's own means, None when it is no model."""
    if "torch" in sys.modules and isinstance(model, sys.modules["torch"].nn.Module):
        modules = list(model.modules())
        return {
            "class": name_of(model), "training": model.training,
            "parameters": sum(p.numel() for p in model.parameters()),
            "modules": count(modules, [m for m in modules if m.training]),
        }
    if "keras" in sys.modules and isinstance(model, sys.modules["keras"].Model):
        layers = [layer for layer in model._flatten_layers()]
        return {"class": name_of(model), "training": None, "parameters": model.count_params(), "modules": count(layers, [])}
    return None


def count(all_of_them, training):
    counts = collections.Counter(name_of(m) for m in all_of_them)
    acting = collections.Counter(name_of(m) for m in training)
    return [{"class": n, "count": counts[n], "training": acting[n]} for n in sorted(counts)]


def distributions():
    """Files of all distributions, and the versions, by normalised name."""
    files, versions = {}, {}
    for found in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        versions[name] = found.version
        for file in found.files or ():
            if ".dist-info" not in file.parts[0]:
                files[os.path.realpath(found.locate_file(file))] = name
    return files, versions


def onnx_facts(path):
    import onnx

    model = onnx.load(path)
    operators = collections.Counter(node.op_type for node in model.graph.node)
    weights = [list(t.dims) for t in model.graph.initializer]
    total = 0
    for dims in weights:
        size = 1
        for dim in dims:
            size *= dim
        total += size

    def values(infos):
        return [{
            "name": i.name,
            "dtype": onnx.helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type).name,
            "shape": [d.dim_param or str(d.dim_value) for d in i.type.tensor_type.shape.dim],
        } for i in infos]

    return {
        "opsets": {o.domain: o.version for o in model.opset_import}, "ir": model.ir_version,
        "producer": ("%s %s" % (model.producer_name, model.producer_version)).strip(),
        "operators": operators, "parameters": total,
        "inputs": values(model.graph.input), "outputs": values(model.graph.output),
    }


def run(argv):
    sys.path[0] = os.getcwd()
    try:
        if argv[0] == "-m":
            sys.argv = argv[1:]
            runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = argv
            runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as exit:
        return exit.code or 0
    return 0


def main():
    at = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--call", action="append", default=[])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--modules")
    options, argv = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1:]
    for name in options.call:
        watch(name)
    status = run(argv)
    files, versions = distributions()
    loaded = None
    if options.modules:
        with open(options.modules) as source:
            paths = [os.path.realpath(path) for path in json.load(source)]
        loaded = collections.Counter(files[path] for path in set(paths) if path in files)
    frameworks = {name: sys.modules[name].__version__ for name in ("torch", "tensorflow") if name in sys.modules}
    facts = {
        "frameworks": frameworks, "status": status, "calls": calls, "versions": versions, "loaded": loaded,
        "models": {path: onnx_facts(path) for path in options.model},
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation(), "executable": sys.executable},
    }
    with open(options.out, "w") as out:
        json.dump(facts, out)


main()
