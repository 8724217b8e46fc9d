/** What an instance of a cluster adds to an answer: notes to the router, and what the instance is told that goes on with it. */
import { EngineError } from '../../protocol/errors.js';
import type { RequestTerms } from '../cluster/request_terms.js';
import type { Lease } from '../cluster/lease.js';
import type { Leases } from '../cluster/leases.js';
import type { OfferedParams } from '../cluster/transfer_params.js';
import type { AnswerForm, Coming } from './answer_streams.js';
import { notedForm } from './noted_form.js';
import type { Delta } from './requests/choice_deltas.js';

/** How a request is part of a cluster. */
export interface MovingParts {
  readonly terms: RequestTerms;
  readonly leases: Leases;
  /** Of the answer, in seconds since 1970. */
  readonly created: number;
}

/** An answer that was started, in the form that its terms want. */
export function movingAnswer(
  coming: Coming,
  plain: AnswerForm,
  { terms, leases, created }: MovingParts,
): { readonly coming: Coming; readonly form: AnswerForm } {
  const { movable: isMovable = false, sampling, id = '' } = coming.choices[0]!.request;
  const form = terms.handsOver ? offeringForm(plain, leases, id) : plain;
  if (!terms.isRouted) return { coming, form };
  const begun = { kind: 'begun' as const, seed: sampling?.seed ?? 0, created, isMovable };
  const numTold = terms.resume === null ? null : terms.resume.token_ids.length;
  let offered: OfferedParams | null = null;
  const takeOffered = (): OfferedParams | null => {
    const params = offered;
    offered = null;
    return params;
  };
  const noted = notedForm(form, { begun, numTold, takeOffered });
  if (!terms.handsOver) return { coming, form: noted };
  const offer = async (): Promise<void> => {
    const lease = await leases.addQueued(id).catch(nullWhereOver);
    if (lease !== null && (await isPlaced(lease, coming.signal))) offered = paramsOf(leases, lease);
  };
  return { coming: { ...coming, deltas: withNews(coming.deltas, offer()) }, form: noted };
}

/** A whole answer tells who is to go on with it, as vLLM does: not where its first token was its end. */
function offeringForm(form: AnswerForm, leases: Leases, id: string): AnswerForm {
  const whole = (deltas: readonly Delta[]): object => {
    const lease = deltas[0]!.end?.reason === 'length' ? offeredAs(leases, id) : null;
    return { ...form.whole(deltas), kv_transfer_params: lease && paramsOf(leases, lease) };
  };
  return { ...form, whole };
}

/** Null: it is over, and nothing of it is held. */
const offeredAs = (leases: Leases, id: string): Lease | null => unlessOver(() => leases.add(id));
const paramsOf = (leases: Leases, lease: Lease): OfferedParams | null => unlessOver(() => leases.paramsOf(lease));

function unlessOver<T>(tell: () => T): T | null {
  try {
    return tell();
  } catch (error) {
    return nullWhereOver(error);
  }
}

/** @throws what no engine says */
function nullWhereOver(error: unknown): null {
  if (error instanceof EngineError) return null;
  throw error;
}

/** Waits until a rank has it, or nothing more comes of it here: its keys and values may be nowhere to be read. False: it is over. */
async function isPlaced({ offer }: Lease, signal: AbortSignal): Promise<boolean> {
  while (offer.end === null && !signal.aborted) {
    if (offer.place() !== null || offer.state().isPaused) return true;
    await offer.changed(signal).catch(() => undefined); // then the signal is aborted
  }
  return false;
}

/** An empty list beside the deltas when `news` resolves. @throws what `deltas` or `news` do */
async function* withNews(
  deltas: AsyncIterable<readonly Delta[]>,
  news: Promise<void>,
): AsyncGenerator<readonly Delta[], void, undefined> {
  const iterator = deltas[Symbol.asyncIterator]();
  let waiting: Promise<void> | null = news;
  try {
    for (let next = iterator.next(); ;) {
      const first = await (waiting === null ? next : Promise.race([next, waiting]));
      if (first === undefined) {
        waiting = null;
        yield [];
      } else if (first.done === true) return;
      else {
        yield first.value;
        next = iterator.next();
      }
    }
  } finally {
    await iterator.return?.();
  }
}
