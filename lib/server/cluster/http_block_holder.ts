/** Another instance that may have blocks, over HTTP: the borrower's side of the endpoints in loan_part.ts. Why: docs/decisions/kv_store.md#who-may-borrow */
import { causeText, jsonOrUndefined } from '../../../base/foreign_text.js';
import { CHALLENGE_HEADER, isProofOf, newChallenge, PROOF_HEADER } from '../../cluster/base/key_proof.js';
import { EngineError } from '../../protocol/errors.js';
import type { BlockHolder, BorrowedBlocks } from '../../protocol/kv_loan.js';
import { boundedText, messageIn } from './answer_text.js';
import type { SilentHolders } from './silent_holders.js';
import { hexOfKey, matchAnswer, type MatchAnswer, type MatchBody } from './loan_messages.js';

/** Who asks. */
export interface BorrowerOptions {
  readonly identity: MatchBody['identity'];
  /** Null: there is none, and all instances are on this machine. */
  readonly clusterKey: string | null;
  /** Who didn't answer lately isn't asked. */
  readonly silent: SilentHolders;
}

/** Of each answer: to compute is better than to wait. Less than is waited for all who are asked (first_loan.ts), so that one sees who said nothing. */
const TIMEOUT_MS = 1500;
const MAX_ANSWER_BYTES = 64 * 1024;

/** One instance. */
export class HttpBlockHolder implements BlockHolder {
  /** `url`: without a path. */
  constructor(
    private readonly url: string,
    private readonly options: BorrowerOptions,
  ) {}

  /** @throws EngineError SOURCE_LOST: it can't be asked; the reason of the signal */
  async match(keys: readonly string[], signal: AbortSignal): Promise<BorrowedBlocks | null> {
    const { identity, silent } = this.options;
    if (silent.has(this.url, performance.now())) return null;
    const body = JSON.stringify({ identity, keys: keys.map(hexOfKey) });
    const within = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    try {
      const answer = this.answerIn(await this.asked(body, within));
      silent.heard(this.url);
      return 'lease' in answer && answer.num_blocks <= keys.length ? this.borrowed(answer) : null;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof EngineError)) silent.add(this.url, performance.now());
      throw error instanceof EngineError ? error : this.lost(`can't be asked (${causeText(error)})`, error);
    }
  }

  /** The cluster's key goes to who has it alone. Why: docs/decisions/cluster.md#the-key-goes-to-who-has-it */
  private async asked(body: string, signal: AbortSignal): Promise<string> {
    const { clusterKey } = this.options;
    if (clusterKey === null) return this.textOf(await this.post('match', body, {}, signal));
    const challenge = newChallenge();
    const probe = await this.post('match', '{}', { [CHALLENGE_HEADER]: challenge }, signal);
    await probe.body?.cancel();
    if (!isProofOf(probe.headers.get(PROOF_HEADER), clusterKey, challenge)) {
      throw this.lost("doesn't have the key of this cluster");
    }
    return this.textOf(await this.post('match', body, bearer(clusterKey), signal));
  }

  private post(
    path: string,
    body: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Response> {
    const all = { 'content-type': 'application/json', ...headers };
    return fetch(`${this.url}/v1/kv/${path}`, { method: 'POST', headers: all, body, signal, redirect: 'error' });
  }

  private async textOf(answer: Response): Promise<string> {
    const text = await boundedText(answer, MAX_ANSWER_BYTES);
    if (answer.ok) return text;
    throw this.lost(`answers ${answer.status} ${messageIn(text)}`);
  }

  private answerIn(text: string): MatchAnswer {
    const { success, data } = matchAnswer.safeParse(jsonOrUndefined(text));
    if (success) return data;
    throw this.lost('answers with something else than a loan');
  }

  private borrowed(answer: Extract<MatchAnswer, { readonly lease: unknown }>): BorrowedBlocks {
    const { lease, place, num_blocks: numBlocks } = answer;
    let isClosed = false;
    const tell = (what: 'renew' | 'release'): void => {
      const within = AbortSignal.timeout(TIMEOUT_MS);
      const told = this.post(`loans/${lease.id}/${what}`, '{}', bearer(lease.token), within);
      told.then((each) => each.body?.cancel()).catch(() => undefined); // it ends by itself
    };
    return {
      ...{ lease, place, numBlocks },
      renew: () => tell('renew'),
      close: () => {
        if (!isClosed) tell('release');
        isClosed = true;
      },
    };
  }

  private lost(what: string, cause?: unknown): EngineError {
    return new EngineError('SOURCE_LOST', `the instance at ${this.url} that may have blocks ${what}; compute them`, {
      cause,
    });
  }
}

const bearer = (key: string): Readonly<Record<string, string>> => ({ authorization: `Bearer ${key}` });
