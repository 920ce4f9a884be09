"""Put before a Python's own sitecustomize by convrun.

It notes which interpreter this is, waits for a machine learning framework to
be imported, and then steps aside for the sitecustomize that would have been
found without it. It must parse on every Python from 2.7 on; nothing it does
may change what the program does, so every failure of its own is written down
and dropped.
"""
import os
import sys


class Observer(object):
    """Writes records, and loads the recorder once a framework is imported.

    It is a meta path finder that never finds anything in the beginning.
    """

    # Importing one of these loads the recorder: the top-level modules of TABLE
    # in table.py and of FRAMEWORKS in recorder.py.
    triggers = (
        "torch", "tensorflow", "keras", "tf_keras", "jax", "paddle", "tf2onnx", "onnx",
        "onnxruntime", "onnxsim", "skl2onnx", "onnxmltools", "optimum",
        "openvino", "coremltools", "litert_torch", "paddle2onnx",
    )

    # A process that writes more than this goes on unrecorded, and a longer
    # line is not written.
    limit, longest = 32 << 20, 1 << 20

    def __init__(self, archive, folder):
        self.archive = archive
        self.random = "".join("%02x" % b for b in bytearray(os.urandom(8)))
        self.folder = folder
        self.written = 0
        self.recorder = None
        self.broken = False
        self.added = ()
        # The program may replace these in os; a record must not pass through
        # its replacements.
        self.system = (os.open, os.write, os.close, os.getpid)
        self.flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        # What is no file is not waited for.
        self.flags |= getattr(os, "O_NONBLOCK", 0)
        self.flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

    def append(self, record):
        """Appends one JSON line by one write, so that threads need no lock;
        False means that it was too long.

        No descriptor is kept open: a program that closes all it did not open
        itself would make its next file the place of our records.
        """
        try:
            openfile, write, close, getpid = self.system
            line = encode(record).encode("ascii") + b"\n"
            if len(line) > self.longest:
                return False
            self.written += len(line)
            if self.written > self.limit:
                return True
            name = "%d-%s.jsonl" % (getpid(), self.random)
            descriptor = openfile(os.path.join(self.folder, name), self.flags, 0o600)
            try:
                write(descriptor, line)
            finally:
                close(descriptor)
        except Exception:
            pass
        return True

    def problem(self, doing):
        error = sys.exc_info()[1]
        try:
            text = "%s: %s: %s" % (doing, type(error).__name__, error)
        except Exception:
            text = doing
        self.append({"kind": "problem", "message": text[:1000]})

    def interpreter(self):
        self.append({
            "kind": "interpreter",
            "pid": os.getpid(),
            "implementation": getattr(getattr(sys, "implementation", None), "name", "cpython"),
            "version": sys.version.split(" ")[0],
            # sys.version is "VERSION (build) \n[compiler]".
            "interpreter_build": sys.version.partition("(")[2].partition(")")[0],
            "compiler": sys.version.rpartition("[")[2].rstrip("]") if "[" in sys.version else "",
            "executable": sys.executable or "",
            "prefix": sys.prefix,
            "base_prefix": getattr(sys, "base_prefix", sys.prefix),
        })

    def read_added(self):
        """Reads the functions that the user added, one a line: module, path in
        it, parameters of the model, of files to read and of files to write."""
        text = __loader__.get_data(os.path.join(self.archive, "added.txt")).decode("utf-8")
        rows = [line.split("\t") for line in text.splitlines()]
        self.added = [(m, f, model, reads.split(), writes.split()) for m, f, model, reads, writes in rows]
        self.triggers += tuple(row[0] for row in self.added)

    def load(self):
        """Runs what lies beside this file in the archive."""
        if self.recorder is None and not self.broken:
            try:
                space = {"__name__": "convrun recorder"}
                for part in ("table.py", "recorder.py"):
                    name = os.path.join(self.archive, part)
                    exec(compile(__loader__.get_data(name), name, "exec", 0, True), space)
                self.recorder = space["Recorder"](self)
            except Exception:
                self.broken = True
                self.problem("load the recorder")

    def find_spec(self, name, path=None, target=None):
        if self.recorder is None:
            if self.broken or name not in self.triggers:
                return None
            self.load()
        if self.recorder is None:
            return None
        try:
            return self.recorder.find_spec(name, path, target)
        except Exception:
            # If it was another finder that failed, it will once more when it is
            # asked in its turn.
            self.problem("find %s" % name)
            return None

    def uncaught(self):
        """Records the exception that ended the program. The interpreter keeps
        it, and has called its __str__ to show it."""
        error = getattr(sys, "last_value", None)
        if error is None:
            return
        trace = getattr(error, "__traceback__", None)
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        self.append({
            "kind": "warning",
            "pid": os.getpid(),
            "source": "exception",
            "category": type(error).__name__,
            "message": str(error)[:1000],
            "file": trace.tb_frame.f_code.co_filename if trace else "",
            "line": trace.tb_lineno if trace else 0,
        })

    def finish(self):
        """Runs at the end of the process, after the program's own handlers."""
        try:
            self.uncaught()
        except Exception:
            self.problem("tell the exception that ended the program")
        try:
            if any(name in sys.modules for name in self.triggers):
                self.load()
            if self.recorder is not None:
                self.recorder.finish()
        except Exception:
            self.problem("tell the frameworks at the end")


