"""Trains the network for one step and saves its weights: FILE."""
import sys

import torch

from convert_torch_net import Net

torch.manual_seed(0)
net = Net().train()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.01)
net(torch.rand(4, 3, 8, 8)).sum().backward()
optimizer.step()
torch.save(net.state_dict(), sys.argv[1])
