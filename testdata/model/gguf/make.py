"""Makes the files of this folder again, with numpy and gguf:

    python make.py [FOLDER]

facts.json is what the gguf library itself says of each file. checkpoint*.gguf
have keys and tensors of a training checkpoint of llama.cpp's, written by the
gguf library: llama.cpp itself was not at hand.
"""
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)


def write(name, tensors, settings=(), architecture="llama", alignment=None, **kw):
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", architecture, **kw)
    if alignment:
        w.add_custom_alignment(alignment)
    for add, key, value in settings:
        getattr(w, f"add_{add}")(key, value)
    for key, (data, kind) in tensors.items():
        if kind in (Q.F32, Q.F16, Q.F64, Q.I8, Q.I16, Q.I32, Q.I64):
            w.add_tensor(key, data)
        else:
            w.add_tensor(key, gguf.quants.quantize(data, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


ones = np.ones((2, 64), np.float32)
weights = {"token_embd.weight": (ones, Q.F32), "output.weight": (ones.astype(np.float16), Q.F16), "scale": (np.ones(3, np.float32), Q.F32)}
metadata = [("string", "general.name", "sample"), ("array", "tokenizer.ggml.tokens", ["a", "b", ""]), ("array", "tokenizer.ggml.scores", [0.5, 1.5]),
            ("bool", "sample.flag", True), ("uint64", "sample.large", 1 << 40), ("float64", "sample.number", 0.1), ("array", "sample.nested", [[1, 2], [3]])]
write("weights", weights, metadata)
write("aligned", weights, alignment=64)
write("big_endian", {"a": (np.ones((2, 300), np.float32), Q.F32), "b": (ones, Q.F32)}, metadata, endianess=gguf.GGUFEndian.BIG)
kinds = {k: getattr(np, k) for k in ("float16", "float32", "float64", "int8", "int16", "int32", "int64")}
types = {k: (np.ones((2, 3), v), getattr(Q, k.replace("float", "F").replace("int", "I"))) for k, v in kinds.items()}
write("types", types | {"bfloat16": (ones, Q.BF16)})
write("quantized", {k.name: (np.ones((2, 256), np.float32), k) for k in (Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.TQ1_0, Q.TQ2_0)} | {"F32": (ones, Q.F32)})
write("normalized", {"conv.weight": (ones, Q.F32), "norm.running_mean": (np.ones(2, np.float32), Q.F32)}, architecture="cnn")
moments = {f"optimizer.adam.{k}": (ones, Q.F32) for k in ("first_moments", "second_moments", "past_loss_values")}
training = [("string", "training.type", "train_model"), ("uint32", "training.file_version", 1), ("uint64", "training.iteration_count", 7)]
optimizer = [("string", "optimizer.type", "adam"), ("uint32", "optimizer.file_version", 0)]
write("checkpoint", weights | moments, training + optimizer)
write("checkpoint_training", weights, training)
write("checkpoint_optimizer", weights, optimizer)
write("checkpoint_moments", weights | moments)

facts = {}
for path in sorted(OUT.glob("*.gguf")):
    r = gguf.GGUFReader(path)
    facts[path.name] = {
        "version": int(r.fields["GGUF.version"].parts[-1][0]), "keys": sorted(k for k in r.fields if not k.startswith("GGUF.")),
        "tensors": {t.name: [int(t.n_elements), int(t.n_bytes), int(t.data_offset - r.data_offset)] for t in r.tensors},
        "types": sorted({t.tensor_type.name for t in r.tensors}),
    }
(OUT / "facts.json").write_text(json.dumps(facts, sort_keys=True, indent=1) + "\n")
