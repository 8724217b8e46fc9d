/** The map of experts: a row per MoE layer, a column per expert. */
import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ExpertMap, ExpertPlace } from '../state/expert_map.js';
import { placeText } from './expert_details.js';
import { cellSizeOf, HeatPainter } from './heat_painter.js';
import { useWidth } from './width.js';

interface HeatMapProps {
  readonly map: ExpertMap;
  /** The model's number of each MoE layer. */
  readonly moeLayers: readonly number[];
  readonly isDark: boolean;
  readonly selected: ExpertPlace | null;
  readonly choose: (place: ExpertPlace | null) => void;
  /** Told of what the pointer or the keyboard is at; null: at nothing. */
  readonly onCursor: (place: ExpertPlace | null) => void;
  readonly cursor: ExpertPlace | null;
}

/** A canvas that the pointer and the keyboard go over. */
export function HeatMap({ map, moeLayers, isDark, selected, choose, onCursor, cursor }: HeatMapProps): VNode {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useRef<HeatPainter | null>(null);
  const widthPx = useWidth(box);
  const [spoken, speak] = useState('');
  const scale = window.devicePixelRatio;
  const cell = cellSizeOf(map, widthPx);
  useEffect(() => {
    if (widthPx === 0) return;
    painter.current ??= new HeatPainter(canvas.current!);
    painter.current.paint({ map, cell, scale, isDark, selected, cursor });
  });
  const placeAt = ({ offsetX, offsetY }: MouseEvent): ExpertPlace | null => {
    const [expert, layer] = [Math.floor(offsetX / cell.width), Math.floor(offsetY / cell.height)];
    const isOn = layer >= 0 && layer < map.numLayers && expert >= 0 && expert < map.countIn(layer);
    return isOn ? { layer, expert } : null;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = cursor ?? selected ?? { layer: 0, expert: 0 };
    if (event.key === 'Enter' || event.key === ' ') choose(isSame(at, selected) ? null : at);
    else if (event.key === 'Escape') choose(null);
    else {
      const next = moved(map, at, event.key);
      if (next === null) return;
      onCursor(next);
      speak(placeText(map, moeLayers, next));
      follow(box.current!, next.expert * cell.width, cell.width);
    }
    event.preventDefault();
  };
  const [width, height] = [cell.width * map.numExperts, cell.height * map.numLayers];
  return (
    <div class="heat">
      <div class="rows" style={{ height: `${height}px` }} aria-hidden="true">
        {ticks(map.numLayers, 14 / cell.height).map((layer) => (
          <span key={layer} style={{ top: `${(layer + 0.5) * cell.height}px` }}>
            {moeLayers[layer]}
          </span>
        ))}
      </div>
      <div class="scroll" ref={box}>
        <canvas
          ref={canvas}
          tabIndex={0}
          role="application"
          aria-roledescription="map of experts"
          aria-label={`Load of ${map.numExperts} experts in ${map.numLayers} MoE layers`}
          aria-describedby="heat-help"
          style={{ width: `${width}px`, height: `${height}px` }}
          onPointerMove={(event) => onCursor(placeAt(event))}
          onPointerLeave={() => onCursor(null)}
          onClick={(event) => {
            const place = placeAt(event);
            choose(place !== null && isSame(place, selected) ? null : place);
          }}
          onKeyDown={onKeyDown}
          onBlur={() => onCursor(null)}
        />
        <div class="columns" style={{ width: `${width}px` }} aria-hidden="true">
          {ticks(map.numExperts, 26 / cell.width).map((expert) => (
            <span key={expert} style={{ left: `${(expert + 0.5) * cell.width}px` }}>
              {expert}
            </span>
          ))}
        </div>
      </div>
      <p class="hidden" aria-live="polite">
        {spoken}
      </p>
    </div>
  );
}

const isSame = (a: ExpertPlace, b: ExpertPlace | null): boolean => a.layer === b?.layer && a.expert === b.expert;

/** Null: the key doesn't move. */
function moved(map: ExpertMap, { layer, expert }: ExpertPlace, key: string): ExpertPlace | null {
  const at = (toLayer: number, toExpert: number): ExpertPlace => {
    const there = Math.min(Math.max(toLayer, 0), map.numLayers - 1);
    return { layer: there, expert: Math.min(Math.max(toExpert, 0), map.countIn(there) - 1) };
  };
  switch (key) {
    case 'ArrowLeft':
      return at(layer, expert - 1);
    case 'ArrowRight':
      return at(layer, expert + 1);
    case 'ArrowUp':
      return at(layer - 1, expert);
    case 'ArrowDown':
      return at(layer + 1, expert);
    case 'PageUp':
      return at(layer - 10, expert);
    case 'PageDown':
      return at(layer + 10, expert);
    case 'Home':
      return at(layer, 0);
    case 'End':
      return at(layer, map.countIn(layer) - 1);
    default:
      return null;
  }
}

/** Keeps a column in view. */
function follow(box: HTMLElement, left: number, width: number): void {
  if (left < box.scrollLeft) box.scrollLeft = left;
  if (left + width > box.scrollLeft + box.clientWidth) box.scrollLeft = left + width - box.clientWidth;
}

/** Every so many that labels don't touch: 1, 2, 4, 8, … */
function ticks(count: number, atLeast: number): number[] {
  const every = 2 ** Math.max(Math.ceil(Math.log2(atLeast)), 0);
  return Array.from({ length: Math.ceil(count / every) }, (_, i) => i * every);
}
