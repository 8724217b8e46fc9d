/** The series of one server: each registry is its own, so that two servers in a process don't count together. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** One value of a series with labels. */
export type Sample<L extends string> = readonly [labels: Readonly<Record<L, string | number>>, value: number];

/** A counter that somebody else counts: it shows the sums that it was told last, and what they leave out is gone. */
export class Total<L extends string = never> {
  constructor(private readonly counter: Counter<L>) {}

  /** Of a counter without labels. */
  set(value: number): void {
    this.counter.reset();
    this.counter.inc(value);
  }

  /** Replaces all values. */
  setAll(samples: Iterable<Sample<L>>): void {
    this.counter.reset();
    for (const [labels, value] of samples) this.counter.inc(labels, value);
  }
}

/** A gauge whose labels come and go. */
export class Level<L extends string = never> {
  constructor(private readonly gauge: Gauge<L>) {}

  /** Of a gauge without labels. */
  set(value: number): void {
    this.gauge.set(value);
  }

  /** Replaces all values. */
  setAll(samples: Iterable<Sample<L>>): void {
    this.gauge.reset();
    for (const [labels, value] of samples) this.gauge.set(labels, value);
  }
}

/** Adds series to a registry; a name must be new there. */
export class SeriesMaker {
  constructor(private readonly registry: Registry) {}

  /** Counted here, event by event. */
  counter<L extends string = never>(name: string, help: string, ...labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  /** Told by statistics that are summed up elsewhere. */
  total<L extends string = never>(name: string, help: string, ...labelNames: L[]): Total<L> {
    return new Total(this.counter(name, help, ...labelNames));
  }

  /** What is so at this moment. */
  level<L extends string = never>(name: string, help: string, ...labelNames: L[]): Level<L> {
    return new Level(new Gauge({ name, help, labelNames, registers: [this.registry] }));
  }

  /** A histogram without labels: what it costs to count is paid per token. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    return new Histogram({ name, help, buckets: [...buckets], registers: [this.registry] });
  }
}
