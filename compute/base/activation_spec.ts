/** What an expert does between its projections, whatever computes it: from g = gate(x) and u = up(x), element by element. */
export type ActivationSpec =
  /** silu(g) · u (Shazeer 2020). */
  | { readonly kind: 'swiglu' }
  /** With g at most `limit` and u within ± `limit`: g · sigmoid(alpha · g) · (u + 1) (gpt-oss). */
  | { readonly kind: 'clamped_swiglu'; readonly limit: number; readonly alpha: number };

/** That of most families. */
export const SWIGLU: ActivationSpec = { kind: 'swiglu' };
