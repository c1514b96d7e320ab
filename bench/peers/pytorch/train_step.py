"""Times training steps of CIFAR ResNet-20 and of perceptrons in PyTorch, as a peer for `sparseland-bench train-step`.

Usage: python3 train_step.py FOLDER [--model resnet20|mlp] [--width 16] [--batch 128] [--threads 2]
FOLDER has x.bin (the batch), y.bin (its classes, int64) and weights_0.bin, weights_1.bin, ... (every parameter in the order of the
model, one after the other). For each of the latter and each layout the loss and all gradients are written to gradients_I_LAYOUT.bin,
so that the benchmark can compare them with its own. Then it says its name and those of its variants, and answers each line "run I"
with the milliseconds of one step: images as rows of a channel or channels last, with several threads or one, of torch and of its
BLAS; those that take a quarter longer than the fastest are left out.
"""
import argparse
import copy
import os
import time

from peer import contenders, read, serve, threads_to_try, use_threads, write  # before torch: it starts this program anew

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, (outputs - inputs) // 2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.extra or self.stride != 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self, width):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
        for stage in range(3):
            for i in range(3):
                outputs = width << stage
                layers.append(Block(channels, outputs, 2 if stage and i == 0 else 1))
                channels = outputs
        self.body = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, 10)

    def forward(self, x):
        return self.linear(self.body(x).mean((2, 3)))


LAYOUTS = {"rows": torch.contiguous_format, "channels last": torch.channels_last}


def fill(model, values):
    """Puts numbers into a model's parameters, in its order."""
    sizes = [p.numel() for p in model.parameters()]
    if sum(sizes) != values.numel():
        raise SystemExit(f"the model has {sum(sizes)} weights and {values.numel()} were given")
    with torch.no_grad():
        for p, part in zip(model.parameters(), values.split(sizes)):
            p.copy_(part.view_as(p))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--model", choices=["resnet20", "mlp"], default="resnet20")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    use_threads(options.threads, options.threads)
    if options.model == "mlp":
        w = options.width
        model = nn.Sequential(nn.Linear(784, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, 10))
        x = read(options.folder, "x.bin", (options.batch, 784))
        layouts = ["rows"]
    else:
        model = ResNet20(options.width)
        x = read(options.folder, "x.bin", (options.batch, 3, 32, 32))
        layouts = list(LAYOUTS)
    y = read(options.folder, "y.bin", (options.batch,), torch.int64)

    def trained(layout, weights):
        """A model with these weights, its batch, and what makes a step of it: forward, loss, backward, and the optimizer unless it is left out."""
        mine, images = copy.deepcopy(model), x
        fill(mine, weights)
        if x.dim() == 4:
            mine, images = mine.to(memory_format=LAYOUTS[layout]), x.contiguous(memory_format=LAYOUTS[layout])
        optimizer = torch.optim.SGD(mine.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

        def step(update=True):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(mine(images), y)
            loss.backward()
            if update:
                optimizer.step()
            return loss

        return mine, step

    i = 0
    while os.path.exists(os.path.join(options.folder, f"weights_{i}.bin")):
        weights = read(options.folder, f"weights_{i}.bin", (-1,))
        for number, layout in enumerate(layouts):
            mine, step = trained(layout, weights)
            loss = step(update=False)
            write(options.folder, f"gradients_{i}_{number}.bin", [loss.reshape(1), *(p.grad for p in mine.parameters())])
        i += 1

    def timed(step, threads):
        def run():
            use_threads(*threads)
            start = time.perf_counter()
            step()
            return (time.perf_counter() - start) * 1000

        return run

    first, variants = read(options.folder, "weights_0.bin", (-1,)), {}
    for layout in layouts:
        _, step = trained(layout, first)
        for name, threads in threads_to_try(options.threads).items():
            if len(layouts) > 1 and threads[0] < options.threads:
                continue  # convolutions have torch's threads: fewer only cost
            variants[", ".join(n for n in ("" if len(layouts) == 1 else layout, name) if n) or "plain"] = timed(step, threads)
    serve(contenders(variants, 1.25))


if __name__ == "__main__":
    main()
