#!/usr/bin/env bash
# Fashion-MNIST from scratch: a small CNN dense, then sparse from the first step (RigL) and pruned before it (SNIP), 90 %.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
for seed in $STORY_SEEDS; do
  common=(--data fashion-mnist --epochs "$epochs" --lr 0.05 --seed "$seed" --force)
  story "fashion-${epochs}epochs-dense-seed$seed" train small-cnn "${common[@]}" --run-dir "$runs/fashion-${epochs}epochs-dense-seed$seed"
  story "fashion-${epochs}epochs-rigl-90-seed$seed" train small-cnn --method rigl --sparsity 90% "${common[@]}" --run-dir "$runs/fashion-${epochs}epochs-rigl-90-seed$seed"
  story "fashion-${epochs}epochs-snip-90-seed$seed" train small-cnn --method snip --sparsity 90% "${common[@]}" --run-dir "$runs/fashion-${epochs}epochs-snip-90-seed$seed"
done
