/** Instances that tell of themselves, and who watches them. */
import { expect } from 'chai';
import type { BlockBatch, BlockEvent } from '../../../lib/cluster/base/block_events.js';
import type { ClusterError } from '../../../lib/cluster/base/errors.js';
import type { InstanceRecord } from '../../../lib/cluster/base/instance_record.js';
import type { LoadReport } from '../../../lib/cluster/base/load_report.js';
import type { Bus, BusEvent, MemberEvents, Membership } from '../../../lib/cluster/bus/bus.js';

export const recordOf = (id: string, others: Partial<InstanceRecord> = {}): InstanceRecord => ({
  ...{ id, incarnation: `${id} 1`, url: 'http://127.0.0.1:8000', kind: 'own', role: 'mixed', isDraining: false },
  ...{ model: 'model', fingerprint: 'f00d', numRanks: 2, blockSize: 16, numKvBlocks: 64, maxModelLen: 512 },
  ...{ sharing: { seed: 'ab'.repeat(32), separatesForms: false }, isPooled: true },
  ...others,
});

export const loadOf = (id: string, sequence: number, others: Partial<LoadReport> = {}): LoadReport => ({
  ...{ instance: id, incarnation: `${id} 1`, sequence, numWaiting: sequence, numRunning: 1 },
  ...{ numKvBlocks: 64, numUsedBlocks: 3, numCachedBlocks: 2, numFreeBlocksOfRank: 30, numPrefillTokens: 17 },
  ...{ prefillTokensPerS: null, tbtMs: 12.5, requests: [] },
  ...others,
});

/** The key of a block, by number. */
export const keyOf = (number: number): string => number.toString(16).padStart(16, '0');

export const stored = (...numbers: readonly number[]): BlockEvent => ({ kind: 'stored', keys: numbers.map(keyOf) });
export const removed = (...numbers: readonly number[]): BlockEvent => ({ kind: 'removed', keys: numbers.map(keyOf) });
export const CLEARED: BlockEvent = { kind: 'cleared' };

export const batchOf = (id: string, sequence: number, ...events: readonly BlockEvent[]): BlockBatch => ({
  ...{ instance: id, incarnation: `${id} 1`, sequence, events },
});

/** What somebody who watches was told. */
export class Watcher {
  readonly events: BusEvent[] = [];
  /** By instance, as far as they are known. */
  readonly blocks = new Map<string, Set<number>>();
  readonly stop: () => void;
  private readonly waiting: (() => void)[] = [];

  constructor(bus: Bus) {
    this.stop = bus.watch((event) => {
      this.events.push(event);
      this.index(event);
      for (const wake of this.waiting.splice(0)) wake();
    });
  }

  /** One line each. */
  get story(): string[] {
    return this.events.map(lineOf);
  }

  /** Lines that begin with an instance. */
  of(instance: string): string[] {
    return this.story.filter((line) => line.startsWith(`${instance} `));
  }

  /** Sequence numbers of an instance's reports. */
  loadsOf(instance: string): number[] {
    return this.events.flatMap((event) =>
      event.kind === 'load' && event.load.instance === instance ? [event.load.sequence] : [],
    );
  }

  /** Lines that say who is there. */
  get standing(): string[] {
    return this.events.filter(({ kind }) => kind === 'instance' || kind === 'gone').map(lineOf);
  }

  /** Blocks of an instance, in ascending order; undefined: none were told. */
  blocksOf(instance: string): readonly number[] | undefined {
    const blocks = this.blocks.get(instance);
    return blocks && [...blocks].sort((a, b) => a - b);
  }

  /** Resolves once what was told makes it true. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Resolves once a line was told. */
  hears(line: string): Promise<void> {
    return this.until(() => this.story.includes(line));
  }

  /** Resolves once an instance has these blocks, in ascending order. */
  async knows(instance: string, ...blocks: readonly number[]): Promise<void> {
    await this.until(() => this.blocksOf(instance)?.join() === blocks.join());
  }

