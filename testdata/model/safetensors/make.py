"""Makes the files of this folder again, with torch, safetensors and
huggingface_hub:

    python make.py [FOLDER]

facts.json is what the safetensors library itself says of each file.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import safe_open
from safetensors.torch import save_file

from network import trained

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE

model, optimizer, _ = trained()
weights = model.state_dict()
save_file(weights, OUT / "weights.safetensors", metadata={"format": "pt"})
save_file({k: v for k, v in weights.items() if not k.startswith("bn")}, OUT / "plain.safetensors")
state = {f"optimizer.state.{i}.{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()}
save_file(weights | state, OUT / "optimizer.safetensors")
save_file({f"m.{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in [(f"{i}.exp_avg", s["exp_avg"])]},
          OUT / "moments.safetensors")
kinds = [torch.bool, torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.int16, torch.uint16, torch.float16,
         torch.bfloat16, torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64, torch.int64, torch.uint64]
save_file({str(k).removeprefix("torch."): torch.ones((2, 3)).to(k) for k in kinds} | {"scalar": torch.tensor(1.0), "empty": torch.zeros((0, 4))},
          OUT / "types.safetensors")
save_torch_state_dict(weights, OUT, filename_pattern="sharded{suffix}.safetensors", max_shard_size=200)

facts = {}
for path in sorted(OUT.glob("*.safetensors")):
    with safe_open(path, "pt") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}
        facts[path.name] = {"metadata": f.metadata() or {}, "tensors": {k: [t.numel(), t.nbytes] for k, t in tensors.items()}}
(OUT / "facts.json").write_text(json.dumps(facts, sort_keys=True) + "\n")
