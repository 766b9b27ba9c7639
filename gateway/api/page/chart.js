// Small charts. Each is beside its number, so that reading the chart is optional.

import { h, svg, mark } from './dom.js';

const POINTS = 60; // seconds
const WIDTH = 120;
const HEIGHT = 32;

// The latencies of the last minute: p95 as a line over an area, p50 below it.
export class Sparkline {
  #line = svg('polyline', { class: 'spark-line' });
  #area = svg('polygon', { class: 'spark-area' });
  #middle = svg('polyline', { class: 'spark-middle' });

  constructor() {
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'spark', 'aria-hidden': 'true' };
    this.element = svg('svg', box, this.#area, this.#middle, this.#line);
  }

  draw(history) {
    const top = Math.max(0.001, ...history.map((point) => point.p95 ?? 0)) * 1.1;
    const upper = points(history, 'p95', top);
    const ends = upper.length ? [`${upper[0].split(',')[0]},${HEIGHT}`, `${upper.at(-1).split(',')[0]},${HEIGHT}`] : [];
    mark(this.#line, 'points', upper.join(' '));
    mark(this.#area, 'points', upper.length ? [ends[0], ...upper, ends[1]].join(' ') : '');
    mark(this.#middle, 'points', points(history, 'p50', top).join(' '));
  }
}

function points(history, key, top) {
  const start = POINTS - history.length;
  const place = (value, index) => {
    const x = ((start + index) / (POINTS - 1)) * WIDTH;
    return `${x.toFixed(1)},${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`;
  };
  return history.flatMap((point, index) => (point[key] === null ? [] : [place(point[key], index)]));
}

export class History {
  #points = new Map();

  add(proxies) {
    for (const name of this.#points.keys()) if (!(name in proxies)) this.#points.delete(name);
    for (const [name, { p50, p95 }] of Object.entries(proxies)) {
      const known = this.of(name);
      known.push({ p50, p95 });
      if (known.length > POINTS) known.shift();
      this.#points.set(name, known);
    }
  }

  of(name) { return this.#points.get(name) ?? []; }
}

// How full: permits in use against the limit.
export class Meter {
  #bar = h('span', { class: 'meter-bar' });

  constructor(label) {
    this.element = h('span', { class: 'meter', role: 'meter', 'aria-label': label, 'aria-valuemin': 0 }, this.#bar);
  }

  draw(value, limit) {
    const part = limit ? Math.min(1, value / limit) : 0;
    mark(this.element, 'aria-valuenow', limit ? Math.min(value, limit) : 0);
    mark(this.element, 'aria-valuemax', limit || 1);
    mark(this.element, 'aria-valuetext', limit ? `${value} of ${limit}` : `${value}, no limit`);
    mark(this.element, 'data-level', !limit ? 'none' : part >= 1 ? 'full' : part >= 0.8 ? 'high' : 'fine');
    this.#bar.style.transform = `scaleX(${part.toFixed(3)})`;
  }
}

const SPAN = 600; // seconds
const RISE = { closed: 4, half_open: 11, open: 18 };

// The breaker over the last ten minutes. Higher is worse, so that the colours only repeat it.
export class Strip {
  constructor() {
    this.element = svg('svg', { class: 'strip', viewBox: `0 0 ${SPAN} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  }

  draw(figures, now) {
    const steps = figures.breaker_history.filter((step) => step.at > now - SPAN);
    let state = steps.length ? steps[0].from : figures.breaker;
    let from = now - SPAN;
    const bars = [];
    for (const step of [...steps, { at: now, to: '' }]) {
      if (state in RISE) bars.push([state, from - (now - SPAN), step.at - from]);
      [state, from] = [step.to, step.at];
    }
    const shapes = bars.map(([word, x, width]) => svg('rect', {
      class: `strip-${word}`, x: x.toFixed(1), width: Math.max(word === 'closed' ? 0 : 6, width).toFixed(1), y: 20 - RISE[word], height: RISE[word],
    }));
    this.element.replaceChildren(...shapes);
  }
}
