"""Exports what does as it was asked, named good_*.onnx, and what does not."""
import torch


class Sum(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(512, 256)

    def forward(self, a, b):
        return self.linear(a) + self.linear(b), a.sum()


class OnlyFirst(torch.nn.Module):
    def forward(self, a, b):
        return a * 2


class Four(torch.nn.Module):
    def forward(self, a):
        return a * 2 if a.shape[0] == 4 else a


class Mean(torch.nn.Module):
    def forward(self, a):
        return a.mean(0, keepdim=True)


pair = (torch.zeros(2, 512), torch.zeros(2, 512))
named = {"input_names": ["p", "q"], "output_names": ["y", "z"]}
batch = torch.export.Dim("batch", min=2, max=9)
axes = {"p": {0: "n"}, "q": [0], "y": {-2: "n"}}
model = Sum().eval()


def export(name, model, args, **options):
    torch.onnx.export(model, args, name + ".onnx", **options)


export("good_legacy", model, pair, dynamo=False, opset_version=17, dynamic_axes=axes, **named)
# Names beyond the inputs are for parameters.
export("good_parameters", model, pair, dynamo=False, input_names=["p", "q", "weight", "bias"])
export("good_by_place", model, pair, dynamo=True, opset_version=20, dynamic_shapes=({0: batch}, {0: batch}), external_data=True, **named)
export("good_by_name", model, pair, dynamo=True, dynamic_shapes={"a": {0: torch.export.Dim.DYNAMIC}, "b": {0: torch.export.Dim.AUTO}}, external_data=False)
# Whether a dimension is dynamic is left to the exporter, which fixes it.
export("good_auto", Four().eval(), (torch.zeros(4, 4),), dynamo=True, dynamic_shapes=({0: torch.export.Dim.AUTO},))

export("opset", model, pair, dynamo=True, opset_version=11)
export("unused", OnlyFirst().eval(), pair, dynamo=False, input_names=["a", "b"], output_names=["y"])
# This exporter takes no wish for an output, and the mean is always one row.
export("dynamic", Mean().eval(), (torch.zeros(4, 4),), dynamo=True, input_names=["a"], output_names=["y"], dynamic_axes={"a": {0: "n"}, "y": {0: "n"}})
export("inside", model, pair, dynamo=False, external_data=True)
export("training", Sum().train(), pair, dynamo=True)
export("training_legacy", Sum().train(), pair, dynamo=False, opset_version=11, training=torch.onnx.TrainingMode.TRAINING)
