/** What tokenizer.json puts around a text's tokens. */
import * as z from 'zod';

/** Ids before and behind a text. */
export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Whether a template says what is there, so that nothing else does. */
  readonly isTemplate: boolean;
}

/** Nothing around a text. */
export const NOTHING_AROUND: Around = { before: [], after: [], isTemplate: false };

const named = z.tuple([z.string(), z.int().min(0)]);

const templatePiece = z.union([
  z.object({ SpecialToken: z.object({ id: z.string() }) }),
  z.object({ Sequence: z.object({ id: z.enum(['A', 'B']) }) }),
]);

interface Template {
  readonly single: readonly z.output<typeof templatePiece>[];
  readonly special_tokens: Readonly<Record<string, { readonly ids: readonly number[] }>>;
}

function aroundTemplate({ single, special_tokens: tokens }: Template, context: z.RefinementCtx): Around {
  const place = single.findIndex((piece) => 'Sequence' in piece);
  const idsOf = (pieces: Template['single']): number[] =>
    pieces.flatMap((piece) => ('SpecialToken' in piece ? (tokens[piece.SpecialToken.id]?.ids ?? NaN) : NaN));
  const around = { before: idsOf(single.slice(0, place)), after: idsOf(single.slice(place + 1)), isTemplate: true };
  if (place >= 0 && ![...around.before, ...around.after].some(Number.isNaN)) return around;
  context.addIssue({ code: 'custom', message: 'the template must hold one text and tokens that special_tokens has' });
  return z.NEVER;
}

/** One after the other: each puts its tokens around what those before it gave. */
const nested = (steps: readonly Around[]): Around =>
  steps.reduce(
    (inner, outer) => ({
      before: [...outer.before, ...inner.before],
      after: [...inner.after, ...outer.after],
      isTemplate: inner.isTemplate || outer.isTemplate,
    }),
    NOTHING_AROUND,
  );

/** `post_processor` of tokenizer.json. */
export const postProcessorSchema: z.ZodType<Around> = z.lazy(() =>
  z.discriminatedUnion('type', [
    z
      .object({ type: z.literal('Sequence'), processors: z.array(postProcessorSchema) })
      .transform(({ processors }) => nested(processors)),
    z.object({ type: z.literal('ByteLevel') }).transform(() => NOTHING_AROUND),
    z
      .object({
        type: z.literal('TemplateProcessing'),
        single: z.array(templatePiece),
        special_tokens: z.record(z.string(), z.object({ ids: z.array(z.int().min(0)) })),
      })
      .transform(aroundTemplate),
    z
      .object({ type: z.literal('BertProcessing'), cls: named, sep: named })
      .transform(({ cls, sep }): Around => ({ before: [cls[1]], after: [sep[1]], isTemplate: true })),
    z
      .object({ type: z.literal('RobertaProcessing'), cls: named, sep: named })
      .transform(({ cls, sep }): Around => ({ before: [cls[1]], after: [sep[1]], isTemplate: true })),
  ]),
);
