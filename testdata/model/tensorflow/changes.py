"""Writes variants of a TensorFlow Lite model for the tests of the canonical
digest.

    python changes.py FILE FOLDER

noise_* do the same as FILE, change_* differ in one thing that a runtime would
notice. TensorFlow's generated reader is loaded without TensorFlow.
"""
import copy
import importlib.util
import os
import random
import sys

import flatbuffers

found = importlib.util.find_spec("tensorflow")
path = os.path.join(os.path.dirname(found.origin), "lite/python/schema_py_generated.py")
spec = importlib.util.spec_from_file_location("schema", path)
schema = importlib.util.module_from_spec(spec)
spec.loader.exec_module(schema)


def read(file):
    with open(file, "rb") as f:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(f.read())))


def write(m, file):
    builder = flatbuffers.Builder(1024)
    builder.Finish(m.Pack(builder), b"TFL3")
    with open(file, "wb") as f:
        f.write(builder.Output())


KEEP_STATE = {getattr(schema.BuiltinOperator, name) for name in ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CUSTOM")}


def stateful(m):
    return any(m.operatorCodes[op.opcodeIndex].builtinCode in KEEP_STATE for g in m.subgraphs for op in g.operators) \
        or any(t.isVariable for g in m.subgraphs for t in g.tensors)


# --- noise ------------------------------------------------------------------

def again(m):
    """The same, as another writer lays it out."""


def rename(m):
    m.description = b"someone else's"
    m.metadata = None
    for g in m.subgraphs:
        g.name = b"another"
        for i, t in enumerate(g.tensors):
            t.name = b"tensor_%d" % i
    for s in m.signatureDefs or []:
        for v in s.inputs + s.outputs:
            v.name = b"n" + v.name


def buffers(m):
    """Weights in another order, and buffers that nothing uses."""
    order = list(range(1, len(m.buffers)))
    random.shuffle(order)
    new = {0: 0, **{old: i + 1 for i, old in enumerate(order)}}
    m.buffers = [m.buffers[0]] + [m.buffers[old] for old in order] + [schema.BufferT()]
    for g in m.subgraphs:
        for t in g.tensors:
            t.buffer = new[t.buffer]
    for e in m.metadata or []:
        e.buffer = new[e.buffer]


def tensors(m):
    """Tensors and operator codes in another order."""
    for at, g in enumerate(m.subgraphs):
        order = list(range(len(g.tensors)))
        random.shuffle(order)
        new = {-1: -1, **{old: i for i, old in enumerate(order)}}
        g.tensors = [g.tensors[old] for old in order]
        for field in ("inputs", "outputs"):
            setattr(g, field, [new[int(i)] for i in getattr(g, field)])
        for op in g.operators:
            op.inputs, op.outputs = [new[int(i)] for i in op.inputs], [new[int(i)] for i in op.outputs]
            if op.intermediates is not None:
                op.intermediates = [new[int(i)] for i in op.intermediates]
        for s in m.signatureDefs or []:
            if s.subgraphIndex == at:
                for v in s.inputs + s.outputs:
                    v.tensorIndex = new[v.tensorIndex]
    codes = list(range(len(m.operatorCodes)))
    random.shuffle(codes)
    m.operatorCodes = [m.operatorCodes[old] for old in codes]
    for g in m.subgraphs:
        for op in g.operators:
            op.opcodeIndex = codes.index(op.opcodeIndex)


def reorder(m):
    """Another order that is as good; not where operators keep state."""
    if stateful(m):
        return
    for g in m.subgraphs:
        left, order, done = list(g.operators), [], set()
        made = {int(o) for op in left for o in op.outputs}
        while left:
            op = random.choice([op for op in left if not ({int(i) for i in op.inputs} & made - done)])
            left.remove(op)
            order.append(op)
            done |= {int(o) for o in op.outputs}
        g.operators = order


# --- changes ----------------------------------------------------------------

def changes(file):
    m = read(file)

    def edited(edit):
        c = read(file)
        return c if edit(c) is not False else None

    for at, g in enumerate(m.subgraphs):
        wanted = needed(m, at)
        for i, op in enumerate(g.operators):
            if i not in wanted:
                continue
            yield f"operator_{at}_{i}", edited(lambda c: another_code(c, at, i))
            yield f"version_{at}_{i}", edited(lambda c: another_code(c, at, i, version=9))
            if len(op.inputs) > 1 and op.inputs[0] != op.inputs[1]:
                def swap(c):
                    o = c.subgraphs[at].operators[i]
                    o.inputs = [o.inputs[1], o.inputs[0]] + list(o.inputs[2:])
                yield f"inputs_swapped_{at}_{i}", edited(swap)
            for name, value in sorted(vars(op.builtinOptions).items()) if op.builtinOptions else []:
                def option(c):
                    o = c.subgraphs[at].operators[i].builtinOptions
                    if "ubgraph" in name or isinstance(value, bytes):
                        return False
                    setattr(o, name, not value if isinstance(value, bool) else value + 1 if isinstance(value, (int, float)) else [7])
                yield f"option_{at}_{i}_{name}", edited(option)
            for j in [int(i) for i in op.inputs if i >= 0]:
                t = g.tensors[j]
                data = m.buffers[t.buffer].data
                if data is None or not len(data):
                    continue
                for k in sorted({0, len(data) // 2, len(data) - 1}):
                    def weight(c):
                        d = bytearray(c.buffers[t.buffer].data)
                        d[k] ^= 1 << random.randrange(8)
                        c.buffers[t.buffer].data = d
                    yield f"weight_{t.buffer}_{k}", edited(weight)
            for j in [int(o) for o in op.outputs] + [int(i) for i in op.inputs if i >= 0]:
                def kind(c):
                    c.subgraphs[at].tensors[j].type = schema.TensorType.INT16
                yield f"dtype_{at}_{j}", edited(kind)

                def shape(c):
                    tensor = c.subgraphs[at].tensors[j]
                    tensor.shape = list(tensor.shape if tensor.shape is not None else []) + [1]
                yield f"shape_{at}_{j}", edited(shape)

                def scale(c):
                    q = c.subgraphs[at].tensors[j].quantization
                    if q is None or q.scale is None or not len(q.scale):
                        return False
                    q.scale = [s * 2 for s in q.scale]
                yield f"scale_{at}_{j}", edited(scale)
        if len(g.inputs) > 1 and (at == 0 or any(s.subgraphIndex == at for s in m.signatureDefs or [])):
            def order(c):
                c.subgraphs[at].inputs = list(c.subgraphs[at].inputs)[::-1]
            yield f"input_order_{at}", edited(order)


def needed(m, at):
    """The operators that count."""
    g = m.subgraphs[at]
    if stateful(m):
        return set(range(len(g.operators)))
    wanted, found = {int(o) for o in g.outputs}, set()
    for i in reversed(range(len(g.operators))):
        op = g.operators[i]
        if {int(o) for o in op.outputs} & wanted:
            found.add(i)
            wanted |= {int(i) for i in op.inputs}
    return found


def another_code(c, at, i, version=None):
    op = c.subgraphs[at].operators[i]
    code = copy.deepcopy(c.operatorCodes[op.opcodeIndex])
    if version:
        code.version = version
    else:
        code.builtinCode, code.deprecatedBuiltinCode = 78, 78
        if code.builtinCode == c.operatorCodes[op.opcodeIndex].builtinCode:
            return False
    c.operatorCodes.append(code)
    op.opcodeIndex = len(c.operatorCodes) - 1


def main():
    random.seed(1)
    file, folder = sys.argv[1:]
    for name in ("again", "rename", "buffers", "tensors", "reorder"):
        m = read(file)
        globals()[name](m)
        write(m, os.path.join(folder, f"noise_{name}.tflite"))
    done = set()
    for name, m in changes(file):
        if m is not None and name not in done:
            write(m, os.path.join(folder, f"change_{name}.tflite"))
        done.add(name)


main()
