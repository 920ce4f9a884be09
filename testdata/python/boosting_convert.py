"""Converts small ensembles of trees by onnxmltools; see bind.py."""
import lightgbm
import numpy
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from onnxmltools.convert.xgboost.convert import convert

import bind

samples = numpy.arange(80, dtype=numpy.float32).reshape(20, 4)
classes = numpy.array([0, 1] * 10)
light = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(samples, classes)
extreme = xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(samples, classes)
types = [("x", FloatTensorType([None, 4]))]

bind.run({
    "lightgbm": (onnxmltools.convert_lightgbm, (light,), {"initial_types": types, "zipmap": False, "target_opset": 15}),
    # What convert_xgboost(*args, **kwargs) calls with the same arguments.
    "xgboost": (convert, (extreme, "trees"), {"initial_types": types}),
    "xgboost_as_called": (onnxmltools.convert_xgboost, (extreme, "trees"), {"initial_types": types}),
})