  private index(event: BusEvent): void {
    if (event.kind === 'instance' && !this.isKnown(event.record)) this.blocks.delete(event.record.id);
    if (event.kind !== 'blocks') return;
    for (const each of event.batch.events) {
      const { instance } = event.batch;
      if (each.kind === 'cleared') this.blocks.set(instance, new Set());
      const blocks = this.blocks.get(instance)!;
      const numbers = each.kind === 'cleared' ? [] : each.keys.map((key) => parseInt(key, 16));
      for (const number of numbers) {
        if (each.kind === 'stored') expect(blocks.size, 'told once').to.equal(blocks.add(number).size - 1);
        else expect(blocks.delete(number), 'told before').to.equal(true);
      }
    }
  }

  /** Of the same incarnation as before. */
  private isKnown({ id, incarnation }: InstanceRecord): boolean {
    const before = this.events
      .slice(0, -1)
      .filter((each) => each.kind === 'instance' && each.record.id === id)
      .at(-1);
    return before?.kind === 'instance' && before.record.incarnation === incarnation;
  }
}

export function lineOf(event: BusEvent): string {
  switch (event.kind) {
    case 'instance': {
      const { id, incarnation, role } = event.record;
      return `${id} is ${role} as ${incarnation}`;
    }
    case 'gone':
      return `${event.instance} is gone: ${event.why}`;
    case 'load':
      return `${event.load.instance} has load ${event.load.sequence}`;
    case 'blocks': {
      const { instance, sequence, events } = event.batch;
      const words = events.map((each) =>
        each.kind === 'cleared' ? 'cleared' : `${each.kind} ${each.keys.map((key) => parseInt(key, 16)).join()}`,
      );
      return `${instance} tells ${sequence}: ${words.join(', ')}`;
    }
    case 'bus':
      return `bus is ${event.isUp ? 'up' : 'down'}`;
    case 'refused':
      return `${event.instance} refused: ${event.error.reason}`;
  }
}

/** An instance that tells all anew when it is wanted. */
export class Member implements MemberEvents {
  readonly troubles: (ClusterError | null)[] = [];
  numWanted = 0;
  private membership!: Membership;
  private numBatches = 0;
  private numLoads = 0;
  private readonly blocks = new Set<number>();
  private settleTroubled!: () => void;
  private readonly troubled = new Promise<void>((resolve) => (this.settleTroubled = resolve));

  private constructor(private readonly record: InstanceRecord) {}

  static async join(bus: Bus, record: InstanceRecord): Promise<Member> {
    const member = new Member(record);
    member.membership = await bus.join(record, member);
    return member;
  }

  wanted(): void {
    this.numWanted++;
    this.report();
    this.tell(CLEARED, stored(...this.blocks));
  }

  trouble(error: ClusterError | null): void {
    this.troubles.push(error);
    this.settleTroubled();
  }

  /** Resolves once it is in trouble. */
  isTroubled(): Promise<void> {
    return this.troubled;
  }

  update(others: Partial<InstanceRecord>): void {
    this.membership.update({ ...this.record, ...others });
  }

  /** `sequence`: default the next one. */
  report(sequence = this.numLoads++): void {
    this.membership.report(loadOf(this.record.id, sequence, { incarnation: this.record.incarnation }));
  }

  store(...numbers: readonly number[]): void {
    for (const number of numbers) this.blocks.add(number);
    this.tell(stored(...numbers));
  }

  remove(...numbers: readonly number[]): void {
    for (const number of numbers) this.blocks.delete(number);
    this.tell(removed(...numbers));
  }

  /** Somebody loses a batch on its way. */
  lose(...numbers: readonly number[]): void {
    for (const number of numbers) this.blocks.add(number);
    this.numBatches++;
  }

  leave(): Promise<void> {
    return this.membership.leave();
  }

  private tell(...events: readonly BlockEvent[]): void {
    const { incarnation, id } = this.record;
    this.membership.publish({ instance: id, incarnation, sequence: this.numBatches++, events });
  }
}
