// All proxies: what they are, and what they do this second.

import { h, say, mark } from './dom.js';
import { Meter, Sparkline, Strip } from './chart.js';
import { bytes, count, plural, rate, seconds } from './format.js';
import { shadows } from './settings.js';

export const addressOf = (name) => `#/proxies/${encodeURIComponent(name)}`;

export const BREAKER = { closed: 'Closed', open: 'Open', half_open: 'Half open', off: 'None' };

const ORDERS = {
  name: ['Name', (a, b) => a.name.localeCompare(b.name)],
  requests: ['Busiest first', by((figures) => figures.requests)],
  errors: ['Most errors first', by((figures) => figures.errors + figures.refused)],
  latency: ['Slowest first', by((figures) => figures.p95)],
  load: ['Fullest first', by((figures) => (figures.limit ? (figures.in_flight + figures.waiting) / figures.limit : 0))],
};

function by(value) {
  const of = (row) => (row.figures ? value(row.figures) ?? 0 : -1);
  return (a, b) => of(b) - of(a) || a.name.localeCompare(b.name);
}

export function state(proxy, figures) {
  if (proxy.shadowed_by) return ['hidden', `Hidden by ${proxy.shadowed_by}`];
  if (!proxy.active) return ['off', 'Switched off'];
  const shadow = shadows(proxy);
  if (figures?.breaker === 'open') return shadow.includes('breaker') ? ['warn', 'Would be open'] : ['bad', 'Circuit open'];
  if (figures?.breaker === 'half_open') return ['warn', 'Probing'];
  if (figures && figures.limit && figures.in_flight >= figures.limit) return ['warn', shadow.includes('limit') ? 'Would be full' : 'At its limit'];
  if (!figures) return ['off', 'Not seen'];
  return ['good', 'Normal'];
}

// Muted: it shows that a protection is in shadow mode, not that anything is wrong.
export function shadowTag(proxy) {
  const parts = shadows(proxy);
  return parts.length > 0 && h('span', { class: 'tag shadow' }, `shadow: ${parts.join(', ')}`);
}

export const badge = (kind, text) => h('span', { class: 'badge', 'data-kind': kind }, h('span', { class: 'badge-mark', 'aria-hidden': 'true' }), h('span', {}, text));

class Row {
  constructor(proxy, open) {
    this.name = proxy.name;
    this.spark = new Sparkline();
    this.strip = new Strip();
    this.meter = new Meter(`In flight, ${proxy.name}`);
    this.badge = badge('off', '');
    this.cells = {};
    const figure = (key, label, ...more) => {
      this.cells[key] = h('dd', { class: 'number' }, '–');
      return h('div', { class: `figure ${key}` }, h('dt', {}, label), this.cells[key], ...more.map((part) => h('dd', {}, part)));
    };
    const follow = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab or window
      event.preventDefault();
      open(this.proxy);
    };
    this.title = h('a', { href: addressOf(proxy.name), onclick: follow }, proxy.name);
    this.where = h('p', { class: 'where' });
    this.tags = h('span', { class: 'tags' });
    this.shadowed = h('span', { class: 'muted small' });
    this.element = h(
      'li', { class: 'proxy' },
      h('div', { class: 'who' }, h('h2', {}, this.title, this.tags), this.where),
      h('div', { class: 'how' }, this.badge),
      h('dl', { class: 'figures' },
        figure('requests', 'Requests/s'), figure('errors', 'Errors/s'), figure('refused', 'Refused/s', this.shadowed),
        figure('latency', 'p50 · p95', this.spark.element),
        figure('load', 'In flight', this.meter.element), figure('waiting', 'Waiting'),
        figure('breaker', 'Breaker', this.strip.element)),
    );
    this.settle(proxy);
  }

  settle(proxy) {
    this.proxy = proxy;
    say(this.where, `${proxy.hosts.join(', ')}${proxy.path} → ${proxy.upstream}`);
    const tags = [];
    if (proxy.source !== 'database') tags.push(h('span', { class: 'tag', title: 'It stands in the configuration file; change it there' }, 'read-only'));
    const shadow = shadowTag(proxy);
    if (shadow) tags.push(shadow);
    this.tags.replaceChildren(...tags);
    this.shadowed.hidden = !shadow;
  }

  draw(figures, history, now) {
    this.figures = figures;
    const [kind, text] = state(this.proxy, figures);
    mark(this.badge, 'data-kind', kind);
    say(this.badge.lastElementChild, text);
    const shown = figures ?? {};
    say(this.cells.requests, rate(shown.requests));
    say(this.cells.errors, rate(shown.errors));
    mark(this.cells.errors, 'data-kind', shown.errors > 0 ? 'bad' : '');
    say(this.cells.refused, rate(shown.refused));
    mark(this.cells.refused, 'data-kind', shown.refused > 0 ? 'warn' : '');
    say(this.shadowed, `+ ${rate(shown.shadowed)} shadow`);
    say(this.cells.latency, `${seconds(shown.p50)} · ${seconds(shown.p95)}`);
    say(this.cells.load, figures ? (shown.limit ? `${shown.in_flight} / ${shown.limit}` : count(shown.in_flight)) : '–');
    say(this.cells.waiting, figures ? (shown.queue_limit ? `${shown.waiting} / ${shown.queue_limit}` : count(shown.waiting)) : '–');
    say(this.cells.breaker, figures ? BREAKER[shown.breaker] : '–');
    this.meter.draw(shown.in_flight ?? 0, shown.limit ?? 0);
    this.spark.draw(history);
    if (figures) this.strip.draw(figures, now);
  }
}

