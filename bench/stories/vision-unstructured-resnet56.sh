#!/usr/bin/env bash
# The same for ResNet-56.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
model=$SPARSELAND_DATA/cifar10-resnet/resnet56-4bfd9763.th
for sparsity in 80 90; do
  story "resnet56-oneshot-$sparsity" prune "$model" --method magnitude --sparsity $sparsity% --data cifar10 --run-dir "$runs/resnet56-oneshot-$sparsity" --no-bench --force
done
for seed in $STORY_SEEDS; do
  for sparsity in 80 90; do
    story "resnet56-gmp-$sparsity-seed$seed" prune "$model" --method gmp --sparsity $sparsity% --data cifar10 --epochs "$epochs" --lr 0.02 --teacher self --seed "$seed" \
      --run-dir "$runs/resnet56-gmp-$sparsity-seed$seed" --no-bench --force
  done
done
