"""Observes the functions of TABLE: which were called, with what, and how they
ended. Loaded by sitecustomize.py when a machine learning framework is imported,
into the namespace that table.py has filled; needs Python 3.8.

A wrapper around a function would be seen: it is a frame in tracebacks, it
shifts the stack level of warnings, and torch writes the Python stack into a
model that it exports with verbose=True. So no function is replaced. The code
of a function is compiled once more from its own source, with a call of ours put
before its first statement; the function object, its frame and all its line and
column numbers stay what they were. When the source does not compile to exactly
the code that the function has, it is left alone and a problem is recorded.

To tell an argument that the caller gave from a default, the defaults of an
observed function are replaced by marks that stand for them; the first thing the
function does is to put the true values back.
"""
import __future__
import ast
import inspect
import itertools
import os
import sys
import time
import types
import warnings
import _thread
from importlib.machinery import SourceFileLoader


class Shown:
    """The function that shows a warning, after all filters."""


class Logged:
    """The function that hands a log record to the handlers."""


# What table.py holds, and where warnings and log records pass.
HOOKS = dict(TABLE, warnings={"_showwarnmsg": Shown()}, logging={"Logger.callHandlers": Logged()})

# The distribution of a module, where its name is another one.
DISTRIBUTIONS = {"paddle": "paddlepaddle", "litert_torch": "litert-torch", "tf_keras": "tf-keras"}

# Bounds of what is kept of one call.
DEPTH, ITEMS, NODES, CHARACTERS = 8, 200, 4000, 4000

# Objects that are looked through for the parts of one model.
OBJECTS = 100000

# Warnings and log records kept of one process.
NOTES = 1000

PLACE = "convrun: the probe's place"


