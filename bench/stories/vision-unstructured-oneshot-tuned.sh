#!/usr/bin/env bash
# The training of vision-unstructured.sh after pruning in one go: what the gradual rise itself is worth.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
model=$SPARSELAND_DATA/cifar10-resnet/resnet20-12fca82f.th
for seed in $STORY_SEEDS; do
  for sparsity in 80 90; do
    story "resnet20-oneshot-tuned-$sparsity-seed$seed" prune "$model" --method magnitude --sparsity $sparsity% --data cifar10 --epochs "$epochs" --lr 0.02 --teacher self --seed "$seed" \
      --run-dir "$runs/resnet20-oneshot-tuned-$sparsity-seed$seed" --no-bench --force
  done
done
