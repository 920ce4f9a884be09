"""Writes variants of an ONNX model for the tests of the canonical digest.

    python changes.py FILE FOLDER

noise_* do the same as FILE: other names, order, documentation, encoding and
places of weights. change_* differ in one thing that a runtime would notice.
"""
import copy
import os
import random
import sys

import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper


def graphs(g):
    """The graph and those in attributes of its nodes."""
    yield g
    for n in g.node:
        for a in n.attribute:
            for inner in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from graphs(inner)


def bodies(m):
    yield from graphs(m.graph)
    for f in m.functions:
        yield f


def constants(m):
    """Every dense tensor of the model."""
    for g in graphs(m.graph):
        yield from g.initializer
    for b in bodies(m):
        for n in b.node:
            for a in n.attribute:
                if a.HasField("t"):
                    yield a.t
                yield from a.tensors


def dimensions(t):
    """The symbolic dimensions of a type."""
    kind = t.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        yield from (d for d in getattr(t, kind).shape.dim if d.dim_param)
    elif kind in ("sequence_type", "optional_type"):
        yield from dimensions(getattr(t, kind).elem_type)
    elif kind == "map_type":
        yield from dimensions(t.map_type.value_type)


# --- noise ------------------------------------------------------------------

def rename(m):
    new = lambda s: "renamed/" + s if s else s
    for g in graphs(m.graph):
        g.name = "another"
        for n in g.node:
            n.name = "n" + str(random.random())
            n.input[:] = map(new, n.input)
            n.output[:] = map(new, n.output)
        for v in list(g.input) + list(g.output) + list(g.value_info) + list(g.initializer):
            v.name = new(v.name)
            if isinstance(v, onnx.ValueInfoProto):
                for d in dimensions(v.type):
                    d.dim_param = "of_" + d.dim_param
        for s in g.sparse_initializer:
            s.values.name = new(s.values.name)
    for f in m.functions:
        f.input[:], f.output[:] = list(map(new, f.input)), list(map(new, f.output))
        for n in f.node:
            n.input[:], n.output[:] = list(map(new, n.input)), list(map(new, n.output))


def document(m):
    m.producer_name, m.producer_version, m.doc_string, m.domain, m.model_version = "other", "9", "File /a/b.py", "d", 7
    m.metadata_props.add(key="path", value="/home/someone")
    for b in bodies(m):
        b.doc_string = "changed"
        for n in b.node:
            n.doc_string = "File \"/home/x.py\", line 3"
            n.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File x, line %f" % random.random())
            for a in n.attribute:
                a.doc_string = "an attribute"
    for t in constants(m):
        t.doc_string = "a weight"


def reorder(m):
    """Another topological order, drawn at random; initializers and functions too."""
    for b in bodies(m):
        nodes, done, order = list(b.node), set(), []
        made = {o for n in nodes for o in n.output if o}
        needs = lambda n: set(n.input) | {i for a in n.attribute for g in ([a.g] if a.HasField("g") else []) + list(a.graphs)
                                          for inner in graphs(g) for x in inner.node for i in x.input} \
            | {o.name for a in n.attribute if a.HasField("g") for o in a.g.output}
        while nodes:
            ready = [n for n in nodes if not (needs(n) & made - done)]
            n = random.choice(ready)
            nodes.remove(n)
            order.append(n)
            done |= set(n.output)
        copies = [copy.deepcopy(n) for n in order]
        del b.node[:]
        b.node.extend(copies)
    for g in graphs(m.graph):
        for field in (g.initializer, g.sparse_initializer, g.value_info):
            shuffle(field)
    shuffle(m.functions)


def attributes(m):
    for b in bodies(m):
        for n in b.node:
            shuffle(n.attribute)


def shuffle(field):
    items = [copy.deepcopy(i) for i in field]
    random.shuffle(items)
    del field[:]
    field.extend(items)