class Default:
    """Stands for a parameter's default until the function has started."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return repr(self.value)


class Recorder:
    def __init__(self, observer):
        self.observer = observer
        self.state = _thread._local()
        self.calls = itertools.count(1)
        self.notes = 0
        self.said = {}  # the last record of each framework
        self.observed = {}  # functions that are observed, by identity
        self.asked = set()  # the functions that the user added
        self.added = Allowance()
        self.table = {module: dict(rows) for module, rows in HOOKS.items()}
        for module, path, model, reads, writes in observer.added:
            row = Row(module + "." + path, module.partition(".")[0], model or None, reads, writes, added=True)
            self.asked.add(module + ":" + path)
            self.table.setdefault(module, {}).setdefault(path, row)
        for module, rows in self.table.items():
            if module in sys.modules:
                self.instrument(sys.modules[module], rows)

    def find_spec(self, name, path, target):
        """Finds a module of the table with the other finders, and arranges that
        its functions are instrumented once it has been executed."""
        rows = self.table.get(name)
        if rows is None:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self.observer or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                break
        else:
            return None
        # The class is put back before the module is executed: the loader that
        # the program sees is the very object that it would have seen.
        if type(spec.loader) is SourceFileLoader:
            spec.loader.__class__ = Loader
            spec.loader.convrun = lambda module: self.instrument(module, rows)
        else:
            self.observer.append({
                "kind": "problem",
                "message": "%s is loaded by %s, its calls are not observed" % (name, qualified(type(spec.loader))),
            })
        return spec

    def instrument(self, module, rows):
        for path, row in rows.items():
            name = module.__name__ + ":" + path
            try:
                layers = find(module, path)
                if isinstance(row, Shown):
                    splice(layers[0], Note(self, self.shown), False)
                elif isinstance(row, Logged):
                    splice(layers[0], Note(self, self.logged), False)
                else:
                    self.observe(layers, row, module)
                self.tell(name, "")
            except KeyError:
                # This version of the package has no such function.
                self.tell(name, "the module %s, which was imported, has no such function" % module.__name__)
            except Exception as error:
                if name not in self.asked:
                    self.observer.problem("observe %s.%s" % (module.__name__, path))
                self.tell(name, "it cannot be observed: %s: %s" % (type(error).__name__, error))

    def observe(self, layers, row, module):
        """Observes the outermost function that can be: what decorates another
        may be no Python, or have no source."""
        if any(id(function) in self.observed for function in layers):
            return
        for function in layers:
            try:
                if not isinstance(function, types.FunctionType):
                    raise TypeError("not a function written in Python but a %s" % qualified(type(function)))
                mark(function, Probe(self, row, function, module))
                break
            except Exception:
                if function is layers[-1]:
                    raise
        self.observed[id(function)] = function

    def tell(self, name, reason):
        """Tells of a function that the user added why it is not observed;
        no reason means that it is."""
        if name in self.asked:
            self.observer.append({"kind": "added", "function": name, "message": reason})

    def shown(self, message):
        category = message.category or type(message.message)
        self.note("warnings", qualified(category), str(message.message), message.filename, message.lineno)

    def logged(self, logger, record):
        if record.levelno < 30:
            return
        if any((origin + ".").startswith(n + ".") for n in LOGGERS for origin in (record.name, written_by(record))):
            self.note(record.name, record.levelname, record.getMessage(), record.pathname, record.lineno)

    def note(self, source, category, message, filename, line):
        self.notes += 1
        if self.notes > NOTES:
            return
        self.observer.append({
            "kind": "warning", "pid": os.getpid(), "source": source, "category": category,
            "message": clip(message), "file": clip(str(filename)), "line": int(line or 0),
        })

    def frameworks(self):
        for name, describe in FRAMEWORKS.items():
            module = sys.modules.get(name)
            # A module may import others when asked for what it has not yet.
            version = getattr(module, "__dict__", {}).get("__version__")
            if version is None:
                continue
            facts = Facts()
            try:
                describe(facts, module)
            except Exception:
                self.observer.problem("describe %s" % name)
            record = {
                "kind": "framework", "pid": os.getpid(), "name": DISTRIBUTIONS.get(name, name), "version": str(version),
                "build": facts.build, "numerics": facts.numerics, "accelerators": facts.accelerators,
            }
            if self.said.get(name) != record:
                self.said[name] = record
                self.observer.append(record)

    def finish(self):
        self.frameworks()
        if self.notes > NOTES:
            self.observer.append({"kind": "dropped", "count": self.notes - NOTES})
        if self.added.refused:
            self.observer.append({"kind": "refused", "count": self.added.refused})


class Allowance:
    """What may be recorded of functions that the user added, so that a busy
    one leaves room for the converters."""

    def __init__(self):
        self.calls, self.size = 100, 1 << 20
        self.refused = 0

    def left(self):
        if self.calls > 0 and self.size > 0:
            return True
        self.refused += 1
        return False

    def spend(self, size):
        self.calls -= 1
        self.size -= size


def find(module, path):
    """The function that a module has under a path, then what it decorates, from
    the outside to the inside."""
    function = module
    for name in path.split("."):
        function = vars(function)[name]
    if isinstance(function, (classmethod, staticmethod)):
        function = function.__func__
    layers = [function]
    while isinstance(layers[-1], types.FunctionType) and "__wrapped__" in vars(layers[-1]):
        layers.append(layers[-1].__wrapped__)
    return layers


def written_by(record):
    """The package whose file a record of the root logger comes from: some
    converters have no logger of their own."""
    if record.name != "root":
        return ""
    return str(record.pathname).replace(os.sep, "/").rpartition("-packages/")[2].partition("/")[0]


class Note:
    """Is told the arguments of a function and does nothing to its call."""

    def __init__(self, recorder, tell):
        self.recorder = recorder
        self.tell = tell

    def enter(self, *values):
        state = self.recorder.state
        if getattr(state, "busy", False):
            return
        state.busy = True
        try:
            self.tell(*values)
        except Exception:
            self.recorder.observer.problem("note a warning")
        finally:
            state.busy = False


class Probe:
    """Is told the start and the end of each call of one function."""

    def __init__(self, recorder, row, function, module):
        self.recorder = recorder
        self.row = row
        self.module = module
        self.signature = inspect.signature(function)
        self.own = own_signature(function)

    def enter(self, *values):
        """Notes the call and returns the true values of the parameters."""
        calls = self.recorder.state.__dict__.setdefault("calls", [])
        others = [call["name"] for call in calls if not call["added"]]
        outermost = not others or others == [self.row.within]
        call = {"error": None, "pid": None, "name": self.row.name, "added": self.row.added}
        calls.append(call)
        given = [type(value) is not Default for value in values]
        values = tuple([value.value if type(value) is Default else value for value in values])
        try:
            # An added function may be one that the recorder itself uses.
            if (self.row.added or outermost) and not getattr(self.recorder.state, "busy", False):
                self.start(call, given, values)
        except BaseException:  # an interrupt; the function does not begin
            calls.pop()
            raise
        return values

    def start(self, call, given, values):
        state, recorder, row = self.recorder.state, self.recorder, self.row
        written = recorder.observer.written
        if row.added and not recorder.added.left():
            return
        before = getattr(state, "busy", False)
        state.busy = True
        try:
            passed, arguments = self.bound(given, values)
            model = next((arguments[n] for n in row.model if n in arguments), None)
            if row.modules and not is_a(model, "torch", "nn", "Module"):
                return
            call["id"] = next(recorder.calls)
            package = sys.modules.get(row.package)
            describe = Describer()
            known = dict(arguments, **settings(row.settings, arguments))
            record = {
                "kind": "start", "id": call["id"], "pid": os.getpid(), "time": str(time.time_ns()),
                "function": row.name, "module": self.module.__name__,
                "file": str(getattr(self.module, "__file__", None) or ""),
                "package": DISTRIBUTIONS.get(row.package, row.package), "version": str(getattr(package, "__version__", "")),
                "saves": row.saves or row.readies, "added": row.added,
                "given": passed,
                "reads": [p for n in row.reads for p in paths(known.get(n))],
                "writes": [p for n in row.writes for p in paths(known.get(n))],
                "arguments": {name: describe(value) for name, value in known.items()},
                "model": census(model),
            }
            if not recorder.observer.append(record):
                record["arguments"] = {"…": "too large to be recorded"}
                record["model"] = None
                recorder.observer.append(record)
            if row.added:
                recorder.added.spend(recorder.observer.written - written)
            call["pid"] = os.getpid()
            call["clock"] = time.perf_counter_ns()
        except Exception:
            recorder.observer.problem("note a call of %s" % row.name)
        finally:
            state.busy = before

    def bound(self, given, values):
        """The names of the parameters that were passed, and all parameters with
        their values."""
        named = dict(zip([p.name for p in ordered(self.own)], zip(given, values)))
        parameters = list(self.own.values())
        passed = [p.name for p in parameters if named[p.name][0] and not empty(p, named[p.name][1])]
        if list(self.own) != list(self.signature.parameters):
            # The function stands for one with the parameters that it shows.
            args, kwargs = handed_on(parameters, named)
            try:
                shown = self.signature.bind(*args, **kwargs)
            except TypeError:
                pass  # as the call itself will find
            else:
                passed = list(shown.arguments)
                shown.apply_defaults()
                return passed, shown.arguments
        return passed, {p.name: named[p.name][1] for p in parameters}

    def raised(self):
        """Runs while the function's exception is on its way out."""
        try:
            call = self.recorder.state.calls[-1]
            if call["pid"] is None:
                return
            call["error"] = "raised: " + qualified(sys.exc_info()[0])
            text = str(sys.exc_info()[1])
            if text:
                call["error"] += ": " + clip(text)
        except (Exception, SystemExit):
            pass  # of the exception's own __str__

    def leave(self):
        try:
            call = self.recorder.state.calls.pop()
            # A child that was forked during the call is not the one to tell
            # its end.
            if call["pid"] is None or call["pid"] != os.getpid():
                return
            self.recorder.observer.append({
                "kind": "end", "id": call["id"], "outcome": call["error"] or "returned",
                "duration": str(time.perf_counter_ns() - call["clock"]),
            })
            if not self.row.saves:
                # A process that ends by os._exit says nothing at its end.
                self.recorder.frameworks()
        except Exception:
            self.recorder.observer.problem("note the end of a call of %s" % self.row.name)


