/** An error of the operating system: a disk that is full, a path that isn't there, a connection that ended. */
export const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error;
