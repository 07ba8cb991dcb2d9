"""Sends gradients through a function that is written in C++, forward and backward.

    python demo.py

`swish` has to be importable: put the directory with the built module on PYTHONPATH.
"""

import numpy as np
import torch

import swish


def fit(steps=200):
    """Trains one layer with the function behind it; gives the first loss and the last."""
    torch.manual_seed(0)
    x = torch.rand(64, 3)
    wanted = torch.nn.functional.silu(x @ torch.tensor([[1.0], [-2.0], [3.0]]))
    layer = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (swish.swish(layer(x)) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def main():
    x = torch.linspace(-2, 2, 5, dtype=torch.float64, requires_grad=True)
    y = swish.swish(x)
    print("swish(x):", y)
    y.sum().backward()
    print("x.grad:  ", x.grad)
    print("gradcheck:", torch.autograd.gradcheck(swish.swish, [x]))
    print("of an array:", swish.swish(np.ones(2)), swish.slope(x.detach().numpy()).round(4))
    first, last = fit()
    print(f"a layer is trained through it: loss {first:.3f} -> {last:.6f}")


if __name__ == "__main__":
    main()
