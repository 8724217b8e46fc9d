#!/bin/sh
# Makes the checkpoints that bytes.yaml compares, under experiments/models: quantised and pruned ones of models/moe-7m, calibrated with text that it writes itself.
# Run it at the top of the repository. EXPERTWIRE: how expertwire is called (npx expertwire).
set -eu
expertwire=${EXPERTWIRE:-npx expertwire}
model=models/moe-7m
out=experiments/models
mkdir -p "$out"
text=$out/calibration.txt
: > "$text"
for seed in 1 2 3 4 5 6; do
  for prompt in 'Call me Ishmael.' 'And the LORD spake unto Moses, saying,' 'Fellow citizens of the Senate and House' "import {Tensor} from './tensor';"; do
    $expertwire generate --model $model --prompt "$prompt" --max-new-tokens 400 --temperature 0.9 --seed $seed 2> /dev/null >> "$text"
  done
done
$expertwire quantise $model "$out/int8" --format int8
$expertwire quantise $model "$out/uint4" --format int4 --asymmetric
$expertwire quantise $model "$out/int4" --format int4
for keep in 28 24 20 16; do
  $expertwire prune $model "$out/reap-$keep" --criterion reap --keep $keep --calibration "$text"
done
for keep in 24 16; do
  $expertwire prune $model "$out/random-$keep" --criterion random --keep $keep
  $expertwire prune $model "$out/merge-$keep" --criterion reap --merge --keep $keep --calibration "$text"
done
$expertwire quantise "$out/reap-24" "$out/reap-24-int4" --format int4 --asymmetric
