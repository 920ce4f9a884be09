"""Makes the files of this folder again, with torch:

    python make.py [FOLDER]

facts.json is what torch itself says of each file once it has loaded it. Stack
traces and guards are removed, since they hold paths of the machine.
"""
import json
import pathlib
import sys
import warnings

HERE = pathlib.Path(__file__).resolve().parent
warnings.filterwarnings("ignore")

import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

OUT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
IMAGE = torch.zeros(2, 1, 8, 8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2)
        self.drop = nn.Dropout(0.25)

    def forward(self, x):
        return self.drop(self.norm(self.conv(x)))


class ChannelDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout2d(0.4)

    def forward(self, x):
        return self.drop(x)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 1, 2, dropout=0.1)

    def forward(self, x):
        return self.lstm(x)[0]


class DropPath(nn.Module):
    def forward(self, x):
        return x * torch.empty(x.shape[0], 1).bernoulli_(0.8) / 0.8


class Mask(nn.Module):
    def forward(self, x):
        return torch.where(torch.rand_like(x) > 0.3, x / 0.7, torch.zeros_like(x))


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Attention(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x, None, self.p)


class Statistics(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        var, mean = torch.var_mean(x, self.axes, keepdim=True)
        return (x - mean) * torch.rsqrt(var + 1e-5)


class Branch(nn.Module):
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: F.dropout(x, 0.3, True), lambda x: x.sin(), (x,))


class Instance(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.InstanceNorm2d(1, affine=True)

    def forward(self, x):
        return self.norm(x)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight
        self.scale = torch.tensor([2.0, 3.0])

    def forward(self, x):
        return {"out": self.b(self.a(x)) * self.scale, "twice": x * 2}


torch.library.define("convrun_samples::halve", "(Tensor x) -> Tensor")
torch.library.impl("convrun_samples::halve", "CompositeExplicitAutograd")(lambda x: x / 2)
torch.library.register_fake("convrun_samples::halve")(lambda x: x / 2)


class Custom(nn.Module):
    def forward(self, x):
        return torch.ops.convrun_samples.halve(x)


def save(name, model, *args, decompose=False, **kw):
    torch.manual_seed(0)
    program = torch.export.export(model, args, **kw)
    if decompose:
        program = program.run_decompositions()
    for graph in [m.graph for m in program.graph_module.modules() if hasattr(m, "graph")]:
        for node in graph.nodes:
            for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
                node.meta.pop(key, None)
    program._guards_code = []
    torch.export.save(program, OUT / f"{name}.pt2")
    return program


programs = {}
for mode, word in ((False, "eval"), (True, "train")):
    programs[f"network_{word}"] = save(f"network_{word}", Net().train(mode), IMAGE)
    programs[f"network_decomposed_{word}"] = save(f"network_decomposed_{word}", Net().train(mode), IMAGE, decompose=True)
    programs[f"channels_{word}"] = save(f"channels_{word}", ChannelDropout().train(mode), IMAGE)
    programs[f"lstm_{word}"] = save(f"lstm_{word}", Recurrent().train(mode), torch.zeros(3, 1, 1))
programs["channels_decomposed_train"] = save("channels_decomposed_train", ChannelDropout().train(), IMAGE, decompose=True)
programs["drop_path"] = save("drop_path", DropPath().eval(), torch.zeros(2, 3))
programs["mask"] = save("mask", Mask().eval(), torch.zeros(2, 3))
programs["noise"] = save("noise", Noise().eval(), torch.zeros(2, 3))
programs["attention"] = save("attention", Attention(0.1).eval(), torch.zeros(1, 1, 2, 2))
programs["attention_plain"] = save("attention_plain", Attention(0.0).eval(), torch.zeros(1, 1, 2, 2))
programs["statistics"] = save("statistics", Statistics([0, 2, 3]).eval(), IMAGE)
programs["statistics_layer"] = save("statistics_layer", Statistics([1, 2, 3]).eval(), IMAGE)
programs["branch"] = save("branch", Branch().eval(), torch.zeros(2, 3))
programs["instance"] = save("instance", Instance().eval(), IMAGE)
programs["custom"] = save("custom", Custom().eval(), torch.zeros(2))
programs["tied"] = save("tied", Tied().eval(), torch.zeros(3, 2), dynamic_shapes={"x": {0: Dim("batch", min=2, max=9)}})

facts = {}
for path in sorted(OUT.glob("*.pt2")):
    program = torch.export.load(path)
    operators = {}
    for m in program.graph_module.modules():
        for node in m.graph.nodes if hasattr(m, "graph") else []:
            if node.op == "call_function":
                target = node.target
                name = f"torch.ops.{target.namespace}.{target.name()}" if isinstance(target, torch._ops.HigherOrderOperator) else str(target)
                operators[name] = operators.get(name, 0) + 1

    def value(name):
        v = next(n for n in program.graph.nodes if n.name == name).meta["val"]
        return [name, str(v.dtype).removeprefix("torch."), [str(d) for d in v.shape]]

    stored = {(t.data_ptr(), tuple(t.shape)): t.numel() for t in list(program.state_dict.values()) + list(program.constants.values())}
    facts[path.name] = {
        "inputs": [value(n) for n in program.graph_signature.user_inputs if n], "outputs": [value(n) for n in program.graph_signature.user_outputs],
        "operators": operators, "parameters": sum(stored.values()), "buffers": dict(program.graph_signature.buffers_to_mutate),
    }
(OUT / "facts.json").write_text(json.dumps(facts, sort_keys=True, indent=1) + "\n")
