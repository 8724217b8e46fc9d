/** How many tokens a whole answer has, as it says itself. Pure. */

/** As completions and chats call it, and responses; in texts quotes are written otherwise. */
const COUNT = /"(?:completion|output)_tokens"\s*:\s*(\d{1,9})/g;

/** Null: it doesn't say. */
export function outputTokensOf(answer: Buffer): number | null {
  const counts = [...answer.toString('latin1').matchAll(COUNT)].map(([, count]) => Number(count));
  return counts.at(-1) ?? null;
}
