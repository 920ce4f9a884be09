"""Stands for tf2onnx.utils: a function without a docstring, and one that the
compiler warns of."""
import warnings

warnings.warn("where the import stands", stacklevel=2)


def save_protobuf(path, message, as_text=False):
    return path, message, as_text, "\d"


def save_onnx_zip(target_path, model_proto, external_tensor_storage): return target_path
