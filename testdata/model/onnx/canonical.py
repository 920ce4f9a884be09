"""The canonical digest of ONNX models, written a second time from
docs/spec/canonical-digest-v1.md, over the onnx package.

    python canonical.py FILE...     one line for each: digest or "none: reason"

What makes Go's implementation and this one agree is the specification alone.
"""
import hashlib
import os
import struct
import sys

import numpy
import onnx
from onnx import AttributeProto, TensorProto


class NotCanonical(Exception):
    pass


class Listing:
    def __init__(self, kind):
        self.hash = hashlib.sha256()
        self.text(kind)

    def number(self, n):
        self.hash.update(struct.pack("<q", n - (1 << 64) if n >= 1 << 63 else n))

    def text(self, s):
        data = s.encode() if isinstance(s, str) else s
        self.number(len(data))
        self.hash.update(data)

    def digest(self, d):
        self.hash.update(d)


BITS = {TensorProto.FLOAT: 32, TensorProto.DOUBLE: 64, TensorProto.COMPLEX64: 64, TensorProto.COMPLEX128: 128,
        TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.BOOL: 8, TensorProto.INT16: 16, TensorProto.UINT16: 16,
        TensorProto.FLOAT16: 16, TensorProto.BFLOAT16: 16, TensorProto.INT32: 32, TensorProto.UINT32: 32,
        TensorProto.INT64: 64, TensorProto.UINT64: 64, TensorProto.FLOAT8E4M3FN: 8, TensorProto.FLOAT8E4M3FNUZ: 8,
        TensorProto.FLOAT8E5M2: 8, TensorProto.FLOAT8E5M2FNUZ: 8, TensorProto.INT4: 4, TensorProto.UINT4: 4,
        TensorProto.FLOAT4E2M1: 4}
for kind, bits in (("FLOAT8E8M0", 8), ("INT2", 2), ("UINT2", 2), ("FLOAT6E2M3", 6), ("FLOAT6E3M2", 6)):
    if hasattr(TensorProto, kind):
        BITS[getattr(TensorProto, kind)] = bits


def raw(t, folder):
    """The elements as raw_data would have them."""
    if t.data_location == TensorProto.EXTERNAL:
        where = {e.key: e.value for e in t.external_data}
        path = os.path.join(folder, where["location"])
        if ".." in where["location"].split("/") or os.path.isabs(where["location"]) or not os.path.exists(path):
            raise NotCanonical("external data")
        with open(path, "rb") as f:
            f.seek(int(where.get("offset", 0)))
            return f.read(size_of(t))
    if t.raw_data:
        return t.raw_data
    if t.float_data:
        return numpy.array(t.float_data, "<f4").tobytes()
    if t.double_data:
        return numpy.array(t.double_data, "<f8").tobytes()
    if t.int64_data:
        return numpy.array(t.int64_data, "<i8").tobytes()
    if t.uint64_data:
        return numpy.array(t.uint64_data, "<u8").astype("<u4" if t.data_type == TensorProto.UINT32 else "<u8").tobytes()
    if t.int32_data:
        width = max(8, BITS[t.data_type]) // 8
        return b"".join((v & ((1 << 8 * width) - 1)).to_bytes(width, "little") for v in t.int32_data)
    return b""


def size_of(t):
    elements = 1
    for d in t.dims:
        elements *= d
    return (elements * BITS[t.data_type] + 7) // 8


def tensor(t, folder):
    l = Listing("tensor")
    l.number(t.data_type)
    l.number(len(t.dims))
    for d in t.dims:
        l.number(d)
    if t.data_type == TensorProto.STRING:
        l.number(len(t.string_data))
        for s in t.string_data:
            l.text(s)
    elif t.data_type not in BITS:
        raise NotCanonical("element type")
    else:
        data = raw(t, folder)
        if len(data) != size_of(t):
            raise NotCanonical("length of a tensor")
        l.text(data)
    return l.hash.digest()


def sparse(t, folder):
    l = Listing("sparse tensor")
    l.number(len(t.dims))
    for d in t.dims:
        l.number(d)
    l.digest(tensor(t.values, folder))
    l.digest(tensor(t.indices, folder))
    return l.hash.digest()


class Node:
    def __init__(self, proto, scope):
        self.proto, self.scope, self.number, self.waiting = proto, scope, None, False
        self.attributes = sorted(proto.attribute, key=lambda a: a.name.encode())
        self.graphs = None

    def enter(self, walk):
        self.graphs = [Scope(walk, g, self.scope, self.scope.level + 1) for a in self.attributes for g in graphs_of(a)]


