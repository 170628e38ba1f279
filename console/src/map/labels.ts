/** Labels beside points, without overlap: greedy, most important first. */

export interface Wanted {
  key: string;
  x: number;
  y: number;
  text: string;
}

export interface Label extends Wanted {
  /** Baseline start of the text. */
  left: number;
  base: number;
  /** Whether it stands far enough off to need a line to its point. */
  led: boolean;
}

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const HEIGHT = 13;
const POINT = 7;
const GAP = 12;
const FAR = 24;

/** Directions in order of preference: right, left, below, above, diagonals. */
const WAYS: [number, number][] = [
  [1, 0], [-1, 0], [0, 1], [0, -1],
  [1, -1], [1, 1], [-1, -1], [-1, 1],
];

export function layOut(wanted: Wanted[], width: number, height: number, glyph: number): Label[] {
  const taken = wanted.map((w) => around(w));
  const labels: Label[] = [];
  for (const one of wanted) {
    const own = around(one);
    const label = [GAP, FAR]
      .flatMap((distance) => WAYS.map((way) => put(one, way, distance, glyph)))
      .find(({ box, label }) => inside(box, width, height) && free(box, taken, own) && clear(label, wanted));
    if (!label) continue;
    taken.push(label.box);
    labels.push(label.label);
  }
  return labels;
}

function put(
  one: Wanted,
  [dx, dy]: [number, number],
  distance: number,
  glyph: number,
): { box: Box; label: Label } {
  const wide = one.text.length * glyph;
  const left = one.x + dx * distance - (wide * (1 - dx)) / 2;
  const top = one.y + dy * distance * (dx ? 0.8 : 1.2) - HEIGHT / 2;
  const box = { left, top, right: left + wide, bottom: top + HEIGHT };
  return { box, label: { ...one, left, base: top + HEIGHT - 3, led: distance === FAR } };
}

/** Whether no other point lies between a point and its label. */
function clear(label: Label, points: Wanted[]): boolean {
  const right = label.left + label.text.length * 4;
  const [x, y] = [(label.left + right) / 2, label.base - HEIGHT / 2 + 3];
  const length = Math.hypot(x - label.x, y - label.y);
  return points.every((point) => {
    if (point.key === label.key) return true;
    const along = ((point.x - label.x) * (x - label.x) + (point.y - label.y) * (y - label.y)) / length;
    const across = Math.abs((point.x - label.x) * (y - label.y) - (point.y - label.y) * (x - label.x)) / length;
    return along < 2 || along > length || across > POINT;
  });
}

function around({ x, y }: Wanted): Box {
  return { left: x - POINT, top: y - POINT, right: x + POINT, bottom: y + POINT };
}

function inside(box: Box, width: number, height: number): boolean {
  return box.left > 2 && box.top > 2 && box.right < width - 2 && box.bottom < height - 2;
}

function free(box: Box, taken: Box[], own: Box): boolean {
  return taken.every((other) => same(other, own) || !overlap(box, other));
}

function same(a: Box, b: Box): boolean {
  return a.left === b.left && a.top === b.top;
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
