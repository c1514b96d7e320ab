"""Times training steps of CIFAR ResNet-20 and of perceptrons in PyTorch, as a peer for `sparseland-bench train-step`.

Usage: python3 train_step.py [--model resnet20|mlp] [--width 16] [--batch 128] [--steps 10] [--threads 2] [--serve]
Prints one JSON line: median, low and high milliseconds per step, images per second.
With --serve it prints its name when it is ready; then one step for each line "run", answered by its milliseconds,
so that a benchmark can take turns with it.
"""
import argparse
import json
import sys
import time

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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["resnet20", "mlp"], default="resnet20")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.model == "mlp":
        w = options.width
        model = nn.Sequential(nn.Linear(784, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, 10))
        x = torch.randn(options.batch, 784)
    else:
        model = ResNet20(options.width)
        x = torch.randn(options.batch, 3, 32, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    y = torch.randint(0, 10, (options.batch,))

    def step():
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        return (time.perf_counter() - start) * 1000

    if options.serve:
        print(f"pytorch {torch.__version__}", flush=True)
        for line in sys.stdin:
            if line.strip() != "run":
                break
            print(f"{step():.6f}", flush=True)
        return
    for _ in range(options.warmup):
        step()
    times = sorted(step() for _ in range(options.steps))
    median = times[len(times) // 2]
    print(json.dumps({
        "name": f"pytorch {torch.__version__}", "model": options.model, "width": options.width, "batch": options.batch, "threads": options.threads,
        "medianMs": median, "lowMs": times[0], "highMs": times[-1], "imagesPerSecond": options.batch / median * 1000,
    }))


if __name__ == "__main__":
    main()
