"""A small network with all that an export for inference should get rid of."""
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.first = torch.nn.Dropout(0.25)
        self.second = torch.nn.Dropout(0.5)
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(torch.relu(self.norm(self.convolution(x))))
        return self.linear(self.second(x.mean((2, 3))))


class Unexportable(Net):
    def forward(self, x):
        raise ValueError("layer 7 has no counterpart")
