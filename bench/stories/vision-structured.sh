#!/usr/bin/env bash
# CIFAR-10, pretrained ResNet-20: channels are removed until half of the multiply-adds are left, then the smaller network is trained,
# then both plain ONNX files are timed here and in ONNX Runtime.
. "$(dirname "$0")/common.sh"
epochs=${STORY_EPOCHS:-4}
model=$SPARSELAND_DATA/cifar10-resnet/resnet20-12fca82f.th
story "resnet20-macs-50-seed1" prune "$model" --macs 50% --data cifar10 --epochs "$epochs" --lr 0.02 --teacher self --seed 1 --run-dir "$runs/resnet20-macs-50-seed1" --no-bench --force
story "resnet20-macs-50-bench" bench "$runs/resnet20-macs-50-seed1/model.onnx" --dense "$model" --batch 16 --seconds 10
# ONNX Runtime on the plain files, dense and pruned in turns.
if [ -d bench/peers/onnxruntime/node_modules ]; then
  name=resnet20-macs-50-seed1
  for batch in 1 16; do
    node bench/peers/onnxruntime/compare.mjs "$runs/$name/checkpoints/dense.onnx" "$runs/$name/model.onnx" $batch 1000 1 \
      | jq --arg commit "$(git rev-parse --short HEAD)" --arg date "$(date -u +%F)" --arg machine "$(lscpu | sed -n 's/^Model name: *//p' | head -1), $(nproc) cores" \
        '{commit: $commit, date: $date, machine: $machine, result: .}' > "$results/$name-onnxruntime-batch$batch.json"
  done
else
  echo "ONNX Runtime is not installed: see bench/peers/README.md"
fi
