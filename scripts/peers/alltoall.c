/* MPI_Alltoall between the ranks of mpirun: alltoall BYTES ITERATIONS. BYTES from each rank to each other; prints microseconds of the slowest rank of each iteration as
   one line of JSON. The first tenth is warm-up, and not told. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (argc != 3) MPI_Abort(MPI_COMM_WORLD, 2);
  const int bytes = atoi(argv[1]), iterations = atoi(argv[2]), warm_up = iterations / 10 + 1;
  char *sent = calloc(size, bytes), *received = calloc(size, bytes);
  double *us = calloc(iterations, sizeof(double)), *slowest = calloc(iterations, sizeof(double));
  if (!sent || !received || !us || !slowest) MPI_Abort(MPI_COMM_WORLD, 1);
  for (int i = -warm_up; i < iterations; i++) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    MPI_Alltoall(sent, bytes, MPI_BYTE, received, bytes, MPI_BYTE, MPI_COMM_WORLD);
    if (i >= 0) us[i] = 1e6 * (MPI_Wtime() - start);
  }
  MPI_Reduce(us, slowest, iterations, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  if (rank == 0) {
    printf("{\"us\":[");
    for (int i = 0; i < iterations; i++) printf("%s%.3f", i ? "," : "", slowest[i]);
    printf("]}\n");
  }
  MPI_Finalize();
  return 0;
}