export class List {
  #rows = new Map();
  #list = h('ul', { class: 'proxies' });
  #none = h('p', { class: 'empty' });
  #search = h('input', { type: 'search', id: 'search', placeholder: 'Name, path or upstream', oninput: () => this.#arrange(), autocomplete: 'off' });
  #order = h('select', { id: 'order', onchange: () => this.#arrange() }, Object.entries(ORDERS).map(([key, [label]]) => h('option', { value: key }, label)));
  #sum = h('p', { class: 'muted sum' });

  constructor(open, create) {
    this.open = open;
    this.element = h(
      'section', { 'aria-labelledby': 'proxies-title' },
      h('div', { class: 'top' },
        h('div', {}, h('h1', { id: 'proxies-title' }, 'Proxies'), this.#sum),
        h('div', { class: 'tools' },
          h('div', { class: 'field inline' }, h('label', { for: 'search' }, 'Search'), this.#search),
          h('div', { class: 'field inline' }, h('label', { for: 'order' }, 'Sort'), this.#order),
          h('button', { type: 'button', class: 'primary', onclick: create }, 'New proxy'))),
      this.#list, this.#none,
    );
  }

  settle(proxies) {
    const seen = new Set();
    for (const proxy of proxies) {
      const key = `${proxy.name} ${proxy.source}`;
      seen.add(key);
      if (this.#rows.has(key)) this.#rows.get(key).settle(proxy);
      else this.#rows.set(key, new Row(proxy, this.open));
    }
    for (const key of this.#rows.keys()) if (!seen.has(key)) this.#rows.delete(key);
    this.#arrange();
  }

  draw(state_, history) {
    for (const row of this.#rows.values()) {
      const figures = row.proxy.shadowed_by ? undefined : state_.proxies[row.name];
      row.draw(figures, history.of(row.name), state_.at);
    }
    const all = Object.values(state_.proxies);
    const total = (key) => all.reduce((sum, figures) => sum + (figures[key] ?? 0), 0);
    say(this.#sum, `${plural(this.#rows.size, 'proxy', 'proxies')} · ${rate(total('requests'))} requests/s · ${bytes(total('bytes_out'))} out · ${plural(total('streams'), 'live exchange')}`);
    if (this.#order.value !== 'name') this.#arrange();
  }

  #arrange() {
    const wanted = this.#search.value.trim().toLowerCase();
    const fits = (row) => [row.name, row.proxy.path, row.proxy.upstream, ...row.proxy.hosts].some((text) => text.toLowerCase().includes(wanted));
    const rows = [...this.#rows.values()].filter(fits).sort(ORDERS[this.#order.value][1]);
    const elements = rows.map((row) => row.element);
    // A keyboard user keeps the focus: a move in the tree would take it away.
    const moved = elements.length !== this.#list.children.length || elements.some((element, index) => element !== this.#list.children[index]);
    if (moved) {
      const focused = document.activeElement;
      this.#list.replaceChildren(...elements);
      if (this.#list.contains(focused)) focused.focus({ preventScroll: true });
    }
    this.#none.hidden = rows.length > 0;
    say(this.#none, this.#rows.size ? 'No proxy fits the search.' : 'There is no proxy yet. Make the first one.');
  }
}
