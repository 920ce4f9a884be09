"""Makes the files of this folder again, with torch:

    python make.py [FOLDER]

facts.json is what torch itself says of each file once it has loaded it.
"""
import json
import pathlib
import sys
import warnings
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
warnings.filterwarnings("ignore")

import torch
from torch import nn
from torch.nn import functional as F

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
IMAGE = torch.zeros(2, 1, 3, 3)


class Net(nn.Module):
    def __init__(self, track=True):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2, track_running_stats=track)
        self.drop = nn.Dropout(0.25)

    def forward(self, x):
        return self.drop(self.norm(self.conv(x)))


class Reversed(nn.Module):
    """Its normalization cannot be folded."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(torch.relu(x)), x


class Always(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.3, training=True)


class ByMode(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.3, self.training)


def drop(x, p: float, training: bool):
    return F.dropout(x, p, training)


class Helper(nn.Module):
    def forward(self, x):
        return drop(x, 0.3, self.training)


class Given(nn.Module):
    def forward(self, x, training: bool):
        return F.dropout(x, 0.3, training)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 1, 2, dropout=0.1)

    def forward(self, x):
        return self.lstm(x)[0]


class Attention(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p: float = p

    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x, None, 0.1) + F.scaled_dot_product_attention(x, x, x, None, self.p)


class NoDropAttention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Statistics(nn.Module):
    def forward(self, x):
        mean = x.mean([0, 2, 3], keepdim=True)
        return (x - mean) / torch.sqrt((x - mean).pow(2).mean([0, 2, 3], keepdim=True))


class LayerStatistics(nn.Module):
    def forward(self, x):
        mean = x.mean([1, 2, 3], keepdim=True)
        return (x - mean) / torch.sqrt((x - mean).pow(2).mean([1, 2, 3], keepdim=True))


class Plain(nn.Module):
    def forward(self, x):
        return x.mean([0]) + x


torch.library.define("convrun_samples::halve", "(Tensor x) -> Tensor")
torch.library.impl("convrun_samples::halve", "CompositeImplicitAutograd")(lambda x: x / 2)


class Custom(nn.Module):
    def forward(self, x):
        return torch.ops.convrun_samples.halve(x)


torch.manual_seed(0)


def trace(name, model, *args):
    torch.jit.trace(model, args, check_trace=False).save(OUT / f"{name}.pt")


def script(name, model):
    torch.jit.script(model).save(OUT / f"{name}.pt")


for mode, word in ((False, "eval"), (True, "train")):
    trace(f"traced_{word}", Net().train(mode), IMAGE)
    script(f"scripted_{word}", Net().train(mode))
    script(f"by_mode_{word}", ByMode().train(mode))
    trace(f"traced_lstm_{word}", Recurrent().train(mode), torch.zeros(3, 1, 1))
    script(f"scripted_lstm_{word}", Recurrent().train(mode))
torch.jit.freeze(torch.jit.script(Net().eval())).save(OUT / "frozen_folded.pt")
torch.jit.freeze(torch.jit.script(Reversed().eval())).save(OUT / "frozen.pt")
trace("traced_nostats_eval", Net(False).eval(), IMAGE)
script("scripted_nostats_eval", Net(False).eval())
script("always_eval", Always().eval())
script("helper_eval", Helper().eval())
script("given_eval", Given().eval())
script("attention_eval", Attention(0.1).eval())
script("attention_plain_eval", NoDropAttention().eval())
script("noise_eval", Noise().eval())
script("statistics_eval", Statistics().eval())
script("layer_statistics_eval", LayerStatistics().eval())
script("plain_eval", Plain().eval())
script("custom_eval", Custom().eval())
torch.jit.script(Net().train())._save_for_lite_interpreter(str(OUT / "lite_train.ptl"))

facts = {}
for path in sorted(list(OUT.glob("*.pt")) + list(OUT.glob("*.ptl"))):
    m = torch.jit.load(path)
    schema = m.forward.schema
    with zipfile.ZipFile(path) as z:
        root = z.namelist()[0].split("/")[0]
        constants = sum(i.file_size for i in z.infolist() if i.filename.startswith(f"{root}/constants/"))
    stored = {(t.data_ptr(), tuple(t.shape)): t.numel() for t in m.state_dict().values()}
    fact = {"inputs": [a.name for a in schema.arguments[1:]], "parameters": sum(stored.values()), "constant_bytes": constants,
            "training": {n: c.training for n, c in m.named_modules() if n}}
    if "traced" in path.name:
        kinds = [n.kind() for n in m.inlined_graph.nodes() if n.kind().startswith("aten::")]
        fact["operators"] = {k: kinds.count(k) for k in set(kinds)}
    facts[path.name] = fact
(OUT / "facts.json").write_text(json.dumps(facts, sort_keys=True, indent=1) + "\n")
