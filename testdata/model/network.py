"""The network of the recipes beside this file, trained one step: conv1 → bn1 →
ReLU → drop1 → conv2 → ReLU → bn2 → mean → drop2 → fc. bn1 can be folded into
conv1; bn2 follows a ReLU and cannot.
"""
import torch
from torch import nn


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.drop1 = nn.Dropout(0.25)
        self.conv2 = nn.Conv2d(2, 3, 3)
        self.bn2 = nn.BatchNorm2d(3)
        self.drop2 = nn.Dropout(0.5)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        x = self.drop1(torch.relu(self.bn1(self.conv1(x))))
        x = self.bn2(torch.relu(self.conv2(x)))
        x = self.drop2(x.mean((2, 3)))
        return self.fc(x)


def trained(model=None):
    """Returns the model after a step with weight decay, a clipped gradient and
    a learning rate that falls, with the optimizer and the scheduler."""
    torch.manual_seed(0)
    model = model or CNN()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.02)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    model.train()
    model(torch.randn(4, 1, 8, 8)).sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    return model, optimizer, scheduler
