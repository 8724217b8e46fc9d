/** A rank's part in coming and going while the job runs: links up with whom the head names, and says what became of it. */
import { CommError, remoteErrorOf } from '../base/errors.js';
import { asRank } from '../../base/ids.js';
import type { Mesh } from '../mesh/mesh.js';
import type { ControlLink } from './control_link.js';
import type { ControlMessage, ControlMessageOf } from './messages.js';

/** What admissions need. */
export interface AdmissionsOptions {
  readonly link: Pick<ControlLink, 'isOpen' | 'send'>;
  readonly mesh: Pick<Mesh, 'admit' | 'dismiss'>;
  /** How long to try to link up with one rank. Default 10000. */
  readonly timeoutMs?: number;
}

/** Obeys `admit` and `dismiss` at once, beside whatever the rank does. */
export class Admissions {
  constructor(private readonly options: AdmissionsOptions) {}

  /** Takes a message of the head if it is about links; false: it is not. */
  take(message: ControlMessage): boolean {
    if (message.type === 'admit') void this.admit(message);
    else if (message.type === 'dismiss') this.options.mesh.dismiss(asRank(message.rank), message.reason);
    else return false;
    return true;
  }

  private async admit({ rank, host, port, ticket }: ControlMessageOf<'admit'>): Promise<void> {
    const { mesh, timeoutMs = 10000 } = this.options;
    try {
      await mesh.admit(asRank(rank), { host, port, ticket }, { timeoutMs });
      this.tell({ type: 'linked', rank, ticket });
    } catch (error) {
      // Whoever ended it doesn't ask for a word.
      if (error instanceof CommError && (error.code === 'ABORTED' || error.code === 'CLOSED')) return;
      this.tell({ type: 'unlinked', rank, ticket, error: remoteErrorOf(error) });
    }
  }

  private tell(message: ControlMessage): void {
    if (this.options.link.isOpen) this.options.link.send(message);
  }
}
