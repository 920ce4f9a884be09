"""What is observed: converters are added here. Runs before recorder.py, in the
same namespace."""


class Row:
    """One observed function."""

    def __init__(self, name, package, model=None, reads=(), writes=(), saves=False):
        self.name = name  # as a user calls it
        self.package = package  # top-level module whose __version__ counts
        self.model = model  # the parameter that holds the model object
        self.reads = reads  # parameters that name files to read
        self.writes = writes  # parameters that name files to write
        self.saves = saves  # writes a model that was converted before


# Module, then the function in it: what is observed. A function that another
# row's function calls is a part of that one and is not recorded.
TABLE = {
    "torch.onnx": {
        "export": Row("torch.onnx.export", "torch", model="model", writes=("f",)),
    },
    "torch.onnx._internal.exporter._onnx_program": {
        "ONNXProgram.save": Row("torch.onnx.ONNXProgram.save", "torch", writes=("destination",), saves=True),
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
LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir", "tf2onnx", "tensorflow")
