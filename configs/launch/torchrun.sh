#!/usr/bin/env bash
# A job of ranks under torchrun, the same line on each host, with the secret in EXPERTWIRE_JOB_SECRET:
#   NNODES=2 NODE_RANK=0 MASTER=10.0.0.1 configs/launch/torchrun.sh 4 my.yaml
set -euo pipefail
cd "$(dirname "$0")/../.."
ranks=$1
shift
# What torchrun would set, with a warning; ranks don't compute with OpenMP.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# torchrun listens at its master port itself; ranks join their head at the next one.
exec torchrun --no-python --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" --nproc-per-node "$ranks" \
  --master-addr "${MASTER:-127.0.0.1}" --master-port "${MASTER_PORT:-29500}" ./launch.sh "$@"
