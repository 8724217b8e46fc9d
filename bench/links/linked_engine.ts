/**
 * An engine whose ranks reach each other over links that can be limited, cut and silenced.
 * Why: docs/decisions/experiments.md#ranks-meet-through-a-process-that-slows-their-links
 */
import { randomBytes } from 'node:crypto';
import type { Address } from '../../comm/ws/door/dial.js';
import { Engine, type EngineOptions } from '../../lib/head/engine.js';
import { closing } from '../../lib/commands/base/closing.js';
import { checkLinkable } from '../../lib/experiment/measures/link.js';
import type { LinkLimits } from './lane.js';
import { Relays } from './relays.js';

/** Owns both. */
export interface LinkedEngine {
  readonly engine: Engine;
  /** Null: ranks reach each other straight. */
  readonly relays: Relays | null;
  /** Where further ranks join, so that they are linked as the others. */
  readonly door: Address;
  /** What they need for it. */
  readonly secret: string;
  /** Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts an engine with links like these between each two of its ranks, which a process of their own carries; null: straight, as any other engine. The way to the head isn't limited.
 * Errors as those of `Engine.start`; ConfigError where nothing can stand between ranks.
 */
export async function startLinked(
  options: Omit<EngineOptions, 'secret' | 'dialHead' | 'signal'>,
  limits: LinkLimits | null,
  signal: AbortSignal,
): Promise<LinkedEngine> {
  if (limits !== null) checkLinkable(options.config, 'limits between ranks');
  const secret = randomBytes(32).toString('hex');
  const relays = limits === null ? null : await Relays.open(limits, signal);
  let head: Address = { host: '127.0.0.1', port: 0 };
  const onListening = (address: Address): void => {
    head = address;
    relays?.tell({ kind: 'lead_to', head });
    options.onListening?.(address);
  };
  try {
    const engine = await Engine.start({
      ...{ ...options, secret, signal, onListening },
      ...(relays !== null && { dialHead: relays.address }),
    });
    const close = (): Promise<void> =>
      closing(
        async () => relays?.close(),
        () => engine.close(),
      );
    return { engine, relays, door: relays?.address ?? head, secret, close };
  } catch (error) {
    await relays?.close();
    throw error;
  }
}
