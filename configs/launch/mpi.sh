#!/usr/bin/env bash
# A job of ranks under MPI's launchers, from a folder that all hosts share:
#   configs/launch/mpi.sh 8 my.yaml                              this machine alone, or in an allocation of Slurm
#   HOSTS=a:4,b:4 HEAD=a:7077 configs/launch/mpi.sh 8 my.yaml    two hosts; rank 0 is on the first
set -euo pipefail
cd "$(dirname "$0")/../.."
ranks=$1
shift

secret=$(mktemp ".launch-secret-$$.XXXXXX")
trap 'rm -f "$secret"' EXIT
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$secret"

# Open MPI calls itself OpenRTE as mpirun.openmpi. It counts cores as slots; ranks compute with threads of their own, so it binds none to a core.
case $("${MPIRUN:-mpirun}" --version 2>&1) in
  *'Open MPI'* | *OpenRTE*) options=(-np "$ranks" --bind-to none --map-by :OVERSUBSCRIBE ${HOSTS:+--host "$HOSTS"}) ;;
  *) options=(-np "$ranks" ${HOSTS:+-hosts "$HOSTS"}) ;; # hydra: MPICH, Intel MPI, MVAPICH
esac
"${MPIRUN:-mpirun}" "${options[@]}" ./launch.sh ${HEAD:+--head "$HEAD"} --secret-file "$secret" "$@"
