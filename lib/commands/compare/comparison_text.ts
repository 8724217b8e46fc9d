/** A comparison as text and as JSON. Pure. */
import type { ComparedLayer, ComparedSide, ComparisonResult, Divergence } from '../../compare/comparison.js';
import { perplexityOf } from '../../compare/text_pass.js';
import { bytes, table } from '../../metrics/charts.js';

/** Tables for a terminal. */
export function comparisonText(result: ComparisonResult): string {
  const { a, b, numPlaces, layers, notes } = result;
  const { numDegradedTokens } = b.reading;
  return `${[
    ...[`A: ${a.name}`, `B: ${b.name}`, ''],
    sidesTable(a, b),
    '',
    ...divergenceLines(result),
    ...(layers.length === 0 ? [] : ['', layersTable(layers)]),
    ...(layers.length === 0 ? [] : [MEANING]),
    ...(notes.length === 0 ? [] : ['', ...notes]),
    ...[a.reading.numDegradedTokens, numDegradedTokens].flatMap((count, i) =>
      count === 0 ? [] : [`${count} of ${numPlaces} tokens of ${'AB'[i]!} lost an expert with its rank.`],
    ),
  ].join('\n')}\n`;
}

const MEANING =
  'hidden error: |b − a| / |a| of the states behind the layer; lens: what final norm and head make of them; same experts: choices of A that B makes too';

function sidesTable(a: ComparedSide, b: ComparedSide): string {
  const row = (name: string, of: (side: ComparedSide) => number, text: (value: number) => string): string[] => [
    ...[name, text(of(a)), text(of(b)), `${(of(b) / of(a)).toFixed(4)}x`],
  ];
  return table([
    ['', 'A', 'B', 'B / A'],
    row('perplexity', ({ reading }) => perplexityOf(reading.logprobs), digits),
    row('checkpoint', ({ checkpointBytes }) => checkpointBytes, bytes),
    row('resident', ({ residentBytes }) => residentBytes, bytes),
  ]);
}

function divergenceLines(result: ComparisonResult): string[] {
  const { kl, klQuantiles, top1Agreement, maxLogitError, rmsLogitError, routingAgreement, numPlaces } = result;
  const at = (share: number): string => digits(klQuantiles[Math.round(100 * share)]!);
  return [
    `KL(A‖B) of ${numPlaces} places, nats: mean ${digits(kl)}, median ${at(0.5)}, 90 % ${at(0.9)}, 99 % ${at(0.99)}, highest ${at(1)}`,
    `same most likely token: ${percent(top1Agreement)}; error of logits: rms ${digits(rmsLogitError)}, largest ${digits(maxLogitError)}`,
    ...(routingAgreement === null ? [] : [`same experts: ${percent(routingAgreement)}`]),
  ];
}

const layersTable = (layers: readonly ComparedLayer[]): string =>
  table([
    ['layer', 'hidden error', 'lens KL', 'lens top-1', 'lens rms', 'lens largest', 'same experts'],
    ...layers.map(({ layer, hiddenError, lens, routingAgreement }) => [
      ...[String(layer), orNone(hiddenError, digits)],
      ...[orNone(lens?.kl, digits), orNone(lens?.top1Agreement, percent)],
      ...[orNone(lens?.rmsLogitError, digits), orNone(lens?.maxLogitError, digits)],
      orNone(routingAgreement, percent),
    ]),
  ]);

const orNone = (value: number | null | undefined, text: (value: number) => string): string =>
  value === null || value === undefined ? '–' : text(value);

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Four digits that count. */
const digits = (value: number): string =>
  value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));

/** One object. */
export function comparisonJson(result: ComparisonResult): string {
  const { a, b, klQuantiles, numPlaces, routingAgreement, layers, notes } = result;
  const [median, p90, p99, highest] = [50, 90, 99, 100].map((i) => klQuantiles[i]!);
  const object = {
    ...{ a: sideJson(a), b: sideJson(b), places: numPlaces, ...divergenceJson(result) },
    kl_quantiles: { 0.5: median, 0.9: p90, 0.99: p99, 1: highest },
    routing_agreement: routingAgreement,
    layers: layers.map(({ layer, hiddenError, lens, routingAgreement: own }) => ({
      ...{ layer, hidden_error: hiddenError, routing_agreement: own },
      lens: lens === null ? null : divergenceJson(lens),
    })),
    notes,
  };
  return `${JSON.stringify(object)}\n`;
}

const sideJson = ({ name, reading, checkpointBytes, residentBytes }: ComparedSide): object => ({
  ...{ name, perplexity: perplexityOf(reading.logprobs), tokens: reading.numTokens },
  ...{ checkpoint_bytes: checkpointBytes, resident_bytes: residentBytes, degraded_tokens: reading.numDegradedTokens },
});

const divergenceJson = ({ kl, top1Agreement, maxLogitError, rmsLogitError }: Divergence): object => ({
  ...{ kl_nats: kl, top1_agreement: top1Agreement, max_logit_error: maxLogitError, rms_logit_error: rmsLogitError },
});