def settings(name, arguments):
    """The attributes of the argument name that are settings of the call, each
    as "name.attribute": the public ones, and those that TensorFlow Lite marks
    as experimental."""
    return {
        "%s.%s" % (name, key): value for key, value in attributes(arguments.get(name)).items()
        if not key.startswith("_") or key.startswith("_experimental")
    }


def own_signature(function):
    """The parameters of the function's own code by name, whatever a decorator
    has it show."""
    plain = types.FunctionType(function.__code__, {}, "", function.__defaults__, function.__closure__)
    plain.__kwdefaults__ = function.__kwdefaults__
    return inspect.signature(plain).parameters


def ordered(parameters):
    """Parameters in the order of a code object's local variables."""
    rank = {inspect.Parameter.VAR_POSITIONAL: 1, inspect.Parameter.VAR_KEYWORD: 2}
    return sorted(parameters.values(), key=lambda p: rank.get(p.kind, 0))


def handed_on(parameters, named):
    """The arguments, by position and by name, that a function was given to hand
    on. After a parameter that was not given none can have been by position."""
    args, kwargs, gap = [], {}, False
    for p in parameters:
        given, value = named[p.name]
        if p.kind == p.VAR_POSITIONAL:
            args.extend(value)
        elif p.kind == p.VAR_KEYWORD:
            kwargs.update(value)
        elif not given:
            gap = True
        elif gap or p.kind == p.KEYWORD_ONLY:
            kwargs[p.name] = value
        else:
            args.append(value)
    return args, kwargs


def empty(parameter, value):
    """Tells whether a *args or **kwargs parameter got nothing."""
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and not value


def mark(function, probe):
    """Observes the function's calls with probe, defaults marked."""
    splice(function, probe, True)
    function.__signature__ = probe.signature
    if function.__defaults__:
        function.__defaults__ = tuple([Default(v) for v in function.__defaults__])
    if function.__kwdefaults__:
        function.__kwdefaults__ = {k: Default(v) for k, v in function.__kwdefaults__.items()}


def splice(function, probe, whole):
    """Makes the function call probe.enter with its parameters before anything
    else and, if whole, take what that returns as their values and call
    probe.raised and probe.leave at its end."""
    code = function.__code__
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise TypeError("not a plain function")
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    new = quietly(respell, code, code.co_varnames[:count], whole)
    consts = tuple([probe if type(c) is str and c == PLACE else c for c in new.co_consts])
    function.__code__ = new.replace(co_consts=consts)


def respell(code, names, whole):
    """Compiles the source of code with the calls in it."""
    with open(code.co_filename, "rb") as file:
        text = file.read()
    # The function's own lines take a tenth of the time, and nearly always do.
    for cut in (alone, lambda text, code: ast.parse(text, code.co_filename)):
        try:
            tree = cut(text, code)
            node = prune(tree, code)
            if rebuild(tree, code) == code:
                break
        except Exception:
            if cut is not alone:
                raise
    else:
        raise ValueError("%s does not compile to the code that runs" % code.co_filename)
    inject(node, names, whole)
    return rebuild(tree, code)


def alone(text, code):
    """Parses only the lines of code, each at its own line number, and what is
    imported before; those of a method inside of its class, whose name its
    private names depend on, those of an inner function from where the outer one
    begins."""
    last = max(end or 0 for _, end, _, _ in code.co_positions())  # needs 3.11
    lines, first = text.splitlines(True), code.co_firstlineno - 1
    outer, _, inner = code.co_qualname.partition(".<locals>.")
    around = b""
    if inner:
        first = max(n for n in range(first) if lines[n].startswith(b"def %s(" % outer.encode()))
    elif lines[first][:1].isspace():
        around = b"class %s:" % outer.split(".")[-2].encode()
    before = b"".join(imports(lines[:max(0, first - 1)]))
    return ast.parse(before + around + b"\n" * min(first, 1) + b"".join(lines[first:last]), code.co_filename)


