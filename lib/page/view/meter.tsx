/** A share as a bar. */
import type { VNode } from 'preact';
import { percent } from '../state/numbers.js';

/** With the share in percents, and what it is a share of. */
export function Meter({ share, text }: { readonly share: number; readonly text: string }): VNode {
  return (
    <div class="meter">
      <i aria-hidden="true">
        <i style={{ width: `${100 * share}%` }} />
      </i>
      <span>{`${percent(share)}, ${text}`}</span>
    </div>
  );
}
