/** Prometheus' text format, read by a library that knows nothing of ours. */
import parse from 'parse-prometheus-text-format';

export interface ParsedSeries {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly value?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly buckets?: Readonly<Record<string, string>>;
  }[];
}

export class Scrape {
  readonly series: ReadonlyMap<string, ParsedSeries>;

  constructor(readonly text: string) {
    const parsed = parse(text) as readonly ParsedSeries[];
    this.series = new Map(parsed.map((series) => [series.name, series]));
  }

  /** Of the one sample that has these labels. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const found = this.of(name).metrics.filter((metric) => hasAll(metric.labels ?? {}, labels));
    if (found.length !== 1) throw new Error(`${found.length} samples of ${name} with ${JSON.stringify(labels)}`);
    return Number(found[0]!.value);
  }

  /** Of a histogram with one set of labels. The library drops its sum and count where there are labels: those are read here. */
  histogram(name: string): { readonly count: number; readonly sum: number; readonly bounds: readonly number[] } {
    const { buckets = {} } = this.of(name).metrics[0]!;
    const bounds = Object.keys(buckets).map((bound) => (bound === '+Inf' ? Infinity : Number(bound)));
    const end = (suffix: string): number => {
      const lines = this.text.split('\n').filter((line) => line.startsWith(`${name}_${suffix}{`));
      if (lines.length !== 1) throw new Error(`${lines.length} lines of ${name}_${suffix}`);
      return Number(lines[0]!.slice(lines[0]!.lastIndexOf(' ')));
    };
    return { count: end('count'), sum: end('sum'), bounds: bounds.sort((a, b) => a - b) };
  }

  /** A family with its samples. */
  of(name: string): ParsedSeries {
    const series = this.series.get(name);
    if (series === undefined) throw new Error(`no series ${name}`);
    return series;
  }
}

const hasAll = (labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);