def graphs_of(a):
    return ([a.g] if a.HasField("g") else []) + list(a.graphs)


def stated(a, several, single):
    """The values of an attribute, a single one as a list."""
    return list(getattr(a, several)) + ([getattr(a, single)] if a.HasField(single) else [])


class Scope:
    def __init__(self, walk, graph, parent, level):
        self.graph, self.parent, self.level, self.names, self.given, self.defaults = graph, parent, level, {}, [], {}
        if len(graph.quantization_annotation):
            raise NotCanonical("quantization_annotation")
        constants = [(t.name, tensor(t, walk.folder)) for t in graph.initializer]
        constants += [(t.values.name, sparse(t, walk.folder)) for t in graph.sparse_initializer]
        named = {name for name, _ in constants}
        for v in graph.input:
            if v.name in named and not walk.can_override:
                continue
            self.define(v.name, ("input", len(self.given)))
            self.given.append(v)
        for name, digest in constants:
            if name in self.names and self.names[name][0] == "input" and name not in self.defaults:
                self.defaults[name] = digest
            else:
                self.define(name, ("constant", digest))
        for n in graph.node:
            made = Node(n, self)
            for i, name in enumerate(n.output):
                if name:
                    self.define(name, ("node", made, i))

    def define(self, name, place):
        if name in self.names:
            raise NotCanonical("made twice: " + name)
        self.names[name] = place

    def find(self, name):
        scope = self
        while scope:
            if name in scope.names:
                return scope.names[name], scope.level
            scope = scope.parent
        raise NotCanonical("nothing makes " + name)


def without_tail(names):
    names = list(names)
    while names and not names[-1]:
        names.pop()
    return names


class Walk(Listing):
    def __init__(self, kind, model, opsets, can_override):
        super().__init__(kind)
        self.model, self.opsets, self.can_override, self.count = model, opsets, can_override, 0
        self.folder = model.folder

    def visit(self, name, scope):
        if not name:
            return
        place, _ = scope.find(name)
        if place[0] != "node" or place[1].number is not None:
            return
        node = place[1]
        if node.waiting:
            raise NotCanonical("depends on itself: " + name)
        node.waiting = True
        node.enter(self)
        for i in node.proto.input:
            self.visit(i, node.scope)
        for g in node.graphs:
            for o in g.graph.output:
                self.visit(o.name, g)
        node.number = self.count
        self.count += 1
        self.node(node)

    def node(self, node):
        n = node.proto
        domain = "" if n.domain == "ai.onnx" else n.domain
        self.text("node")
        self.number(node.scope.level)
        self.text(domain)
        self.text(n.op_type)
        self.text(n.overload)
        self.number(self.opsets.get(domain, 0))
        function = self.model.functions.get((domain, n.op_type, n.overload))
        if function is not None:
            self.text("function")
            self.digest(self.model.function(function))
        else:
            self.text("operator")
        inputs = without_tail(n.input)
        self.number(len(inputs))
        for i in inputs:
            self.value(i, node.scope)
        outputs = without_tail(n.output)
        self.number(len(outputs))
        for o in outputs:
            self.number(1 if o else 0)
        self.attributes(node.attributes, node.graphs)

    def value(self, name, scope):
        if not name:
            self.text("none")
            return
        place, level = scope.find(name)
        self.text(place[0])
        if place[0] == "node":
            self.number(place[1].number)
            self.number(place[2])
        elif place[0] == "input":
            self.number(level)
            self.number(place[1])
        else:
            self.digest(place[1])

    def attributes(self, attributes, graphs):
        self.number(len(attributes))
        graphs = list(graphs)
        for a in attributes:
            self.text(a.name)
            self.number(a.type)
            if a.ref_attr_name:
                self.text("reference")
                self.text(a.ref_attr_name)
                continue
            self.text("value")
            kind = AttributeProto.AttributeType.Name(a.type)
            own = [graphs.pop(0) for _ in graphs_of(a)]
            bits = lambda f: struct.unpack("<I", struct.pack("<f", f))[0]
            if kind == "FLOAT":
                self.number(bits(a.f))
            elif kind == "INT":
                self.number(a.i)
            elif kind in ("STRING", "STRINGS"):
                self.list(stated(a, "strings", "s"), self.text)
            elif kind == "FLOATS":
                self.list(a.floats, lambda f: self.number(bits(f)))
            elif kind == "INTS":
                self.list(a.ints, self.number)
            elif kind in ("TENSOR", "TENSORS"):
                self.list(stated(a, "tensors", "t"), lambda t: self.digest(tensor(t, self.folder)))
            elif kind in ("SPARSE_TENSOR", "SPARSE_TENSORS"):
                self.list(stated(a, "sparse_tensors", "sparse_tensor"), lambda t: self.digest(sparse(t, self.folder)))
            elif kind in ("GRAPH", "GRAPHS"):
                self.list(own, self.graph)
            elif kind in ("TYPE_PROTO", "TYPE_PROTOS"):
                symbols = {}
                self.list(stated(a, "type_protos", "tp"), lambda t: self.type(t, symbols))

    def list(self, items, write):
        self.number(len(items))
        for item in items:
            write(item)

    def graph(self, scope):
        symbols = {}
        self.text("graph")
        self.number(scope.level)
        self.number(len(scope.given))
        for v in scope.given:
            self.type(v.type, symbols)
            if v.name in scope.defaults:
                self.number(1)
                self.digest(scope.defaults[v.name])
            else:
                self.number(0)
        self.number(len(scope.graph.output))
        for v in scope.graph.output:
            self.value(v.name, scope)
            self.type(v.type, symbols)

    def type(self, t, symbols):
        kind = t.WhichOneof("value")
        name = {None: "none", "tensor_type": "tensor", "sparse_tensor_type": "sparse", "sequence_type": "sequence",
                "optional_type": "optional", "map_type": "map", "opaque_type": "opaque"}[kind]
        self.text(name)
        if name in ("tensor", "sparse"):
            inner = getattr(t, kind)
            self.number(inner.elem_type)
            if not inner.HasField("shape"):
                self.number(-1)
                return
            self.number(len(inner.shape.dim))
            for d in inner.shape.dim:
                if d.WhichOneof("value") == "dim_value":
                    self.text("size")
                    self.number(d.dim_value)
                elif d.dim_param:
                    self.text("symbol")
                    self.number(symbols.setdefault(d.dim_param, len(symbols)))
                else:
                    self.text("any")
        elif name in ("sequence", "optional"):
            self.type(getattr(t, kind).elem_type, symbols)
        elif name == "map":
            self.number(t.map_type.key_type)
            self.type(t.map_type.value_type, symbols)
        elif name == "opaque":
            self.text(t.opaque_type.domain)
            self.text(t.opaque_type.name)