def encode(value):
    """JSON in ASCII. Done here because importing json costs a short process
    more than all the rest, and because a program may have changed that one."""
    if value is None:
        return u"null"
    if value is True:
        return u"true"
    if value is False:
        return u"false"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, dict):
        pairs = [encode(k) + u":" + encode(v) for k, v in value.items()]
        return u"{" + u",".join(pairs) + u"}"
    if isinstance(value, (list, tuple)):
        return u"[" + u",".join([encode(v) for v in value]) + u"]"
    if isinstance(value, float):
        return u"%r" % value
    if isinstance(value, int):
        return u"%d" % value
    return u'"' + u"".join([escape(c) for c in value]) + u'"'


def escape(character):
    code = ord(character)
    if character in u'"\\':
        return u"\\" + character
    if 32 <= code < 127:
        return character
    if code > 0xFFFF:
        code -= 0x10000
        return u"\\u%04x\\u%04x" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))
    return u"\\u%04x" % code


def install(archive):
    """Starts observing, unless an inner convrun has taken over: then the
    variables are that one's, and its own sitecustomize has run before."""
    if os.environ.get("CONVRUN_OBSERVER") != archive:
        return
    folder = os.environ.get("CONVRUN_RECORDS")
    if not folder:
        return
    observer = Observer(archive, folder)
    observer.interpreter()
    if sys.version_info < (3, 8):
        # What recorder.py does to code objects needs 3.8.
        observer.append({"kind": "old", "version": sys.version.split(" ")[0]})
        return
    observer.read_added()
    import atexit

    atexit.register(observer.finish)
    sys.meta_path.insert(0, observer)
    if any(name in sys.modules for name in observer.triggers):
        observer.load()


def withdraw(archive):
    """Takes every trace of this file out of the import system."""
    sys.path[:] = [entry for entry in sys.path if entry != archive]
    sys.path_importer_cache.pop(archive, None)
    cache = getattr(sys.modules.get("zipimport"), "_zip_directory_cache", {})
    cache.pop(archive, None)


# Python 2 empties a module's names when the last reference goes; this one keeps
# them until the import below is done.
this = sys.modules.pop(__name__)
try:
    withdraw(os.path.dirname(__file__))
    install(os.path.dirname(__file__))
except Exception:
    pass

# With this module and its place on sys.path gone, this finds what would have
# been found without convrun. That there is none is told by the same exception,
# which site expects and swallows.
if __name__ == "sitecustomize":
    try:
        import sitecustomize
    except BaseException:
        # The loader that runs this file wants to take it out itself.
        sys.modules[__name__] = this
        raise
