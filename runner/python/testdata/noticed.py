"""Prints what a program can notice of its surroundings; with and without the
observer it must print the same. Runs on Python 3.8 and newer."""
import inspect
import os
import pickle
import subprocess
import sys
import threading
import traceback
import warnings

import torch.onnx
from torch.onnx import export


def attempt(title, *args, **kwargs):
    try:
        print(title, export(*args, **kwargs))
    except BaseException:
        print(title)
        traceback.print_exc(file=sys.stdout)
    sys.stdout.flush()


def recursive(depth):
    return depth if depth == 0 else export(recursive, (depth - 1,))


print("path", sys.path)
print("importers", sorted(sys.path_importer_cache))
print("modules", [n for n in sys.modules if "custom" in n or "convrun" in n or "observer" in n])
print("loader", torch.onnx.__loader__.__class__, torch.onnx.__spec__.loader is torch.onnx.__loader__, type(torch.onnx.__spec__.loader).__mro__)
print("signature", inspect.signature(export), inspect.getfullargspec(export))
print("function", export, export.__name__, export.__qualname__, export.__module__, export.__doc__, type(export), inspect.isfunction(export))
print("code", export.__code__.co_firstlineno, export.__code__.co_filename, export.__code__.co_varnames[:8], export.__code__.co_flags)
print("defaults", export.__defaults__, export.__kwdefaults__, export.__annotations__)
print("default", inspect.signature(export).parameters["opset"].default + 1)
print("source", inspect.getsource(export))
print("same", export is torch.onnx.export, pickle.loads(pickle.dumps(export)) is export)
attempt("plain", 1, (2,), "file.onnx")
attempt("all", 1, (2,), "file.onnx", 4, 5, opset=9, dynamo=True, extra=3)
attempt("stack", "stack")
attempt("raise", "raise")
attempt("missing")
attempt("twice", 1, model=2)
attempt("exit", sys.exit, (7,))
attempt("nested", recursive, (3,))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    export(1)
    print("caught", [(str(w.message), w.filename, w.lineno) for w in caught])
for _ in range(3):
    export("once a place is enough")

events = []
sys.setprofile(lambda frame, event, arg: events.append((event, frame.f_code.co_name)) if "torch" in frame.f_code.co_filename else None)
export("profiled")
sys.setprofile(None)
print("profile", events)


def trace(frame, event, arg):
    if "torch" in frame.f_code.co_filename:
        if event == "line":
            lines.append(frame.f_lineno)
        return trace


lines = []
sys.settrace(trace)
export("traced")
sys.settrace(None)
print("trace", sorted(set(lines)))

if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        attempt("forked", 1)
        sys.stdout.flush()
        os._exit(3)
    print("child", os.waitpid(child, 0)[1])
    child = export(os.fork)
    if child == 0:
        os._exit(5)
    print("child", os.waitpid(child, 0)[1])
    child = os.fork()
    if child == 0:
        export(os._exit, (4,))
    print("child", os.waitpid(child, 0)[1])
threads = [threading.Thread(target=attempt, args=("thread", n)) for n in range(4)]
for thread in threads:
    thread.start()
    thread.join()

print("subprocess", subprocess.run([sys.executable, "-c", "from torch.onnx import export; print(export(1))"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout)
print("descriptors", sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None)
export("raise")
