/** What starting a backend tells. */
export interface StartedBackend {
  /** Its version or device, or why it does not run. */
  readonly detail: string;
  /** False for software renderers, TensorFlow on a CPU and the pure-JS backend, which `auto` passes over. */
  readonly isAutomatic: boolean;
  /** Bytes of the largest tensor that its device takes. Default: as many as there are. */
  readonly maxTensorBytes?: number;
}

/** The first line of an error's message, since libraries add pages of advice to theirs. */
export const firstLine = (error: unknown): string =>
  String(error instanceof Error ? error.message : error).split('\n')[0] ?? '';
