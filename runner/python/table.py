"""What is observed: converters are added here. Runs before recorder.py, in the
same namespace."""


class Row:
    """One observed function."""

    def __init__(self, name, package, model=(), reads=(), writes=(), saves=False, within=None, modules=False, readies=False, settings=None, added=False):
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
        self.readies = readies  # prepares a conversion that a later call makes
        self.settings = settings  # the parameter whose attributes are settings of the call
        self.added = added  # by the user's configuration


# Module, then the function in it: what is observed. A function that another
# row's function calls is a part of that one and is not recorded, unless its row
# says so; one that was added by the user hides no other and is hidden by none.
# The top-level module is one of the triggers in sitecustomize.py.
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
    "tensorflow.lite.python.lite": {
        "TFLiteConverterV2.from_saved_model": Row("tf.lite.TFLiteConverter.from_saved_model", "tensorflow", reads=("saved_model_dir",), readies=True),
        "TFLiteConverterV2.from_keras_model": Row("tf.lite.TFLiteConverter.from_keras_model", "tensorflow", model="model", readies=True),
        "TFLiteConverterV2.from_concrete_functions": Row("tf.lite.TFLiteConverter.from_concrete_functions", "tensorflow", readies=True),
        # What the first, second and third of these return.
        "TFLiteSavedModelConverterV2.convert": Row("tf.lite.TFLiteConverter.convert", "tensorflow", settings="self"),
        "TFLiteKerasModelConverterV2.convert": Row("tf.lite.TFLiteConverter.convert", "tensorflow", settings="self"),
        "TFLiteConverterV2.convert": Row("tf.lite.TFLiteConverter.convert", "tensorflow", settings="self"),
    },
    "tensorflow.python.saved_model.save": {
        "save": Row("tf.saved_model.save", "tensorflow", model="obj", writes=("export_dir",), saves=True),
    },
    "tensorflow.python.framework.convert_to_constants": {
        "convert_variables_to_constants_v2": Row("tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2", "tensorflow", readies=True),
        "convert_variables_to_constants": Row("tf.compat.v1.graph_util.convert_variables_to_constants", "tensorflow", readies=True),
    },
    "keras.src.models.model": {
        "Model.export": Row("keras.Model.export", "keras", model="self", writes=("filepath",)),
        "Model.save": Row("keras.Model.save", "keras", model="self", writes=("filepath",), saves=True),
    },
    "keras.src.saving.saving_api": {
        "save_model": Row("keras.saving.save_model", "keras", model="model", writes=("filepath",), saves=True),
    },
    "openvino.tools.ovc.convert": {
        "convert_model": Row("openvino.convert_model", "openvino", model="input_model", reads=("input_model",)),
    },
    # What the command ovc calls; it reads the command line itself.
    "openvino.tools.ovc.convert_impl": {
        "driver": Row("openvino.tools.ovc.convert_impl.driver", "openvino", reads=("argv.input_model",), writes=("argv.output_model",), settings="argv"),
    },
    "coremltools.converters._converters_entry": {
        "convert": Row("coremltools.convert", "coremltools", model="model", reads=("model",)),
    },
    "coremltools.models.model": {
        "MLModel.save": Row("coremltools.models.MLModel.save", "coremltools", writes=("save_path",), saves=True),
    },
    "litert_torch._convert.interface": {
        "convert": Row("litert_torch.convert", "litert_torch", model="module", writes=("output_file_path",)),
        "signature": Row("litert_torch.signature", "litert_torch", model="module", readies=True),
        "Converter.convert": Row("litert_torch.Converter.convert", "litert_torch", model="module", writes=("output_file_path",)),
    },
    "litert_torch.model": {
        "LiteRTModel.export": Row("litert_torch.model.LiteRTModel.export", "litert_torch", writes=("path",), saves=True),
    },
    "paddle.jit.api": {
        "save": Row("paddle.jit.save", "paddle", model="layer", writes=("path",), saves=True),
    },
    "paddle.onnx.export": {
        "export": Row("paddle.onnx.export", "paddle", model="layer", writes=("path",)),
    },
    "paddle2onnx.convert": {
        "export": Row("paddle2onnx.export", "paddle2onnx", reads=("model_filename", "params_filename"), writes=("save_file",)),
        "dygraph2onnx": Row("paddle2onnx.dygraph2onnx", "paddle2onnx", model="layer", writes=("save_file",)),
    },
}

# Loggers whose records of level WARNING and above are kept, with those below.
LOGGERS = (
    "torch", "onnx", "onnxscript", "onnx_ir", "tf2onnx", "tensorflow",
    "onnxruntime", "onnxsim", "skl2onnx", "onnxmltools", "optimum", "transformers",
    "absl", "keras", "openvino", "coremltools", "litert_torch", "paddle",
)
