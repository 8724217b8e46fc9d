/** What the lines of a journal come to: the requests that earlier heads took, and how far they came. Pure. */
import type { Choice } from '../openai/requests/choices.js';
import { choicesOfLine, errorOfLine, type DeltasLine, type JournalLine } from './journal_lines.js';
import { KeptRequest } from './kept_request.js';

/** Takes line after line. */
export class JournalHistory {
  /** By number. */
  private readonly kept = new Map<number, KeptRequest>();

  /** `numBytes`: of the line. */
  take(line: JournalLine, numBytes: number): void {
    if (line.kind === 'request') {
      const { number, asked } = line;
      this.kept.set(number, new KeptRequest({ number, asked, choices: choicesOfLine(line) }));
    }
    const kept = this.kept.get(line.number);
    if (kept === undefined) return; // nobody keeps it, or its first line is damaged
    kept.numBytes += numBytes;
    if (line.kind === 'deltas') add(kept, line);
    if (line.kind !== 'end') return;
    const error = errorOfLine(line);
    if (error === null) this.kept.delete(line.number);
    else kept.finish(error);
  }

  /** In the order in which they came; over where all was said of them. */
  requests(): readonly KeptRequest[] {
    const all = [...this.kept.values()];
    for (const kept of all) if (isFinished(kept)) kept.finish(null);
    return all;
  }
}

/** What follows from what is known: behind a line that is missing nothing counts. */
function add(kept: KeptRequest, { deltas }: DeltasLine): void {
  const following = deltas.flatMap(({ choice: index, from, ...rest }) => {
    const choice = kept.record.choices[index];
    return choice === undefined || from !== kept.numTokensOf(choice) ? [] : [{ ...rest, choice }];
  });
  kept.add(following);
}

const isFinished = ({ record, soFar }: KeptRequest): boolean => {
  const ended = new Set<Choice>(soFar.filter(({ end }) => end !== null).map(({ choice }) => choice));
  return record.choices.every((choice) => ended.has(choice));
};
