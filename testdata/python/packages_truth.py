"""Imports modules and writes which distributions they are, as Python knows them.

Usage: packages_truth.py OUTPUT MODULE...

The truth is sys.modules, the process's mapped files, the files that audit hooks
see opened, and the .pth files that site reads, each looked up in the lists of
files of importlib.metadata.
"""
import sys

opened = set()


def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.add(arguments[0])


sys.addaudithook(hook)

import importlib  # noqa: E402
import importlib.metadata  # noqa: E402
import importlib.util  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402

for name in sys.argv[2:]:
    importlib.import_module(name)

modules = {m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)}
with open("/proc/self/maps") as maps:
    mapped = {line.split(" ", 5)[5].strip() for line in maps if line.count(" ") > 4 and "/" in line}
site = [path for path in sys.path if path.endswith("site-packages")]
pth = {os.path.join(path, name) for path in site for name in os.listdir(path) if name.endswith(".pth")}


def source(path):
    if path.endswith(".pyc"):
        try:
            return importlib.util.source_from_cache(path)
        except ValueError:
            pass
    return path


def real(paths):
    return {os.path.realpath(source(path)) for path in paths if os.path.isfile(path)}


kinds = {"module": real(modules), "mapped": real(mapped), "opened": real(opened), "pth": real(pth)}
truth = {}
for distribution in importlib.metadata.distributions(path=site):
    for file in distribution.files or ():
        path = os.path.realpath(distribution.locate_file(file))
        if file.parts[0].endswith(".dist-info"):
            continue
        for kind, paths in kinds.items():
            if path in paths:
                name = re.sub("[-_.]+", "-", distribution.metadata["Name"]).lower() + " " + distribution.version
                truth.setdefault(name, {}).setdefault(kind, 0)
                truth[name][kind] += 1
with open(sys.argv[1], "w") as output:
    json.dump(truth, output)
