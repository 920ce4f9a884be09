"""Calls a function under decorators; with and without the observer it must
print the same."""
import inspect
import sys
import traceback
import warnings

from onnxsim.onnx_simplifier import simplify

print(inspect.signature(simplify), inspect.unwrap(simplify).__defaults__, simplify.__kwdefaults__)
print(simplify.__name__, simplify.__doc__, simplify.__wrapped__.__qualname__, simplify.__code__.co_freevars, inspect.getsource(simplify))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(simplify("model"), simplify("model", 3, check_hazards=True), simplify(model="model", output_path="out.onnx"), simplify("model", rounds=5))
    print([(str(w.message), w.filename, w.lineno) for w in caught])
    for options in ({"check_n": -1}, {"faster": 2}):
        try:
            simplify("model", check_hazards=True, **options)
        except Exception:
            traceback.print_exc(file=sys.stdout)