def typed(m):
    """Weights in typed lists instead of raw_data."""
    for t in constants(m):
        if t.raw_data and t.data_type in (TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.BOOL,
                                          TensorProto.FLOAT16, TensorProto.UINT8):
            values = numpy_helper.to_array(t).flatten()
            if t.data_type in (TensorProto.FLOAT16, TensorProto.BOOL):
                values = values.view({TensorProto.FLOAT16: "uint16", TensorProto.BOOL: "uint8"}[t.data_type])
            field = {TensorProto.FLOAT: t.float_data, TensorProto.INT64: t.int64_data, TensorProto.DOUBLE: t.double_data}.get(t.data_type, t.int32_data)
            t.ClearField("raw_data")
            field.extend(values.tolist())


def raw(m):
    for t in constants(m):
        if not t.raw_data and t.data_type != TensorProto.STRING and t.data_location != TensorProto.EXTERNAL:
            inner = numpy_helper.from_array(numpy_helper.to_array(t), t.name)
            inner.data_type = t.data_type
            t.CopyFrom(inner)


def dead(m):
    m.graph.initializer.append(helper.make_tensor("unused", TensorProto.FLOAT, [2], [1.0, 2.0]))
    m.graph.node.append(helper.make_node("Neg", ["unused"], ["nobody"], "dead"))
    m.opset_import.append(helper.make_opsetid("org.unused", 3))
    m.functions.append(helper.make_function("org.unused", "Never", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])],
                                            [helper.make_opsetid("", 17)]))


def inferred(m):
    m.CopyFrom(onnx.shape_inference.infer_shapes(m))


def external(m, path):
    onnx.save(m, path, save_as_external_data=True, location=os.path.basename(path) + ".weights", size_threshold=0, convert_attribute=True)


def pieces(m, path):
    """Fields in another order, lengths in more bytes than they need, the graph in two pieces."""
    g = m.graph
    first = onnx.GraphProto(node=g.node[:1], input=g.input)
    second = copy.deepcopy(g)
    del second.node[:1]
    second.ClearField("input")
    rest = copy.deepcopy(m)
    rest.ClearField("graph")
    with open(path, "wb") as f:
        for piece in (first, second):
            data = piece.SerializeToString()
            f.write(b"\x3a" + long_varint(len(data)) + data)
        f.write(rest.SerializeToString())
    assert onnx.load(path).SerializeToString(deterministic=True) == m.SerializeToString(deterministic=True)


def long_varint(n):
    return bytes([(n >> 7 * i) & 127 | 128 for i in range(4)]) + b"\x00"


# --- changes ----------------------------------------------------------------

