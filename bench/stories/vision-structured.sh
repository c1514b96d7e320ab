#!/usr/bin/env bash
# CIFAR-10, pretrained ResNet-20: channels are removed until half of the multiply-adds are left, then the smaller network is trained,
# then both plain ONNX files are timed here and in ONNX Runtime, for one picture and for sixteen.
# STORY_PART=train or time runs one half only: times want a quiet machine.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
part=${STORY_PART:-all}
model=$SPARSELAND_DATA/cifar10-resnet/resnet20-12fca82f.th
if [ "$part" != time ]; then
  for seed in $STORY_SEEDS; do
    story "resnet20-macs-50-seed$seed" prune "$model" --macs 50% --data cifar10 --epochs "$epochs" --lr 0.02 --teacher self --seed "$seed" --run-dir "$runs/resnet20-macs-50-seed$seed" --no-bench --force
  done
fi
if [ "$part" != train ]; then
  # The three networks have the same shapes: what is removed depends on the weights alone.
  name=resnet20-macs-50-seed1
  for batch in 1 16; do
    story "resnet20-macs-50-bench-batch$batch" bench "$runs/$name/model.onnx" --dense "$model" --batch $batch --seconds 5
    if [ -d "${SPARSELAND_PEERS:-bench/peers}/onnxruntime/node_modules" ]; then
      node "${SPARSELAND_PEERS:-bench/peers}/onnxruntime/compare.mjs" "$runs/$name/checkpoints/dense.onnx" "$runs/$name/model.onnx" $batch $((batch == 1 ? 3000 : 300)) 1 \
        | jq --arg commit "$(git rev-parse --short HEAD)" --arg date "$(date -u +%F)" --arg machine "$(lscpu | sed -n 's/^Model name: *//p' | head -1), $(nproc) cores" \
          '{commit: $commit, date: $date, machine: $machine, result: .}' > "$results/$name-onnxruntime-batch$batch.json"
    else
      echo "ONNX Runtime is not installed: see bench/peers/README.md"
    fi
  done
fi