class Model:
    def __init__(self, path):
        self.proto = onnx.load(path, load_external_data=False)
        self.folder = os.path.dirname(path)
        self.functions, self.sums, self.calling = {}, {}, []
        for f in self.proto.functions:
            key = ("" if f.domain == "ai.onnx" else f.domain, f.name, f.overload)
            if key in self.functions:
                raise NotCanonical("two functions of one name")
            self.functions[key] = f

    def digest(self):
        m = self.proto
        if len(m.training_info):
            raise NotCanonical("training_info")
        opsets = versions(m.opset_import)
        if not opsets and m.ir_version < 3:
            opsets = {"": 1}
        walk = Walk("onnx model", self, opsets, m.ir_version == 0 or m.ir_version >= 4)
        main = Scope(walk, m.graph, None, 0)
        for o in m.graph.output:
            walk.visit(o.name, main)
        walk.graph(main)
        return walk.hash.hexdigest()

    def function(self, f):
        if id(f) in self.sums:
            return self.sums[id(f)]
        if id(f) in self.calling:
            raise NotCanonical("calls itself")
        self.calling.append(id(f))
        walk = Walk("onnx function", self, versions(f.opset_import), True)
        body = onnx.GraphProto(node=f.node, input=[onnx.ValueInfoProto(name=n) for n in f.input],
                               output=[onnx.ValueInfoProto(name=n) for n in f.output])
        scope = Scope(walk, body, None, 0)
        for name in f.output:
            walk.visit(name, scope)
        walk.text("function")
        walk.number(len(f.input))
        walk.list(f.output, lambda name: walk.value(name, scope))
        walk.list(sorted(f.attribute, key=str.encode), walk.text)
        walk.attributes(sorted(f.attribute_proto, key=lambda a: a.name.encode()), [])
        self.calling.pop()
        self.sums[id(f)] = walk.hash.digest()
        return self.sums[id(f)]


def versions(imports):
    return {"" if o.domain == "ai.onnx" else o.domain: o.version for o in imports}


def main():
    sys.setrecursionlimit(100_000)
    for path in sys.argv[1:]:
        try:
            print(Model(path).digest())
        except NotCanonical as e:
            print("none:", e)


if __name__ == "__main__":
    main()
