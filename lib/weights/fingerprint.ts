import { createHash } from 'node:crypto';

/**
 * What makes two ranks' checkpoints the same one: SHA-256 over the model's config.json, the headers of its safetensors
 * files and the tensors that every rank reads anyway. Routed experts are covered only by the headers (names, types,
 * shapes and positions), since a rank reads just its own.
 *
 * Tensors may be added in any order: each is hashed by itself, and the hashes are combined in the order of the names.
 */
export class Fingerprint {
  private readonly preamble: readonly string[];
  private readonly tensorHashes = new Map<string, string>();

  /**
   * @param configBytes config.json as it is on disk
   * @param headers header bytes of every safetensors file, in the order of the file names
   */
  constructor(configBytes: Uint8Array, headers: readonly Uint8Array[]) {
    this.preamble = [configBytes, ...headers].map(sha256);
  }

  /** Adds a tensor's bytes as they are on disk; adding the same tensor again changes nothing. */
  add(name: string, rawBytes: Uint8Array): void {
    this.tensorHashes.set(name, sha256(rawBytes));
  }

  /** 64 hexadecimal digits for everything added so far; more may be added afterwards. */
  digest(): string {
    const tensors = [...this.tensorHashes].sort(([a], [b]) => (a < b ? -1 : 1));
    return sha256(Buffer.from(JSON.stringify([this.preamble, tensors])));
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