def imports(lines):
    """Empties the lines that import nothing. Calls of what is imported have
    other instructions. What this takes wrongly leads to other code."""
    kept, more = [], False
    for line in lines:
        inside = more or line.startswith((b"import ", b"from "))
        more = inside and ((more or b"(" in line) and b")" not in line or line.rstrip().endswith(b"\\"))
        kept.append(line if inside else b"\n")
    return kept


def quietly(action, *arguments):
    """Keeps what the compiler has to warn of from being said a second time.

    warnings.catch_warnings would do more than that: it makes every module
    forget which warnings it has shown.
    """
    filters = warnings.filters
    warnings.filters = [("ignore", None, Warning, None, 0)]
    try:
        return action(*arguments)
    finally:
        warnings.filters = filters


def prune(tree, code):
    """Drops the functions and classes of a module that are not on the way to
    the definition of code, and returns that definition. The rest stays, since
    compilers look at a module's imports when they choose instructions, and all
    of an outer function, whose variables an inner one may use."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    line = code.co_firstlineno

    def search(scope, inside):
        for block in [b for b in vars(scope).values() if isinstance(b, list)]:
            for node in [n for n in block if getattr(n, "end_lineno", None) and n.end_lineno >= line]:
                found = None
                if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
                    first = min([node.lineno] + [d.lineno for d in node.decorator_list])
                    found = node if first == line else None
                found = found or search(node, inside or isinstance(node, functions))
                if found is not None:
                    if not inside:
                        block[:] = [n for n in block if n is node or not isinstance(n, functions + (ast.ClassDef,))]
                    return found
        return None

    found = search(tree, False)
    if found is None:
        raise LookupError("no %s at line %d of %s" % (code.co_name, code.co_firstlineno, code.co_filename))
    return found


def rebuild(tree, code):
    """Compiles the tree and returns what became of the definition of code."""
    todo = [compile(tree, code.co_filename, "exec", code.co_flags & __future__.annotations.compiler_flag, True)]
    while todo:
        found = todo.pop()
        if (found.co_name, found.co_firstlineno) == (code.co_name, code.co_firstlineno) and found.co_flags & inspect.CO_NEWLOCALS:
            return found
        todo.extend(c for c in found.co_consts if inspect.iscode(c))
    raise LookupError("no code of %s in what its source compiles to" % code.co_name)


def inject(node, names, whole):
    """Puts the calls into the definition. All new code has the position of the
    first statement, so that no line is reported that was not there."""
    said = 0 if ast.get_docstring(node, False) is None else 1
    body = node.body[said:] or [ast.Pass()]

    def call(method, arguments):
        place = ast.Attribute(ast.Constant(PLACE), method, ast.Load())
        return ast.Call(place, [ast.Name(n, ast.Load()) for n in arguments], [])

    new = [ast.Expr(call("enter", names))] + body
    if whole:
        back = ast.Tuple([ast.Name(n, ast.Store()) for n in names], ast.Store())
        raised = ast.ExceptHandler(None, None, [ast.Expr(call("raised", ())), ast.Raise(None, None)])
        watched = ast.Try(body, [raised], [], [])
        leave = ast.Expr(call("leave", ()))
        new = [ast.Assign([back], call("enter", names)), ast.Try([watched], [], [], [leave])]
    first = (node.body[said:] or node.body)[0]
    node.body = node.body[:said] + new
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, first)


class Loader(SourceFileLoader):
    """A SourceFileLoader that tells once that it has executed a module."""

    def exec_module(self, module):
        tell = self.__dict__.pop("convrun")
        self.__class__ = SourceFileLoader
        self.exec_module(module)
        tell(module)


# In the eyes of the import system, and so in every traceback and stack level,
# the frame of this method is one of its own.
Loader.exec_module.__code__ = Loader.exec_module.__code__.replace(co_filename="<frozen importlib._bootstrap_external>")
Loader.__module__, Loader.__name__, Loader.__qualname__ = (
    SourceFileLoader.__module__, SourceFileLoader.__name__, SourceFileLoader.__qualname__)


def qualified(cls):
    module = getattr(cls, "__module__", None)
    name = getattr(cls, "__qualname__", None) or getattr(cls, "__name__", None) or "?"
    if type(module) is not str or module == "builtins":
        return clip(str(name))
    return clip(module + "." + str(name))


def clip(text):
    text = str.__str__(text)
    if len(text) <= CHARACTERS:
        return text
    return "%s… (%d characters)" % (text[:CHARACTERS], len(text))


def paths(value):
    """The absolute paths that a file argument names, if it names any."""
    if type(value) in (list, tuple):
        return [path for item in value[:ITEMS] for path in paths(item)]
    try:
        if value is not None and value != "" and not issubclass(type(value), int):
            return [os.path.abspath(os.fsdecode(value))]
    except TypeError:
        pass  # a file object
    return []


class Describer:
    """Turns a value into JSON without running code of the value's own: types
    are asked for, not values, since isinstance lets a value answer."""

    def __init__(self):
        self.nodes = 0

    def __call__(self, value, depth=0):
        self.nodes += 1
        if self.nodes > NODES or depth > DEPTH:
            return {"class": qualified(type(value)), "truncated": True}
        try:
            return self.plain(value, type(value), depth)
        except Exception as error:
            return {"class": qualified(type(value)), "unreadable": type(error).__name__}

    def plain(self, value, cls, depth):
        if value is None or cls is bool:
            return value
        if hasattr(cls, "__members__") and hasattr(value, "name"):  # enums, pybind11's too
            return clip("%s.%s" % (cls.__name__, value.name))
        if issubclass(cls, int):
            value = int.__int__(value)
            return value if -(1 << 53) <= value <= 1 << 53 else str(value)
        if issubclass(cls, float):
            value = float.__float__(value)
            if value != value:
                return "NaN"
            return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, value)
        if issubclass(cls, str):
            return clip(value)
        if issubclass(cls, (bytes, bytearray, memoryview)):
            return {"bytes": len(value)}
        if issubclass(cls, dict):
            return self.mapping(value, depth)
        if issubclass(cls, (list, tuple)):
            plain = list if issubclass(cls, list) else tuple
            return self.sequence(plain.__iter__(value), plain.__len__(value), depth)
        if issubclass(cls, (set, frozenset)):
            plain = set if issubclass(cls, set) else frozenset
            # Sorting takes its time; of a large one nothing is shown.
            members = sorted(plain.__iter__(value), key=rank) if plain.__len__(value) <= NODES else ()
            return self.sequence(members, plain.__len__(value), depth)
        return self.object(value, cls, depth)

    def mapping(self, value, depth):
        result = {}
        for key, item in dict.items(value):
            if len(result) == ITEMS:
                result["…"] = "%d more" % (dict.__len__(value) - ITEMS)
                break
            name = key if type(key) is str else callable_name(key) or self(key, DEPTH)
            result[clip(str(name))] = self(item, depth + 1)
        return result

    def sequence(self, items, length, depth):
        result = [self(item, depth + 1) for _, item in zip(range(ITEMS), items)]
        if length > len(result):
            result.append("… (%d more)" % (length - len(result)))
        return result

    def object(self, value, cls, depth):
        origin = str(getattr(cls, "__module__", "")).partition(".")[0]
        if origin == "pathlib":
            return clip(os.fspath(value))
        if origin in ARRAYS:
            array = tensor(value)
            if array is not None:
                return array
        if origin == "numpy" and hasattr(value, "item"):
            return self(value.item(), depth + 1)
        if (origin, cls.__name__) in WORDS:
            return clip(str(getattr(value, "name", value)))
        if cls is type and qualified(value).startswith(MIL):
            # Its own name is the same for all widths.
            return loaded(MIL[:-1]).builtin_to_string(value)
        name = callable_name(value)
        if name is not None:
            return {"callable": name}
        result = {"class": qualified(cls)}
        if cls.__name__ == "OperatorSetIdProto":
            result.update(domain=value.domain, version=value.version)
        own = attributes(value)
        for start, names in SHOWN.items():
            if result["class"].startswith(start):
                for name in names or [n for n in own if not n.startswith("_")]:
                    if name in own:
                        result[clip(name).strip("_")] = self(own[name], depth + 1)
        return result


# Packages whose arrays are described by dtype and shape.
ARRAYS = ("torch", "numpy", "tensorflow", "keras", "jax", "jaxlib", "ml_dtypes", "paddle")

# Classes by package whose instances are told by their name or str.
WORDS = {
    ("torch", "dtype"), ("torch", "device"), ("torch", "layout"), ("torch", "memory_format"), ("tensorflow", "DType"),
    ("openvino", "Type"), ("openvino", "PartialShape"), ("openvino", "Shape"), ("openvino", "Dimension"),
}

# Where Core ML's element types are, which are classes.
MIL = "coremltools.converters.mil.mil.types."

# Classes of whose objects these attributes are shown, or all: what arguments
# are put in, and models are not.
SHOWN = {
    "torch.export": ("__name__", "min", "max", "type"),  # Dim and its hints, for dynamic_shapes
    "skl2onnx.common.data_types": ("shape",),
    "onnxruntime.quantization.quantize": (),
    "optimum.exporters.onnx": ("task", "int_dtype", "float_dtype"),
    "coremltools.converters.mil.input_types.": (),
    "tensorflow.lite.python.lite.RepresentativeDataset": (),
    "tensorflow.lite.python.lite.TargetSpec": (),
    "tensorflow.python.saved_model.save_options.": (),
}

ROUTINES = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType, type)


def rank(value):
    """An order for the members of a set."""
    cls = type(value)
    return (qualified(cls), value if cls in (int, float, str, bytes) else 0)


def attributes(value):
    """The attributes that an object itself has."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        names = getattr(type(value), "__slots__", ())
        return {n: getattr(value, n) for n in names if type(names) is tuple and hasattr(value, n)}


