"""Writes down which files this process has loaded."""
import json
import sys


def write(path):
    """Writes a JSON list of the files of all imported modules and of what is
    mapped into memory."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    with open("/proc/self/maps") as maps:
        files.update(line.split(None, 5)[5].strip() for line in maps if " /" in line)
    with open(path, "w") as out:
        json.dump(sorted(f for f in files if isinstance(f, str)), out)
