"""
How much noise?
===============

I(X;T) depends on the noise: log N without, 0 with very much. Plot the profile of each layer over sigma.
"""

import numpy as np
import torch

import layerbits as lb

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(8, 16),
    torch.nn.ReLU(),
    torch.nn.Linear(16, 4),
    torch.nn.ReLU(),
    torch.nn.Linear(4, 2),
)
inputs = torch.randn(500, 8)
profile = lb.sigma_profile(model, inputs, sigmas=np.geomspace(1e-3, 10, 15))
lb.plots.sigma_profile(profile)

# %%
# At these noises each layer keeps half of log 500 = 6.21 nats.

print(lb.suggest_sigma(model, inputs, share=0.5))
