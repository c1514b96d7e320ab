#!/usr/bin/env bash
# CIFAR-10, pretrained ResNets: one-shot and gradual magnitude pruning at 80 % and 90 %, on the 4,000 training images that are there,
# with crops, flips and distillation from the dense network. About 5 minutes a run on two cores.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
model=$SPARSELAND_DATA/cifar10-resnet/resnet20-12fca82f.th
for sparsity in 80 90; do
  story "resnet20-oneshot-$sparsity" prune "$model" --method magnitude --sparsity $sparsity% --data cifar10 --run-dir "$runs/resnet20-oneshot-$sparsity" --no-bench --force
done
for seed in $STORY_SEEDS; do
  for sparsity in 80 90; do
    story "resnet20-gmp-$sparsity-seed$seed" prune "$model" --method gmp --sparsity $sparsity% --data cifar10 --epochs "$epochs" --lr 0.02 --teacher self --seed "$seed" \
      --run-dir "$runs/resnet20-gmp-$sparsity-seed$seed" --no-bench --force
  done
done
