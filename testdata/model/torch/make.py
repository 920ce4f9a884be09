"""Makes the files of this folder again, with torch:

    python make.py [FOLDER]

facts.json is what torch itself says of each file once it has loaded it.
danger.pt and built.pt name functions that no one should call: they are never
loaded.
"""
import io
import json
import os
import pathlib
import pickle
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch
from torch import nn
from torch.nn import functional as F

import network
from network import trained

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE


def small(dropout=0.25, norm=True, track=True):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 3)]
    layers += [nn.BatchNorm2d(2, track_running_stats=track)] if norm else []
    layers += [nn.Dropout2d(dropout)] if dropout is not None else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(72, 1))


def save(name, value, **kw):
    torch.save(value, OUT / f"{name}.pt", **kw)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1)

    def forward(self, x):
        return self.fc(F.dropout(x, 0.3, training=True))


class Danger:
    def __reduce__(self):
        return os.system, ("true",)


network.Functional, Functional.__module__ = Functional, "network"

# Weights alone.
save("weights", small().state_dict())
save("weights_plain", small(None, False).state_dict())
save("weights_legacy", small().state_dict(), _use_new_zipfile_serialization=False)
save("weights_protocol4", small().state_dict(), pickle_protocol=4)

# With what training needs.
model, optimizer, scheduler = trained(small())
checkpoint = {"epoch": 1, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}
save("checkpoint", checkpoint)
save("checkpoint_legacy", checkpoint, _use_new_zipfile_serialization=False)
save("checkpoint_objects", {"model": model, "optimizer": optimizer})
sgd = torch.optim.SGD(model.parameters(), lr=0.1)
save("checkpoint_constant", {"model": model.state_dict(), "optimizer": sgd.state_dict()})
save("checkpoint_schedule", {"model": model.state_dict(), "schedule": scheduler.state_dict()})
scaler = {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0}
save("checkpoint_trainer", {"state_dict": small(None, False).state_dict(), "hyper_parameters": {"gradient_clip_val": 0.5}, "scaler": scaler})

# Whole modules.
for mode in (False, True):
    word = "train" if mode else "eval"
    save(f"module_{word}", small().train(mode))
    save(f"module_class_{word}", network.CNN().train(mode))
    save(f"module_lstm_{word}", nn.LSTM(1, 1, num_layers=2, dropout=0.1).train(mode))
    save(f"module_attention_{word}", nn.MultiheadAttention(2, 1, dropout=0.1).train(mode))
save("module_legacy_train", small().train(), _use_new_zipfile_serialization=False)
mixed = small().eval()
mixed[2].train()
save("module_mixed", mixed)
save("module_plain", small(None, False).train())
save("module_dropout_zero", small(0.0, False).train())
save("module_nostats_eval", small(track=False).eval())
save("module_functional", Functional().eval())

# Element types, and tensors that share a storage.
names = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32", "float64",
         "complex64", "complex128", "float8_e5m2", "float8_e4m3fn"]
base = torch.arange(12.0).reshape(3, 4)
save("types", {n: torch.ones((2, 3)).to(getattr(torch, n)) for n in names}
     | {"base": base, "column": base[:, 1], "turned": base.t(), "again": base, "alike": base.view(3, 4), "scalar": torch.tensor(1.0), "empty": torch.zeros((0, 3)),
        "broadcast": torch.zeros(1).expand(5), "parameter": nn.Parameter(torch.ones(2))})
save("sparse", {"s": torch.eye(3).to_sparse(), "d": torch.ones(2)})

# What no one should load.
save("danger", {"weights": small(None, False).state_dict(), "x": Danger()})

# A zip file whose entries are compressed, as other tools leave it.
with zipfile.ZipFile(OUT / "weights_plain.pt") as z, zipfile.ZipFile(OUT / "weights_deflated.pt", "w", zipfile.ZIP_DEFLATED) as to:
    for info in z.infolist():
        to.writestr(zipfile.ZipInfo(info.filename), z.read(info), zipfile.ZIP_DEFLATED)


def tensors_of(value, optimizer=False):
    """Yields the tensors that are not an optimizer's, without repetition."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, nn.Module):
        for v in list(value.parameters()) + list(value.buffers()):
            yield v
    elif isinstance(value, dict) and not {"state", "param_groups"} <= value.keys():
        for v in value.values():
            yield from tensors_of(v)


def facts(path):
    loaded = torch.load(path, weights_only=False)
    distinct = {(t.untyped_storage().data_ptr(), t.storage_offset(), tuple(t.shape)) if t.layout == torch.strided else None: t.numel()
                for t in tensors_of(loaded)}
    modules = [m for v in ([loaded] if isinstance(loaded, nn.Module) else loaded.values()) if isinstance(v, nn.Module) for m in v.modules()]
    classes = {}
    for m in modules:
        name = f"{type(m).__module__}.{type(m).__name__}"
        classes[name] = classes.get(name, 0) + 1
    return {
        "parameters": -1 if None in distinct else sum(distinct.values()),
        "modules": classes,
        "training": sorted({f"{type(m).__name__} {m.training}" for m in modules if isinstance(m, (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase))}),
    }


all_facts = {}
for path in sorted(OUT.glob("*.pt")):
    all_facts[path.name] = {} if path.name == "danger.pt" else facts(path)
    if "legacy" not in path.name and "protocol4" not in path.name:  # which torch's own look at globals cannot read
        all_facts[path.name]["unsafe"] = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
(OUT / "facts.json").write_text(json.dumps(all_facts, sort_keys=True, indent=1) + "\n")
