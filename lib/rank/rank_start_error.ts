import type { RemoteError } from '../../comm/base/errors.js';

/** A rank of the job could not start. The message begins with the code of what failed there, then says which rank on which machine, and what to do. */
export class RankStartError extends Error {
  /** Of the layer that failed on the rank: BACKEND_UNAVAILABLE, OUT_OF_MEMORY, … */
  readonly code: string;
  readonly rank: number;
  /** Name of the rank's machine, where the rank told it. */
  readonly host: string | undefined;

  constructor(rank: number, { code, message, host }: RemoteError) {
    const who = host === undefined ? `rank ${rank}` : `rank ${rank} on ${host}`;
    const what = message.replace(`${code}: `, '');
    const own = `rank ${rank} `;
    super(`${code}: ${what.startsWith(own) ? `${who} ${what.slice(own.length)}` : `${who}: ${what}`}`);
    this.name = 'RankStartError';
    [this.code, this.rank, this.host] = [code, rank, host];
  }
}