def callable_name(value):
    """The qualified name of a function, a class or what passes for one, as a
    tf.function or a torch operator does; None for other objects."""
    cls = type(value)
    if issubclass(cls, ROUTINES):
        return qualified(value)
    own = attributes(value)
    if callable(value) and type(own.get("__name__")) is str:
        return clip("%s.%s" % (own.get("__module__", cls.__module__), own.get("__qualname__", own["__name__"])))
    return None


def tensor(value):
    if is_a(value, "torch", "Tensor"):
        # A subclass may run its own code when asked for its shape.
        with sys.modules["torch"]._C.DisableTorchFunctionSubclass():
            return {"dtype": str(value.dtype).replace("torch.", ""), "shape": [dimension(d) for d in value.shape]}
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None:
        return None
    name = getattr(dtype, "name", None) or str(dtype)
    if qualified(type(value)).startswith("paddle."):
        name = name.lower()  # of an enum
    if hasattr(shape, "as_list"):
        shape = shape.as_list() if shape.rank is not None else None
    if shape == () and qualified(type(value)).startswith("numpy.") and not hasattr(value, "__array_finalize__"):
        return None
    return {"dtype": str(name), "shape": None if shape is None else [dimension(d) for d in shape]}


def dimension(value):
    return value if value is None or type(value) is int else clip(str(value))


