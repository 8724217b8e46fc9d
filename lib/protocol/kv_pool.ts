/** `engine.kv_pool`: whether what one rank or instance computed is brought to others. Pure. */
import type { ExpertwireConfig } from '../config/schema.js';

/** Whether blocks go between ranks, and between instances: `auto` where ranks let others read in any case. */
export const isPooled = ({
  engine: { kv_pool: choice },
  cluster,
}: Pick<ExpertwireConfig, 'engine' | 'cluster'>): boolean => choice === 'on' || (choice === 'auto' && cluster.enabled);

/** Whether ranks let others read: those of other instances, or of their own job, where there are several. */
export const hasKvDoors = (config: Pick<ExpertwireConfig, 'engine' | 'cluster'>, numSeats: number): boolean =>
  config.cluster.enabled || (isPooled(config) && numSeats > 1);
