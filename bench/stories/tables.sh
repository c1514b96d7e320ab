#!/usr/bin/env bash
# Prints the tables of docs/walkthroughs from the results that are there.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
r=${STORY_RESULTS:-bench/results/stories}
percent='def pc: (. * 10000 | round) / 100 | tostring + " %";'
kilo='def kb: (. / 100 | round) / 10 | tostring + " KB";'

vision() {
  echo "| $1 | top-1 | non-zeros | compact file |"; echo "| --- | ---: | ---: | ---: |"
  local first=1
  for f in "$r"/"$2"-oneshot-{80,90}.json "$r"/"$2"-gmp-{80,90}-seed*.json "$r"/"$2"-oneshot-tuned-{80,90}-seed*.json; do
    [ -s "$f" ] || continue
    [ $first ] && jq -r "$percent $kilo"'.result | "| dense | \(.evaluations.dense.top1 | pc) | \(.nonZeros.before) | \(.compactBytes.before | kb) |"' "$f"; first=
    jq -r --arg n "$(basename "$f" .json)" "$percent $kilo"'.result | "| \($n) | \((.evaluations["pruned and trained"] // .evaluations.pruned).top1 | pc) | \(.nonZeros.after) | \(.compactBytes.after | kb) |"' "$f"
  done
  for s in 80 90; do
    compgen -G "$r/$2-gmp-$s-seed*.json" > /dev/null || continue
    jq -rs --arg s $s "$percent"'map(.result.evaluations["pruned and trained"].top1) | "gmp \($s) %: mean \(add / length | pc) of \(length) seed(s), \(min | pc) to \(max | pc)"' "$r/$2"-gmp-$s-seed*.json
  done
}
vision ResNet-20 resnet20; echo
vision ResNet-56 resnet56; echo

echo "structured:"
for f in "$r"/resnet20-macs-50-seed?.json; do
  [ -s "$f" ] && jq -r "$percent $kilo"'.result | "\(.evaluations | to_entries | map("\(.key) \(.value.top1 | pc)") | join(", ")); parameters \(.parameters.before) -> \(.parameters.after), multiply-adds \(.multiplyAdds.before) -> \(.multiplyAdds.after), ONNX \(.onnxBytes.before | kb) -> \(.onnxBytes.after | kb)"' "$f"
done
for f in "$r"/resnet20-*-bench-batch*.json; do
  [ -s "$f" ] && jq -r --arg n "$(basename "$f" .json)" '"\($n): " + (.result.variants | map("\(.name) \(.medianMs * 100 | round / 100) ms") | join(", ")) + "; \(.result.verdict)"' "$f"
done
for f in "$r"/resnet20-*-onnxruntime-batch*.json; do
  [ -s "$f" ] && jq -r --arg n "$(basename "$f" .json)" '.result | "\($n): dense \(.medianMs[0] * 1000 | round / 1000) ms, pruned \(.medianMs[1] * 1000 | round / 1000) ms, \(.speedUp * 100 | round / 100)x (\(.speedUpLow * 100 | round / 100) to \(.speedUpHigh * 100 | round / 100))"' "$f"
done; echo

echo "| Fashion-MNIST | top-1 | non-zeros of parameters | steps |"; echo "| --- | ---: | ---: | ---: |"
for f in "$r"/fashion-*.json; do
  [ -s "$f" ] && jq -r --arg n "$(basename "$f" .json)" "$percent"'.result | "| \($n) | \(.top1 | pc) | \(.nonZeros) of \(.parameters) | \(.steps) |"' "$f"
done; echo

echo "| stories260k | perplexity | compact file | tokens/s | on dense kernels |"; echo "| --- | ---: | ---: | ---: | ---: |"
for n in dense magnitude-50 magnitude-rowwise-50 wanda-50 wanda-50-shakespeare magnitude-2of4 wanda-2of4; do
  f="$r/stories260k-$n.json"; [ -s "$f" ] || continue
  p="$r/stories260k-$n-prune.json"; g="$r/stories260k-$n-generate.json"; [ "$n" = dense ] && g="$r/stories260k-generate.json"; d="$r/stories260k-$n-generate-dense-kernels.json"
  echo "| $n | $(jq -r '.result.perplexity * 1000 | round / 1000' "$f") | $([ -s "$p" ] && jq -r "$kilo"'.result.compactBytes.after | kb' "$p") | $([ -s "$g" ] && jq -r '.result.tokensPerSecond | round' "$g") | $([ -s "$d" ] && jq -r '.result.tokensPerSecond | round' "$d") |"
done; echo

echo "Tiny Shakespeare:"
for n in dense magnitude-50 wanda-50 wanda-2of4; do
  f="$r/shakespeare-$n.json"; [ -s "$f" ] || continue
  jq -r --arg n $n '.result | if .evaluations then "\($n): " + (.evaluations | to_entries | map("\(.key) perplexity \(.value.perplexity * 1000 | round / 1000), \(.value.bitsPerByte * 1000 | round / 1000) bits per byte") | join("; ")) + "; compact \(.compactBytes.before) -> \(.compactBytes.after)" else "\($n): perplexity \(.perplexity * 1000 | round / 1000), \(.bitsPerByte * 1000 | round / 1000) bits per byte, \(.parameters) parameters, \(.steps) steps in \(.seconds | round) s" end' "$f"
done