def census(model):
    """Class, training flag, parameter count and sub-modules by class; None for
    what only names a model."""
    if model is None or paths(model):
        return None
    result = {"class": qualified(type(model)), "training": None, "parameters": -1, "modules": []}
    try:
        if is_a(model, "torch", "nn", "Module"):
            tree_census(model, result, "_modules")
        elif is_a(model, "torch", "export", "ExportedProgram"):
            result["parameters"] = total(model.state_dict[n].shape for n in model.graph_signature.parameters)
        elif is_a(model, "paddle", "nn", "Layer"):
            tree_census(model, result, "_sub_layers")
        elif any(qualified(cls).partition(".")[0] in ("keras", "tf_keras", "tensorflow") for cls in type(model).__mro__):
            keras_census(model, result)
        elif is_a(model, "sklearn", "base", "BaseEstimator"):
            sklearn_census(model, result)
        elif is_a(model, "onnx", "ModelProto"):
            onnx_census(model, result)
    except Exception as error:
        result["problem"] = "%s: %s" % (type(error).__name__, clip(str(error)))
    return result


def is_a(value, *path):
    """isinstance, for a class that may not have been imported."""
    found = sys.modules.get(path[0])
    for name in path[1:]:
        found = getattr(found, "__dict__", {}).get(name)
    return found is not None and issubclass(type(value), found)


def tree_census(model, result, children):
    """Counts a torch or Paddle model, whose modules name their sub-modules in
    the attribute children."""
    if isinstance(model.training, bool):
        result["training"] = model.training
    counts, seen, parameters, todo = {}, set(), {}, [model]
    while todo:
        module = todo.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        name = qualified(type(module))
        if type(module).__name__ == "RecursiveScriptModule":
            name += "[%s]" % module.original_name
        count = counts.setdefault(name, [0, 0])
        count[0] += 1
        count[1] += module.training is True
        parameters.update((id(p), p.shape) for _, p in module._parameters.items() if p is not None)
        todo.extend(child for _, child in getattr(module, children).items())
    result["modules"] = by_class(counts)
    result["parameters"] = total(parameters.values())


def keras_census(model, result):
    counts, seen, todo = {}, set(), [model]
    while todo:
        layer = todo.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        counts[qualified(type(layer))] = counts.get(qualified(type(layer)), 0) + 1
        todo.extend(getattr(layer, "layers", None) or ())
    result["modules"] = by_class({n: (c, 0) for n, c in counts.items()})
    weights = model.weights if hasattr(model, "weights") else model.variables  # those of a tf.Module
    result["parameters"] = total({id(w): w.shape for w in weights}.values())


def sklearn_census(model, result):
    """Counts the estimators that the object holds, also the unfitted ones that
    it made the fitted ones from."""
    counts, seen, todo = {}, set(), [model]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        if len(seen) == OBJECTS:
            result["problem"] = "only the first %d objects were looked at" % OBJECTS
            break
        seen.add(id(value))
        if is_a(value, "sklearn", "base", "BaseEstimator"):
            counts[qualified(type(value))] = counts.get(qualified(type(value)), 0) + 1
            todo.extend(attributes(value).values())
        elif type(value) in (list, tuple):
            todo.extend(value)
        elif type(value) is dict:
            todo.extend(value.values())
        elif is_a(value, "numpy", "ndarray") and value.dtype.hasobject:
            todo.extend(value.flat)  # where ensembles keep their estimators
    result["modules"] = by_class({n: (c, 0) for n, c in counts.items()})


