#!/usr/bin/env bash
# Language: the pretrained Llama-architecture model of 260K parameters, pruned without training and measured on the three stories;
# calibration sees Tiny Shakespeare and the built-in text only, never the stories.
. "$(dirname "$0")/common.sh"
model=$SPARSELAND_DATA/lm-stories260k/checkpoint_v1.bin
text=$SPARSELAND_DATA/text/tinystories_sample_3stories.txt
story stories260k-dense evaluate "$model" --data "$text"
story stories260k-generate run "$model" --prompt "Once upon a time" --tokens 200
prune_and_measure() {
  local name=$1; shift
  story "stories260k-$name-prune" prune "$model" "$@" --run-dir "$runs/stories260k-$name" --no-bench --force
  story "stories260k-$name" evaluate "$runs/stories260k-$name/model.sparse.safetensors" --data "$text"
  story "stories260k-$name-generate" run "$runs/stories260k-$name/model.sparse.safetensors" --prompt "Once upon a time" --tokens 200
  story "stories260k-$name-generate-dense-kernels" run "$runs/stories260k-$name/model.sparse.safetensors" --prompt "Once upon a time" --tokens 200 --force-dense
}
prune_and_measure magnitude-50 --method magnitude --sparsity 50%
prune_and_measure magnitude-rowwise-50 --method magnitude --sparsity 50% --set allocation=uniform --keep-last
prune_and_measure wanda-50 --method wanda --sparsity 50% --data stories
prune_and_measure wanda-50-shakespeare --method wanda --sparsity 50% --data tinyshakespeare
prune_and_measure magnitude-2of4 --method magnitude --pattern 2:4 --keep-last
prune_and_measure wanda-2of4 --method wanda --pattern 2:4 --data stories
for name in wanda-50 wanda-2of4; do
  story "stories260k-$name-bench" bench "$runs/stories260k-$name/model.sparse.safetensors" --sequence 64 --seconds 5
done
