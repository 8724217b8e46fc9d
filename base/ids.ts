/** Branded ids: plain numbers at run time that the compiler keeps apart. */

/** A process of the job that holds a shard of the experts: 0 … size−1. */
export type Rank = number & { readonly __brand: 'Rank' };
/** A transformer layer: 0 … numLayers−1. */
export type Layer = number & { readonly __brand: 'Layer' };
/** An expert as the model's gate numbers it: 0 … numExperts−1. */
export type LogicalExpert = number & { readonly __brand: 'LogicalExpert' };
/** A slot that holds one replica of a logical expert: `rank × slotsPerRank + slot`. */
export type PhysicalExpert = number & { readonly __brand: 'PhysicalExpert' };

/** A number as a rank; nothing is checked. */
export const asRank = (value: number): Rank => value as Rank;
/** A number as a layer; nothing is checked. */
export const asLayer = (value: number): Layer => value as Layer;
/** A number as an expert of the gate; nothing is checked. */
export const asLogical = (value: number): LogicalExpert => value as LogicalExpert;
/** A number as a slot; nothing is checked. */
export const asPhysical = (value: number): PhysicalExpert => value as PhysicalExpert;

/** Of a job: rank numbers take two bytes. */
export const MAX_RANKS = 65535;