def onnx_census(model, result):
    """Counts the nodes of the main graph by operator, and those of them that
    act as in training, for all that the graph says."""
    counts = {}
    flags = {t.name: t for t in model.graph.initializer if t.data_type == 9}  # BOOL
    flags.update((n.output[0], n.attribute[0].t) for n in model.graph.node if n.op_type == "Constant" and n.attribute)
    before = any(o.version < 7 for o in model.opset_import if o.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        name = clip("%s.%s" % (node.domain, node.op_type) if node.domain else node.op_type)
        count = counts.setdefault(name, [0, 0])
        count[0] += 1
        count[1] += node.op_type in ("BatchNormalization", "Dropout") and trains(node, flags, before)
    result["modules"] = by_class(counts)
    result["parameters"] = total(tensor.dims for tensor in model.graph.initializer)


def trains(node, flags, before):
    """Before opset 7 an attribute told that a node acts as in inference, since
    then one, or a third input, tells that it acts as in training."""
    told = {a.name: a.i for a in node.attribute}
    if before:
        return not told.get("is_test")
    if node.op_type == "BatchNormalization":
        return bool(told.get("training_mode"))
    if len(node.input) < 3 or not node.input[2]:
        return False
    flag = flags.get(node.input[2])
    return flag is None or any(flag.int32_data) or any(flag.raw_data)  # None is computed


def by_class(counts):
    """What a census records of classes, each with how many it has and how many
    of these act as in training."""
    return [{"class": n, "count": c, "training": t} for n, (c, t) in sorted(counts.items())]


def total(shapes):
    count = 0
    for shape in shapes:
        size = 1
        for dimension in shape:
            size *= int(dimension)
        count += size
    return count


class Facts:
    """What a framework says of itself, as strings."""

    def __init__(self):
        self.build, self.numerics, self.accelerators = {}, {}, []

    def ask(self, place, name, question):
        """Files the answer under name; a question that this version of the
        framework does not understand has none."""
        try:
            answer = question()
        except Exception:
            return
        if answer is not None and answer != "":
            if answer is True or answer is False:
                answer = str(answer).lower()
            place[name] = clip(str(answer))


def loaded(name):
    """A module that the process has imported; nothing is imported for it."""
    return sys.modules[name]


def torch_facts(facts, torch):
    build, numerics, ask = facts.build, facts.numerics, facts.ask
    for name in ("cuda", "hip", "xpu", "git_version", "debug"):
        ask(build, name, lambda: getattr(torch.version, name))
    ask(build, "cudnn", lambda: ".".join(str(n) for n in torch._C._cudnn.getCompileVersion()))
    ask(build, "parallel_backend", lambda: torch._C._parallel_info().rpartition("backend: ")[2].strip())
    ask(build, "onednn", lambda: shown_config(torch, "Intel(R) MKL-DNN "))
    ask(build, "mkl", lambda: shown_config(torch, "Intel(R) oneAPI Math Kernel Library "))
    ask(numerics, "torch.num_threads", lambda: torch.get_num_threads())
    ask(numerics, "torch.num_interop_threads", lambda: torch.get_num_interop_threads())
    ask(numerics, "torch.default_dtype", lambda: torch.get_default_dtype())
    ask(numerics, "torch.initial_seed", lambda: torch.default_generator.initial_seed())
    ask(numerics, "torch.deterministic_algorithms", lambda: torch._C._get_deterministic_algorithms())
    ask(numerics, "torch.deterministic_algorithms_warn_only", lambda: torch._C._get_deterministic_algorithms_warn_only())
    ask(numerics, "torch.cudnn_enabled", lambda: torch._C._get_cudnn_enabled())
    ask(numerics, "torch.cudnn_deterministic", lambda: torch._C._get_cudnn_deterministic())
    ask(numerics, "torch.cudnn_benchmark", lambda: torch._C._get_cudnn_benchmark())
    ask(numerics, "torch.cudnn_allow_tf32", lambda: torch._C._get_cudnn_allow_tf32())
    ask(numerics, "torch.cuda_matmul_allow_tf32", lambda: torch._C._get_cublas_allow_tf32())
    ask(numerics, "torch.cuda_matmul_precision", lambda: torch._C._get_fp32_precision_getter("cuda", "matmul"))
    ask(numerics, "torch.cpu_capability", lambda: torch._C._get_cpu_capability())
    ask(numerics, "torch.default_device", lambda: loaded("torch.utils._device").CURRENT_DEVICE or "cpu")
    ask(numerics, "torch.deterministic_fill_uninitialized_memory", lambda: torch._C._get_deterministic_fill_uninitialized_memory())
    ask(numerics, "torch.float32_matmul_precision", lambda: torch._C._get_float32_matmul_precision())
    ask(numerics, "torch.cuda_matmul_allow_fp16_reduction", lambda: first_of(torch._C._get_cublas_allow_fp16_reduced_precision_reduction()))
    ask(numerics, "torch.cuda_matmul_allow_bf16_reduction", lambda: first_of(torch._C._get_cublas_allow_bf16_reduced_precision_reduction()))
    ask(numerics, "torch.cudnn_conv_precision", lambda: torch._C._get_fp32_precision_getter("cuda", "conv"))
    ask(numerics, "torch.cudnn_rnn_precision", lambda: torch._C._get_fp32_precision_getter("cuda", "rnn"))
    ask(numerics, "torch.onednn_enabled", lambda: torch._C._get_mkldnn_enabled())
    ask(numerics, "torch.onednn_deterministic", lambda: torch._C._get_mkldnn_deterministic())
    ask(numerics, "torch.onednn_matmul_precision", lambda: torch._C._get_fp32_precision_getter("mkldnn", "matmul"))
    ask(numerics, "torch.onednn_conv_precision", lambda: torch._C._get_fp32_precision_getter("mkldnn", "conv"))
    ask(numerics, "torch.nnpack_enabled", lambda: torch._C._get_nnpack_enabled())
    # Not tried on a real GPU.
    if "torch.cuda" in sys.modules and torch.cuda._initialized:
        for index in range(torch._C._cuda_getDeviceCount()):
            driver = str(torch._C._cuda_getDriverVersion())
            facts.accelerators.append({"name": torch.cuda.get_device_name(index), "driver": driver})
            ask(numerics, "torch.cuda_%d_initial_seed" % index, lambda: torch.cuda.default_generators[index].initial_seed())


def first_of(value):
    """Of a flag that newer versions tell together with a second one."""
    return value[0] if type(value) is tuple else value


def shown_config(torch, start):
    """The rest of the line of torch.__config__.show() that begins with start."""
    for line in torch._C._show_config().split("\n"):
        line = line.strip(" -")
        if line.startswith(start):
            return line[len(start):]
    return None


def tensorflow_facts(facts, tensorflow):
    ask = facts.ask
    versions = "tensorflow.python.framework.versions"
    ask(facts.build, "git_version", lambda: loaded(versions).GIT_VERSION)
    ask(facts.build, "compiler", lambda: loaded(versions).COMPILER_VERSION)
    info = getattr(sys.modules.get("tensorflow.python.platform.build_info"), "build_info", {})
    for name in ("cuda_version", "cudnn_version", "is_cuda_build", "is_rocm_build"):
        ask(facts.build, name, lambda: info[name])
    config = "tensorflow.python.framework.config"
    ask(facts.numerics, "tensorflow.deterministic_ops", lambda: loaded(config).is_op_determinism_enabled())
    ask(facts.numerics, "tensorflow.tensor_float_32", lambda: loaded(config).tensor_float_32_execution_enabled())
    # 0 is TensorFlow's word for "chosen by itself".
    ask(facts.numerics, "tensorflow.intra_op_threads", lambda: context()._intra_op_parallelism_threads or 0)
    ask(facts.numerics, "tensorflow.inter_op_threads", lambda: context()._inter_op_parallelism_threads or 0)
    ask(facts.numerics, "tensorflow.seed", lambda: context()._seed)
    port = "tensorflow.python.util._pywrap_util_port"
    ask(facts.numerics, "tensorflow.onednn", lambda: loaded(port).IsMklEnabled())
    # None is TensorFlow's word for "as the environment has it".
    ask(facts.numerics, "tensorflow.optimizer_jit", lambda: context()._optimizer_jit)
    ask(facts.numerics, "tensorflow.jit_compile_rewrite", lambda: context()._jit_compile_rewrite)
    current = context()
    if current is not None and current._initialized:
        for device in current._physical_devices or ():
            if device.device_type != "CPU":
                facts.accelerators.append({"name": str(device.name), "driver": ""})


def context():
    """TensorFlow's eager context, if there is one; asking for it in public
    would make one."""
    return getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)


