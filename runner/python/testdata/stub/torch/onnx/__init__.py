"""Stands for torch.onnx in the tests of what a process can notice, which run on
every Python that is there. It computes nothing; that torch itself is observed
rightly is tested on torch."""
from __future__ import annotations

import inspect
import logging
import warnings


def export(model, args=(), f=None, *more, opset: int = 17, dynamo=True, **options):
    """The docstring."""
    warnings.warn("one frame up", stacklevel=2)
    logging.getLogger("torch.onnx.stub").warning("logged %s", "a line")
    if callable(model):
        return model(*args)
    if model == "stack":
        return [(frame.filename, frame.lineno, frame.function) for frame in inspect.stack(0)]
    if model == "raise":
        raise ValueError("no such model") from KeyError(f)
    return (model, args, f, more, opset, dynamo, options)
