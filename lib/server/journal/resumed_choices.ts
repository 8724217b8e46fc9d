/** From choices that another head left in the middle to their rest. Pure. */
import type { Delta } from '../openai/requests/choice_deltas.js';
import type { Choice } from '../openai/requests/choices.js';

/** Those that aren't over, each going on behind the tokens that came `before`. */
export function behind(choices: readonly Choice[], before: readonly Delta[]): readonly Choice[] {
  const isOver = (choice: Choice): boolean => before.some((delta) => delta.choice === choice && delta.end !== null);
  return choices
    .filter((choice) => !isOver(choice))
    .map((choice) => {
      const outputTokenIds = tokensOf(choice, before).map(({ tokenId }) => tokenId);
      const { promptLogprobs, ...rest } = choice.request;
      // What is told of a prompt comes before the first token.
      const isToldAgain = outputTokenIds.length === 0 && promptLogprobs !== undefined;
      return { ...choice, request: { ...rest, outputTokenIds, ...(isToldAgain && { promptLogprobs }) } };
    });
}

/** The rest as if it came of `choices` themselves; what ends tell of the whole is completed. */
export async function* completed(
  more: AsyncIterable<readonly Delta[]>,
  choices: readonly Choice[],
  before: readonly Delta[],
): AsyncGenerator<readonly Delta[], void, undefined> {
  for await (const deltas of more) {
    yield deltas.map((delta) => {
      const choice = choices[delta.choice.index]!;
      const end =
        delta.end?.routedExperts == null
          ? delta.end
          : { ...delta.end, routedExperts: expertsOf(choice, delta.end.routedExperts, before) };
      return { ...delta, choice, end };
    });
  }
}

const expertsOf = (choice: Choice, rest: readonly number[][][], before: readonly Delta[]): number[][][] => [
  ...tokensOf(choice, before).flatMap(({ routedExperts }) => routedExperts ?? []),
  ...rest,
];

const tokensOf = (choice: Choice, before: readonly Delta[]): Delta['tokens'] =>
  before.find((delta) => delta.choice === choice)?.tokens ?? [];
