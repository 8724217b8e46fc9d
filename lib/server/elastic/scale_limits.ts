/** What an order to scale may ask for, here and on the command line. */

/** Seconds for all of it: until newcomers have loaded, and every expert and sequence is in its place. vLLM's default. */
export const DEFAULT_DRAIN_TIMEOUT_S = 120;
/** A day. */
export const MAX_DRAIN_TIMEOUT_S = 86_400;
