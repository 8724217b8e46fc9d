/**
 * Paints the map of experts: three pictures, whatever the number of experts. What marks replicas changes seldom, so it is kept as a picture.
 * Shape suffixes: L MoE layers, E logical experts.
 * Why: docs/decisions/page.md#the-map-is-three-pictures
 */
import type { ExpertMap, ExpertPlace } from '../state/expert_map.js';
import { loadColors } from '../state/palette.js';

/** A cell in CSS pixels; cells of one map may differ by a pixel of the screen. */
export interface CellSize {
  readonly width: number;
  readonly height: number;
}

/** Columns that fill `widthPx`, but stay wide enough to be hit: then the map is wider, and scrolls. */
export function cellSizeOf({ numLayers, numExperts }: ExpertMap, widthPx: number): CellSize {
  return {
    width: Math.min(Math.max(widthPx / numExperts, 3), 40),
    height: Math.min(Math.max(Math.round(280 / numLayers), 5), 26),
  };
}

/** In none of the palettes of load. */
const REPLICA_COLOR = '#e0218a';

/** What is painted. */
export interface HeatPicture {
  readonly map: ExpertMap;
  readonly cell: CellSize;
  /** Pixels of the screen per CSS pixel. */
  readonly scale: number;
  readonly isDark: boolean;
  readonly selected: ExpertPlace | null;
  readonly cursor: ExpertPlace | null;
}

/** Keeps what it painted last. */
export class HeatPainter {
  private readonly loads = document.createElement('canvas');
  private readonly marks = document.createElement('canvas');
  private marksKey = '';
  private readonly tables = { light: loadColors(false), dark: loadColors(true) };

  constructor(private readonly canvas: HTMLCanvasElement) {}

  /** Paints everything. */
  paint(picture: HeatPicture): void {
    const { map, cell, scale } = picture;
    const width = Math.round(map.numExperts * cell.width * scale);
    const height = Math.round(map.numLayers * cell.height * scale);
    resize(this.canvas, width, height);
    this.paintLoads(picture);
    this.paintMarks(picture);
    const context = contextOf(this.canvas);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.loads, 0, 0, width, height);
    context.drawImage(this.marks, 0, 0);
    this.frame(picture, picture.selected, 2);
    this.frame(picture, picture.cursor, 1);
  }

  /** A pixel per expert, which is drawn larger. */
  private paintLoads({ map, isDark }: HeatPicture): void {
    const { numExperts, numLayers, bytes } = map;
    resize(this.loads, numExperts, numLayers);
    const pixels = new ImageData(numExperts, numLayers);
    const colors = new Uint32Array((isDark ? this.tables.dark : this.tables.light).buffer);
    const target = new Uint32Array(pixels.data.buffer);
    for (let layer = 0; layer < numLayers; layer++)
      for (let i = layer * numExperts, end = i + map.countIn(layer); i < end; i++) target[i] = colors[bytes[i]!]!; // nothing where there is no expert
    contextOf(this.loads).putImageData(pixels, 0, 0);
  }

  /** Lines between cells that are large enough, a dot on experts with replicas, a stroke through those that nobody holds. */
  private paintMarks({ map, cell, scale, isDark }: HeatPicture): void {
    const { version, absentRanks } = map.placement;
    const { width, height } = this.canvas;
    const key = [version, absentRanks.join('+'), width, height, isDark].join();
    if (key === this.marksKey) return;
    this.marksKey = key;
    resize(this.marks, width, height);
    const context = contextOf(this.marks);
    context.clearRect(0, 0, width, height);
    const [w, h] = [cell.width * scale, cell.height * scale];
    context.fillStyle = isDark ? '#171b20' : '#ffffff';
    if (cell.width >= 7) for (let e = 1; e < map.numExperts; e++) context.fillRect(Math.round(e * w), 0, 1, height);
    if (cell.height >= 7) for (let l = 1; l < map.numLayers; l++) context.fillRect(0, Math.round(l * h), width, 1);
    const [dots, crosses] = [new Path2D(), new Path2D()];
    const radius = Math.max(Math.min(w, h) * 0.16, 1.2 * scale);
    for (let layer = 0; layer < map.numLayers; layer++) {
      for (let expert = 0; expert < map.countIn(layer); expert++) {
        const numReplicas = map.ranksOf({ layer, expert }).length;
        const [x, y] = [(expert + 0.5) * w, (layer + 0.5) * h];
        if (numReplicas > 1) {
          dots.moveTo(x + radius, y);
          dots.arc(x, y, radius, 0, 2 * Math.PI);
        }
        if (numReplicas === 0) {
          crosses.moveTo(x - w / 2, y - h / 2);
          crosses.lineTo(x + w / 2, y + h / 2);
        }
      }
    }
    context.lineWidth = Math.max(scale, radius / 2);
    context.strokeStyle = '#fff';
    if (Math.min(cell.width, cell.height) >= 7) context.stroke(dots);
    context.fillStyle = REPLICA_COLOR;
    context.fill(dots);
    context.strokeStyle = '#e5484d';
    context.lineWidth = 1.5 * scale;
    context.stroke(crosses);
  }

  /** Two strokes, one dark and one light: it is seen on every colour. */
  private frame({ cell, scale }: HeatPicture, place: ExpertPlace | null, thickness: number): void {
    if (place === null) return;
    const context = contextOf(this.canvas);
    const [x, y] = [place.expert * cell.width * scale, place.layer * cell.height * scale];
    const [w, h] = [cell.width * scale, cell.height * scale];
    for (const [color, outset] of [
      ['#000', 1.5 * scale],
      ['#fff', 0.5 * scale],
    ] as const) {
      context.strokeStyle = color;
      context.lineWidth = thickness * scale;
      context.strokeRect(x - outset, y - outset, w + 2 * outset, h + 2 * outset);
    }
  }
}

const contextOf = (canvas: HTMLCanvasElement): CanvasRenderingContext2D => canvas.getContext('2d')!;

/** Setting a size clears a canvas, also where it is the same. */
function resize(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