def changes(m):
    """Yields (name, changed model), each with one change."""
    def copied():
        return copy.deepcopy(m)

    for at, b in enumerate(bodies(m)):
        live = reached(m, at)
        for i, n in enumerate(b.node):
            if not live(n):
                continue
            where = f"{at}_{i}"
            c = copied()
            body(c, at).node[i].op_type = "Other"
            yield f"operator_{where}", c
            c = copied()
            body(c, at).node[i].domain = "org.other"
            yield f"domain_{where}", c
            c = copied()
            body(c, at).node[i].attribute.append(helper.make_attribute("extra", 1))
            yield f"attribute_added_{where}", c
            for j, a in enumerate(n.attribute):
                c = copied()
                del body(c, at).node[i].attribute[j]
                yield f"attribute_removed_{where}_{j}", c
                c = copied()
                if change(body(c, at).node[i].attribute[j]):
                    yield f"attribute_{where}_{j}", c
            if len(n.input) > 1 and n.input[0] != n.input[1]:
                c = copied()
                swapped = body(c, at).node[i].input
                swapped[0], swapped[1] = swapped[1], swapped[0]
                yield f"inputs_swapped_{where}", c
            if n.input and n.input[0]:
                c = copied()
                body(c, at).node[i].input[0] = ""
                yield f"input_left_out_{where}", c
            c = copied()
            body(c, at).node[i].output.append("one_more")
            yield f"output_added_{where}", c
    used = {i for b in bodies(m) for n in b.node for i in n.input}
    for i, t in enumerate(m.graph.initializer):
        if t.name not in used or t.data_location == TensorProto.EXTERNAL:
            continue
        data = bytearray(numpy_helper.to_array(t).tobytes()) if t.data_type != TensorProto.STRING else b""
        for at in sorted({0, len(data) // 2, len(data) - 1} if len(data) < 256 else random.sample(range(len(data)), 12)):
            if not data:
                continue
            c = copied()
            changed = bytearray(data)
            changed[at] ^= 1 << random.randrange(8)
            c.graph.initializer[i].CopyFrom(TensorProto(name=t.name, data_type=t.data_type, dims=t.dims, raw_data=bytes(changed)))
            yield f"weight_{i}_{at}", c
        c = copied()
        c.graph.initializer[i].dims.append(1)
        yield f"shape_{i}", c
        if t.data_type == TensorProto.FLOAT:
            c = copied()
            c.graph.initializer[i].CopyFrom(TensorProto(name=t.name, data_type=TensorProto.INT32, dims=t.dims, raw_data=bytes(data)))
            yield f"dtype_{i}", c
    for kind in ("input", "output"):
        for i, v in enumerate(getattr(m.graph, kind)):
            if not v.type.HasField("tensor_type"):
                continue
            c = copied()
            getattr(c.graph, kind)[i].type.tensor_type.elem_type = TensorProto.INT16
            yield f"{kind}_dtype_{i}", c
            for j, d in enumerate(v.type.tensor_type.shape.dim):
                c = copied()
                new = getattr(c.graph, kind)[i].type.tensor_type.shape.dim[j]
                new.dim_value = d.dim_value + 1
                yield f"{kind}_shape_{i}_{j}", c
            c = copied()
            getattr(c.graph, kind)[i].type.tensor_type.shape.dim.add(dim_value=1)
            yield f"{kind}_rank_{i}", c
    c = copied()
    c.graph.input.append(helper.make_tensor_value_info("one_more", TensorProto.FLOAT, [1]))
    yield "input_added", c
    c = copied()
    c.graph.output.append(copy.deepcopy(c.graph.output[0]))
    yield "output_twice", c
    if len(m.graph.input) > 1:
        c = copied()
        first, second = c.graph.input[0].name, c.graph.input[1].name
        items = [copy.deepcopy(v) for v in c.graph.input]
        items[0], items[1] = items[1], items[0]
        del c.graph.input[:]
        c.graph.input.extend(items)
        yield "input_order", c
    c = copied()
    for o in c.opset_import:
        o.version += 1
    yield "opset", c


def reached(m, at):
    """Whether a node counts: those that no output needs do not."""
    b = list(bodies(m))[at]
    wanted = {o if isinstance(o, str) else o.name for o in b.output}
    inner = {i for g in bodies(m) for n in g.node for i in n.input} | {o.name for g in graphs(m.graph) for o in g.output}
    called = {n.op_type for g in bodies(m) for n in g.node}
    if isinstance(b, onnx.FunctionProto) and b.name not in called:
        return lambda n: False
    return lambda n: bool(set(n.output) & (wanted | inner))


def body(m, at):
    return list(bodies(m))[at]


def change(a):
    if a.ref_attr_name:
        a.ref_attr_name += "x"
    elif a.type == AttributeProto.INT:
        a.i += 1
    elif a.type == AttributeProto.FLOAT:
        a.f += 0.5
    elif a.type == AttributeProto.STRING:
        a.s += b"x"
    elif a.type == AttributeProto.INTS and a.ints:
        a.ints[-1] += 1
    elif a.type == AttributeProto.FLOATS and a.floats:
        a.floats[-1] += 0.5
    elif a.type == AttributeProto.TENSOR and a.t.data_type != TensorProto.STRING:
        data = bytearray(numpy_helper.to_array(a.t).tobytes())
        data[0] ^= 1
        a.t.CopyFrom(TensorProto(data_type=a.t.data_type, dims=a.t.dims, raw_data=bytes(data)))
    else:
        return False
    return True


def main():
    random.seed(1)
    source, folder = sys.argv[1:]
    for name in ("rename", "document", "reorder", "attributes", "typed", "raw", "dead", "inferred"):
        m = onnx.load(source)
        globals()[name](m)
        onnx.save(m, os.path.join(folder, f"noise_{name}.onnx"))
    for name in ("external", "pieces"):
        globals()[name](onnx.load(source), os.path.join(folder, f"noise_{name}.onnx"))
    for name, m in changes(onnx.load(source)):
        onnx.save(m, os.path.join(folder, f"change_{name}.onnx"))


main()
