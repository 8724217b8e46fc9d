/** What the engine makes of all choices of a request, in the pieces in which it comes. */
import { setMaxListeners } from 'node:events';
import type { TokenEvent, TokenLogprobs } from '../../../protocol/request.js';
import { ApiError } from '../../base/api_error.js';
import type { ServedEngine } from '../../base/served_engine.js';
import type { Choice } from './choices.js';

type TokenNews = Extract<TokenEvent, { kind: 'token' }>;
type End = Extract<TokenEvent, { kind: 'finished' }>;

/** What came of one choice: since the last one, or altogether. */
export interface Delta {
  readonly choice: Choice;
  /** Of the prompt's tokens; null: not asked for, or told before. */
  readonly promptLogprobs: readonly (TokenLogprobs | null)[] | null;
  readonly tokens: readonly TokenNews[];
  readonly text: string;
  /** Null while it goes on. */
  readonly end: End | null;
  /** It goes on here from now on, behind so many tokens of output. Default: it did before, or began here. */
  readonly numResumed?: number;
}

/**
 * Runs all choices at once. What comes at about the same time, such as all that a step brings, comes in one list, with one delta for each choice: so a reader
 * who is slow gets few large pieces, and what waits for it is bounded by the tokens that were asked for. Of a request that may move, each token is a delta of its own,
 * wherever it is computed (docs/decisions/cluster.md#a-stream-goes-on-to-the-byte). All choices end when one fails, when `signal` is aborted, or when the loop over this is left.
 * @throws what the engine throws; ApiError MOVED: it goes on in another instance
 */
export async function* deltasOf(
  engine: Pick<ServedEngine, 'generate'>,
  choices: readonly Choice[],
  signal: AbortSignal,
): AsyncGenerator<readonly Delta[], void, undefined> {
  const events: ChoiceEvent[] = [];
  const isMovable = choices.length === 1 && choices[0]!.request.movable === true;
  let numRunning = choices.length;
  let failure: { readonly error: unknown } | null = null;
  let wake: () => void = () => undefined;
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal); // each choice listens
  const stop = (): void => stopping.abort();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const run = async (choice: Choice): Promise<void> => {
    for await (const event of engine.generate(choice.request, stopping.signal)) {
      events.push({ choice, event });
      wake();
    }
  };
  const runs = choices.map((choice) =>
    run(choice)
      .catch((error: unknown) => {
        failure ??= { error };
        stop();
      })
      .finally(() => {
        numRunning--;
        wake();
      }),
  );
  const isWaiting = (): boolean => events.length === 0 && numRunning > 0 && failure === null;
  try {
    for (;;) {
      while (isWaiting()) await new Promise<void>((resolve) => (wake = resolve));
      await new Promise(setImmediate); // whatever else this step brings
      const failed = failure as { readonly error: unknown } | null;
      if (failed !== null) throw failed.error;
      if (events.length === 0 && numRunning === 0) return;
      const news = events.splice(0);
      const isMoved = news.at(-1)?.event.kind === 'moved';
      if (isMoved) news.pop();
      for (const list of isMovable ? tokenByToken(news) : [news]) yield merged(list);
      if (isMoved) throw moved();
    }
  } finally {
    stop();
    signal.removeEventListener('abort', stop);
    await Promise.all(runs);
  }
}

interface ChoiceEvent {
  readonly choice: Choice;
  readonly event: TokenEvent;
}

const moved = (): ApiError =>
  new ApiError('MOVED', 'the request goes on in another instance; whoever moved it there has its answer');

/** Lists of one token each; an end goes with the token before it. */
function* tokenByToken(events: readonly ChoiceEvent[]): Generator<readonly ChoiceEvent[]> {
  let list: ChoiceEvent[] = [];
  for (const each of events) {
    if (each.event.kind !== 'finished' && list.length > 0) {
      yield list;
      list = [];
    }
    list.push(each);
  }
  if (list.length > 0) yield list;
}

/** One delta for each choice that has an event. */
function merged(events: readonly ChoiceEvent[]): readonly Delta[] {
  const gathered = new Map<Choice, Gathering>();
  for (const { choice, event } of events) {
    const gathering = gathered.get(choice) ?? new Gathering(choice);
    gathered.set(choice, gathering);
    gathering.take(event);
  }
  return [...gathered.values()].map((gathering) => gathering.delta);
}

/** Puts together what comes of one choice. */
class Gathering {
  private promptLogprobs: Delta['promptLogprobs'] = null;
  private readonly tokens: TokenNews[] = [];
  private readonly texts: string[] = [];
  private end: End | null = null;
  private numResumed: number | undefined;

  constructor(private readonly choice: Choice) {}

  take(event: TokenEvent): void {
    this.texts.push(event.text);
    switch (event.kind) {
      case 'resumed':
        this.numResumed = event.numTokens;
        return;
      case 'prompt':
        this.promptLogprobs = event.logprobs;
        return;
      case 'token':
        this.tokens.push(event);
        return;
      case 'finished':
        this.end = event;
        return;
      case 'moved': // another instance tells its end
        return;
    }
  }

  add({ promptLogprobs, tokens, text, end }: Delta): void {
    this.promptLogprobs ??= promptLogprobs;
    for (const token of tokens) this.tokens.push(token);
    this.texts.push(text);
    this.end ??= end;
  }

  get delta(): Delta {
    const { choice, promptLogprobs, tokens, end, numResumed } = this;
    const text = this.texts.join('');
    return { choice, promptLogprobs, tokens, text, end, ...(numResumed !== undefined && { numResumed }) };
  }
}

/** All deltas of each choice as one, in the order in which choices came first. */
export function gathered(deltas: readonly Delta[]): readonly Delta[] {
  const gatherings = new Map<Choice, Gathering>();
  for (const delta of deltas) {
    const gathering = gatherings.get(delta.choice) ?? new Gathering(delta.choice);
    gatherings.set(delta.choice, gathering);
    gathering.add(delta);
  }
  return [...gatherings.values()].map(({ delta }) => delta);
}

/** What becomes of all choices, each in one delta, in their order; the log-probabilities of a prompt come with all of its samples. @throws what `deltas` throws */
export async function wholeChoices(
  choices: readonly Choice[],
  deltas: AsyncIterable<readonly Delta[]>,
): Promise<readonly Delta[]> {
  const wholes = new Map(choices.map((choice) => [choice, new Gathering(choice)]));
  for await (const some of deltas) {
    for (const delta of some) wholes.get(delta.choice)!.add(delta);
  }
  let promptLogprobs: Delta['promptLogprobs'] = null;
  return [...wholes.values()].map(({ delta }) => {
    if (delta.choice.sample === 0) ({ promptLogprobs } = delta);
    return { ...delta, promptLogprobs };
  });
}

/** Asks for the first value, and goes on once it would have failed if it could at once. @throws what it failed with */
export async function begun<T>(values: AsyncGenerator<T, void, undefined>): Promise<AsyncIterable<T>> {
  const first = values.next();
  await Promise.race([first, turns(3)]);
  return (async function* () {
    try {
      for (let next = await first; next.done !== true; next = await values.next()) yield next.value;
    } finally {
      await values.return();
    }
  })();
}

/** So many rounds of the event loop. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
}
