#!/usr/bin/env bash
# The same for ResNet-56, one seed.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
model=$SPARSELAND_DATA/cifar10-resnet/resnet56-4bfd9763.th
for sparsity in 80 90; do
  story "resnet56-oneshot-$sparsity" prune "$model" --method magnitude --sparsity $sparsity% --data cifar10 --run-dir "$runs/resnet56-oneshot-$sparsity" --no-bench --force
  story "resnet56-gmp-$sparsity-seed1" prune "$model" --method gmp --sparsity $sparsity% --data cifar10 --epochs "$epochs" --lr 0.02 --teacher self --seed 1 \
    --run-dir "$runs/resnet56-gmp-$sparsity-seed1" --no-bench --force
done
