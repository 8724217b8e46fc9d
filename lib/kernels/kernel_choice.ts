/** How the kernels of a rank compute: what is wanted, what the machine can, and what all ranks agreed on. Pure. Why: docs/decisions/kernels.md#all-ranks-fuse-or-none */
import * as z from 'zod';
import { CommError } from '../../comm/base/errors.js';
import { ExpertError } from '../../compute/base/errors.js';
import { asRank } from '../../base/ids.js';
import type { Activations, KernelSettings } from '../../compute/wasm/memory/kernel_settings.js';
import { tileKey, type KernelTrial } from './kernel_trial.js';
import { newerNode, type NodeKind } from './newer_node.js';

/** What the configuration wants: the section `kernels`. */
export interface KernelWish {
  readonly simd: 'auto' | 128 | 256;
  readonly fma: 'auto' | 'on' | 'off';
  /** As {@link KernelSettings.activations}. */
  readonly activations?: Activations;
}

const OFFER = z.object({ canFuse: z.boolean() });

/** What a rank tells the head before it loads. Null: it has no kernels, and nothing to agree on. */
export type KernelOffer = Readonly<z.infer<typeof OFFER>>;

/** What all ranks are told when each has made its offer. */
export interface KernelAgreement {
  readonly fma: boolean;
}

/** How the kernels of a rank compute. */
export interface KernelChoice extends Omit<KernelSettings, 'module'> {
  /** Bits of an operation: the results are the same. */
  readonly simd: 128 | 256;
}

/** What is asked of kernels that they can't do here. @throws ExpertError KERNELS_UNAVAILABLE, with what would help */
export function checkWish({ simd, fma }: KernelWish, { lacks256, lacksFma }: KernelTrial, node: NodeKind): void {
  if (simd === 256 && lacks256 !== null) {
    const newer = lacks256.kind === 'lacking' ? newerNode(node) : null;
    const advice = newer === null ? 'set it to auto' : `run it with a newer Node (${newer} …), or set it to auto`;
    throw new ExpertError('KERNELS_UNAVAILABLE', `kernels.simd is 256, but ${lacks256.why}; ${advice}`);
  }
  if (fma === 'on' && lacksFma !== null) {
    const message = `kernels.fma is on, but ${lacksFma.why}; set it to auto, which fuses only where every rank can`;
    throw new ExpertError('KERNELS_UNAVAILABLE', message);
  }
}

/** What a rank with kernels can offer. */
export const offerOf = ({ fma }: Pick<KernelWish, 'fma'>, { lacksFma }: KernelTrial): KernelOffer => ({
  canFuse: fma !== 'off' && lacksFma === null,
});

/**
 * All ranks with kernels fuse, or none.
 *
 * @param offers what ranks sent: {@link KernelOffer} or null, if they are of the same build
 * @throws CommError PROTOCOL, with the rank: one is neither
 */
export function agreementOf(offers: readonly unknown[]): KernelAgreement {
  const made = offers.map(offerFrom).filter((offer) => offer !== null);
  return { fma: made.length > 0 && made.every(({ canFuse }) => canFuse) };
}

/** What a rank does that comes later, from its offer: as the others. @throws CommError INVALID_ARGUMENT: it can't; PROTOCOL for an offer that is none */
export function laterAgreement(agreed: KernelAgreement, offer: unknown): KernelAgreement {
  const { success, data } = OFFER.nullable().safeParse(offer);
  if (!success)
    throw new CommError('PROTOCOL', "it doesn't say whether its kernels fuse; run the same build everywhere");
  if (!agreed.fma || data === null || data.canFuse) return agreed;
  const message = "the job's kernels fuse multiplications and additions, and its own can't";
  throw new CommError('INVALID_ARGUMENT', `${message}; start the job with kernels.fma=off`);
}

function offerFrom(body: unknown, rank: number): KernelOffer | null {
  const { success, data } = OFFER.nullable().safeParse(body);
  if (success) return data;
  const message = `rank ${rank} doesn't say whether its kernels fuse; run the same build everywhere`;
  throw new CommError('PROTOCOL', message, { rank: asRank(rank) });
}

/** What a rank does then. */
export function kernelChoice(
  { simd, activations = 'f32' }: Pick<KernelWish, 'simd' | 'activations'>,
  { fma }: KernelAgreement,
  trial: KernelTrial,
): KernelChoice {
  const bits = simd !== 128 && trial.lacks256 === null ? 256 : 128;
  const tileRows = trial.tileRows[tileKey(fma ? 'fused' : 'plain', bits)] ?? null;
  return { simd: bits, fma, tileRows, ...(activations === 'f32' ? {} : { activations }) };
}

/** The command whose Node has 256 bits where this one lacks them and nobody asked for less; null: there is none. */
export const widerNode = (
  { simd }: Pick<KernelWish, 'simd'>,
  { lacks256 }: KernelTrial,
  node: NodeKind,
): string | null => (simd !== 128 && lacks256?.kind === 'lacking' ? newerNode(node) : null);

/** A line about what was tried and went wrong, where it would have been used; null: there is nothing to say. */
export function trialNotice({ simd, fma }: KernelWish, { lacks256, lacksFma }: KernelTrial): string | null {
  if (simd !== 128 && lacks256?.kind === 'failed')
    return `kernels compute with 128-bit SIMD: at 256 bits, ${lacks256.why}`;
  if (fma !== 'off' && lacksFma?.kind === 'failed') return `kernels don't fuse products and sums: ${lacksFma.why}`;
  return null;
}
