import { createHash } from 'node:crypto';

/**
 * SHA-256 over a preamble and some tensors, by name. Tensors may be added in any order: each is hashed by itself, and the hashes are combined in the order of the
 * names.
 */
export class Fingerprint {
  private readonly preamble: readonly string[];
  private readonly tensorHashes = new Map<string, string>();

  /** @param preamble what comes before the tensors. Default nothing. */
  constructor(preamble: readonly Uint8Array[] = []) {
    this.preamble = preamble.map(sha256);
  }

  /** Adds a tensor's bytes as they are on disk; adding the same tensor again changes nothing. */
  add(name: string, rawBytes: Uint8Array): void {
    this.addHash(name, sha256(rawBytes));
  }

  /** The same for a tensor whose SHA-256 is known, in hexadecimal digits. */
  addHash(name: string, hash: string): void {
    this.tensorHashes.set(name, hash);
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
