"""What is observed: converters are added here. Runs before recorder.py, in the
same namespace."""


class Row:
    """One observed function."""

    def __init__(self, name, package, model=(), reads=(), writes=(), saves=False, within=None, modules=False):
        self.name = name  # as a user calls it
        # The top-level module whose __version__ counts, or the distribution.
        self.package = package
        # The parameter that holds the model object; several if versions differ.
        self.model = (model,) if isinstance(model, str) else model or ()
        self.reads = reads  # parameters that name files to read
        self.writes = writes  # parameters that name files or folders to write
        self.saves = saves  # writes a model that was converted before
        self.within = within  # the row whose function's call of this one is recorded too
        self.modules = modules  # only calls whose model is a torch.nn.Module are recorded


# Module, then the function in it: what is observed. A function that another
# row's function calls is a part of that one and is not recorded, unless its row
# says so. The top-level module is one of the triggers in sitecustomize.py.
TABLE = {
    "torch.onnx": {
        "export": Row("torch.onnx.export", "torch", model="model", writes=("f",)),
        "dynamo_export": Row("torch.onnx.dynamo_export", "torch", model="model"),
    },
    "torch.onnx._internal.exporter._onnx_program": {
        "ONNXProgram.save": Row("torch.onnx.ONNXProgram.save", "torch", writes=("destination",), saves=True),
    },
    "torch.export": {
        "export": Row("torch.export.export", "torch", model=("mod", "f")),
        "save": Row("torch.export.save", "torch", model="ep", writes=("f",), saves=True),
    },
    "torch.jit._trace": {
        "trace": Row("torch.jit.trace", "torch", model="func"),
        "trace_module": Row("torch.jit.trace_module", "torch", model="mod"),
    },
    # Libraries script functions of their own while they are imported.
    "torch.jit._script": {
        "script": Row("torch.jit.script", "torch", model="obj", modules=True),
        "RecursiveScriptModule.save": Row("torch.jit.ScriptModule.save", "torch", model="self", writes=("f",), saves=True),
    },
    "torch.jit._serialization": {
        "save": Row("torch.jit.save", "torch", model="m", writes=("f",), saves=True),
    },
    "onnx": {
        "save_model": Row("onnx.save_model", "onnx", writes=("f",), saves=True),
    },
    "onnx.version_converter": {
        "convert_version": Row("onnx.version_converter.convert_version", "onnx", model="model"),
    },
    "onnxruntime.quantization.quantize": {
        "quantize": Row("onnxruntime.quantization.quantize", "onnxruntime", model="model_input", reads=("model_input",), writes=("model_output",)),
        "quantize_dynamic": Row("onnxruntime.quantization.quantize_dynamic", "onnxruntime", model="model_input", reads=("model_input",), writes=("model_output",)),
        "quantize_static": Row("onnxruntime.quantization.quantize_static", "onnxruntime", model="model_input", reads=("model_input",), writes=("model_output",)),
    },
    "onnxsim.onnx_simplifier": {
        "simplify": Row("onnxsim.simplify", "onnxsim", model="model", reads=("model",), writes=("output_path",)),
    },
    "skl2onnx.convert": {
        "convert_sklearn": Row("skl2onnx.convert_sklearn", "skl2onnx", model="model"),
        "to_onnx": Row("skl2onnx.to_onnx", "skl2onnx", model="model"),
    },
    "onnxmltools.convert.main": {
        "convert_lightgbm": Row("onnxmltools.convert_lightgbm", "onnxmltools", model="model"),
        "convert_sklearn": Row("onnxmltools.convert_sklearn", "onnxmltools", model="model"),
    },
    # onnxmltools.convert_xgboost hands (*args, **kwargs) to this one.
    "onnxmltools.convert.xgboost.convert": {
        "convert": Row("onnxmltools.convert_xgboost", "onnxmltools", model="model"),
    },
    "optimum.exporters.onnx.__main__": {
        "main_export": Row("optimum.exporters.onnx.main_export", "optimum-onnx", writes=("output",)),
    },
    # Alone main_export is not given the model object.
    "optimum.exporters.onnx.convert": {
        "export": Row("optimum.exporters.onnx.export", "optimum-onnx", model="model", writes=("output",)),
        "onnx_export_from_model": Row("optimum.exporters.onnx.onnx_export_from_model", "optimum-onnx", model="model", writes=("output",), within="optimum.exporters.onnx.main_export"),
    },
    "tf2onnx.convert": {
        "from_keras": Row("tf2onnx.convert.from_keras", "tf2onnx", model="model", writes=("output_path",)),
        "from_function": Row("tf2onnx.convert.from_function", "tf2onnx", writes=("output_path",)),
        "from_graph_def": Row("tf2onnx.convert.from_graph_def", "tf2onnx", writes=("output_path",)),
        "from_tflite": Row("tf2onnx.convert.from_tflite", "tf2onnx", reads=("tflite_path",), writes=("output_path",)),
    },
    # What `python -m tf2onnx.convert` calls: that module runs as __main__, and
    # its own functions are none that an import hook sees.
    "tf2onnx.tfonnx": {
        "process_tf_graph": Row("tf2onnx.tfonnx.process_tf_graph", "tf2onnx", reads=("tflite_path", "tfjs_path")),
    },
    "tf2onnx.utils": {
        "save_protobuf": Row("tf2onnx.utils.save_protobuf", "tf2onnx", writes=("path",), saves=True),
        "save_onnx_zip": Row("tf2onnx.utils.save_onnx_zip", "tf2onnx", writes=("target_path",), saves=True),
    },
}

# Loggers whose records of level WARNING and above are kept, with those below.
LOGGERS = (
    "torch", "onnx", "onnxscript", "onnx_ir", "tf2onnx", "tensorflow",
    "onnxruntime", "onnxsim", "skl2onnx", "onnxmltools", "optimum", "transformers",
)
