#!/usr/bin/env bash
# A small Llama, byte by byte, trained on Tiny Shakespeare, then pruned like the pretrained one. Perplexities are on the held-out last tenth.
. "$(dirname "$0")/common.sh"
story shakespeare-dense train llama --data tinyshakespeare --arch-options "${STORY_LLAMA:-dim=192,hidden=512,layers=6,heads=6,kvheads=6,sequence=256}" \
  --window 128 --batch 8 --steps "${STORY_STEPS:-400}" --lr 0.002 --seed 1 --run-dir "$runs/shakespeare-dense" --force
model=$runs/shakespeare-dense/model.onnx
story shakespeare-magnitude-50 prune "$model" --method magnitude --sparsity 50% --data tinyshakespeare --epochs 0 --run-dir "$runs/shakespeare-magnitude-50" --no-bench --force
story shakespeare-wanda-50 prune "$model" --method wanda --sparsity 50% --data tinyshakespeare --epochs 0 --run-dir "$runs/shakespeare-wanda-50" --no-bench --force
story shakespeare-wanda-2of4 prune "$model" --method wanda --pattern 2:4 --data tinyshakespeare --epochs 0 --run-dir "$runs/shakespeare-wanda-2of4" --no-bench --force
story shakespeare-dense-generate run "$model" --prompt "ROMEO:" --tokens 120
story shakespeare-wanda-50-generate run "$runs/shakespeare-wanda-50/model.sparse.safetensors" --prompt "ROMEO:" --tokens 120
story shakespeare-wanda-50-bench bench "$runs/shakespeare-wanda-50/model.sparse.safetensors" --sequence 64 --seconds 5
story shakespeare-wanda-50-generate-dense-kernels run "$runs/shakespeare-wanda-50/model.sparse.safetensors" --prompt "ROMEO:" --tokens 120 --force-dense