def keras_facts(facts, keras):
    config = "keras.src.backend.config"
    facts.ask(facts.build, "backend", lambda: loaded(config).backend())
    facts.ask(facts.numerics, "keras.floatx", lambda: loaded(config).floatx())
    facts.ask(facts.numerics, "keras.epsilon", lambda: loaded(config).epsilon())
    state = "keras.src.backend.common.global_state"
    facts.ask(facts.numerics, "keras.seed", lambda: loaded(state).get_global_attribute("global_random_seed"))
    facts.ask(facts.numerics, "keras.image_data_format", lambda: loaded(config).image_data_format())


# Its devices are not told: it has left them when the process ends.
def jax_facts(facts, jax):
    facts.ask(facts.build, "jaxlib", lambda: loaded("jaxlib.version").__version__)
    for name in ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl", "jax_numpy_dtype_promotion", "jax_platforms"):
        facts.ask(facts.numerics, "jax." + name[4:], lambda: getattr(loaded("jax").config, name))


def onnx_facts(facts, onnx):
    facts.ask(facts.build, "ir_version", lambda: int(onnx.IR_VERSION))
    facts.ask(facts.build, "opset", lambda: loaded("onnx.defs").onnx_opset_version())


def onnxruntime_facts(facts, onnxruntime):
    native = "onnxruntime.capi.onnxruntime_pybind11_state"
    facts.ask(facts.build, "package", lambda: onnxruntime.package_name)
    facts.ask(facts.build, "info", lambda: loaded(native).get_build_info().partition("Build Info: ")[2])
    facts.ask(facts.build, "cuda", lambda: onnxruntime.cuda_version)
    facts.ask(facts.build, "providers", lambda: ", ".join(loaded(native).get_available_providers()))


def paddle_facts(facts, paddle):
    build, numerics, ask = facts.build, facts.numerics, facts.ask
    version = "paddle.version"
    for name in ("commit", "cuda_version", "cudnn_version", "hip_version", "tensorrt_version", "with_mkl"):
        ask(build, name, lambda: getattr(loaded(version), name))
    ask(build, "compiled_with_cuda", lambda: paddle.base.core.is_compiled_with_cuda())
    ask(numerics, "paddle.default_dtype", lambda: paddle.get_default_dtype())
    ask(numerics, "paddle.seed", lambda: paddle.base.core.default_cpu_generator().initial_seed())
    for flag in ("cudnn_deterministic", "embedding_deterministic", "paddle_num_threads", "enable_pir_api"):
        ask(numerics, "paddle." + flag, lambda: loaded("paddle.base.framework")._global_flags()["FLAGS_" + flag])


def no_facts(facts, module):
    pass


FRAMEWORKS = {
    "torch": torch_facts,
    "tensorflow": tensorflow_facts,
    "keras": keras_facts,
    "tf_keras": no_facts,
    "jax": jax_facts,
    "paddle": paddle_facts,
    "onnxruntime": onnxruntime_facts,
    "tf2onnx": no_facts,
    "onnx": onnx_facts,
    "openvino": no_facts,
    "coremltools": no_facts,
    "litert_torch": no_facts,
    "paddle2onnx": no_facts,
}
