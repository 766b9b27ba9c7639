// One proxy: its figures as they change, its settings, its latest refusals, and what can be done with it.

import { announce, h, keep, say } from './dom.js';
import { call, proxyPath } from './api.js';
import { attempt, confirm, dialog, impact } from './dialog.js';
import { Meter, Sparkline, Strip } from './chart.js';
import { BREAKER, badge, shadowTag, state } from './list.js';
import { ago, bytes, clock, count, percent, rate, seconds } from './format.js';
import { get, shadows } from './settings.js';
import { Why } from './why.js';

const FIGURES = [
  ['requests', 'Requests/s', (f) => rate(f.requests)],
  ['errors', 'Errors/s', (f) => rate(f.errors)],
  ['refused', 'Refused/s', (f) => rate(f.refused)],
  ['shadowed', 'Would refuse/s', (f) => rate(f.shadowed)],
  ['p50', 'p50', (f) => seconds(f.p50)],
  ['p95', 'p95', (f) => seconds(f.p95)],
  ['bytes_in', 'In', (f) => bytes(f.bytes_in)],
  ['bytes_out', 'Out', (f) => bytes(f.bytes_out)],
  ['in_flight', 'In flight', (f) => (f.limit ? `${f.in_flight} / ${f.limit}` : count(f.in_flight))],
  ['waiting', 'Waiting', (f) => (f.queue_limit ? `${f.waiting} / ${f.queue_limit}` : count(f.waiting))],
  ['streams', 'Live exchanges', (f) => count(f.streams)],
  ['pool', 'Pool, open · idle', (f) => `${f.pool_open} · ${f.pool_idle}`],
];

// Settings that the sentences below speak of. All others are listed when they differ from their default.
const SAID = [
  'name', 'path', 'hosts', 'upstream', 'active', 'access_rule', 'strip_path', 'preserve_host', 'headers', 'max_concurrent', 'limiter.mode', 'limiter.adaptive',
  'queue.max_waiting', 'queue.timeout', 'queue.mode', 'circuit_breaker.enabled', 'circuit_breaker.failure_threshold',
  'circuit_breaker.failure_rate', 'circuit_breaker.slow_rate', 'circuit_breaker.slow_call',
  'circuit_breaker.recovery_timeout', 'circuit_breaker.mode', 'timeout_config.dial', 'timeout_config.response_header',
  'timeout_config.body_idle', 'timeout_config.total',
];

// What opens a breaker, after "opens".
const rules = (b) => [
  b.failure_threshold && `after ${b.failure_threshold} failures in a row`,
  b.failure_rate && `when ${percent(b.failure_rate)} fail`,
  b.slow_rate && `when ${percent(b.slow_rate)} are slower than ${b.slow_call} s`,
].filter(Boolean).join(' or ');
const limitOf = ({ max_concurrent: most, limiter: { adaptive } }) => (adaptive ? `found between ${adaptive.min} and ${adaptive.max}` : most);

export class Detail {
  #cells = {};
  #spark = new Sparkline();
  #strip = new Strip();
  #badge = badge('off', '');
  #breaker = h('p', { class: 'number' });
  #steps = h('ol', { class: 'steps' });
  #refusals = h('ol', { class: 'refusals' });
  #none = h('p', { class: 'muted' }, 'Nothing of this proxy was refused lately.');
  #reset = h('button', { type: 'button', onclick: () => this.#resetBreaker() }, 'Reset breaker');

  constructor(proxy, board) {
    this.proxy = proxy;
    this.board = board;
    this.meter = new Meter('In flight');
  }

  // Resolves when it is closed, with 'edit' or 'deleted' when that is why.
  show() {
    this.why = new Why(this.proxy.name);
    const closed = dialog('drawer wide', this.proxy.name, (close) => {
      this.close = close;
      const content = this.#content();
      this.draw();
      return content;
    });
    if (!this.proxy.shadowed_by) this.why.start();
    closed.then(() => this.why.stop());
    return closed;
  }

  #content() {
    const mine = this.proxy.source === 'database';
    const figures = FIGURES.map(([key, label]) => h('div', { class: 'figure' }, h('dt', {}, label), (this.#cells[key] = h('dd', { class: 'number' }, '–'))));
    return h('div', { class: 'stack' },
      h('div', { class: 'lead' }, h('p', {}, this.#badge, shadowTag(this.proxy)), h('p', { class: 'where' }, `${this.proxy.hosts.join(', ')}${this.proxy.path} → ${this.proxy.upstream}`)),
      !mine && h('p', { class: 'note' }, `It stands in ${this.proxy.source.replace('file:', '')} and is read-only here; change it there.`),
      this.proxy.shadowed_by && h('p', { class: 'note' }, `It is not served: ${this.proxy.shadowed_by.replace('file:', '')} has its name or its route.`),
      h('div', { class: 'actions' },
        mine && h('button', { type: 'button', class: 'primary', onclick: () => this.close('edit') }, 'Edit'),
        this.#reset, h('span', { class: 'space' }),
        mine && h('button', { type: 'button', class: 'danger outline', onclick: () => this.#delete() }, 'Delete')),
      h('section', {}, h('h3', {}, 'Now'), h('dl', { class: 'figures many' }, figures), this.meter.element),
      !this.proxy.shadowed_by && this.why.element,
      h('section', {}, h('h3', {}, 'Latency of the last minute'), h('div', { class: 'large' }, this.#spark.element)),
      h('section', {}, h('h3', {}, 'Breaker, the last ten minutes'), this.#breaker, h('div', { class: 'large strip-box' }, this.#strip.element), this.#steps),
      h('section', {}, h('h3', {}, 'Settings'), this.#settings()),
      h('section', {}, h('h3', {}, 'Latest refusals'), this.#refusals, this.#none));
  }

  #settings() {
    const p = this.proxy;
    const { schema } = this.board;
    const time = (value) => (value ? `${value} s` : 'none');
    const t = p.timeout_config;
    const mode = (part) => (shadows(p).includes(part) ? ', in shadow: refuses nothing' : '');
    const facts = [
      ['Who may pass', schema.at('access_rule').say(p.access_rule)],
      ['Prefix', p.strip_path ? 'removed before forwarding' : 'kept'],
      ['Host', p.preserve_host ? "the caller's" : "the upstream's own"],
      ['Limit', limitOf(p) ? `${limitOf(p)} at a time${mode('limit')}` : 'none'],
      ['Queue', p.queue.max_waiting ? `${p.queue.max_waiting} wait, ${p.queue.timeout} s at most${mode('queue')}` : 'none'],
      ['Breaker', p.circuit_breaker.enabled ? `opens ${rules(p.circuit_breaker)}, for ${p.circuit_breaker.recovery_timeout} s${mode('breaker')}` : 'off'],
      ['Timeouts', `connect ${time(t.dial)}, start of the response ${time(t.response_header)}, silence ${time(t.body_idle)}, total ${time(t.total)}`],
      ...schema.changed(p).filter(({ path }) => !SAID.includes(path)).map((setting) => [setting.label, setting.say(get(p, setting.path)) || 'none']),
      ...Object.entries(p.headers).map(([name, value]) => [name, value]),
      ['Source', p.source === 'database' ? `database, version ${p.version}` : p.source.replace(':', ' ')],
    ];
    return h('dl', { class: 'facts' }, facts.map(([label, value]) => h('div', {}, h('dt', {}, label), h('dd', {}, value))));
  }

  draw() {
    const { state: told, history, refusals } = this.board;
    const figures = this.proxy.shadowed_by ? undefined : told?.proxies[this.proxy.name];
    const [kind, text] = state(this.proxy, figures);
    this.#badge.dataset.kind = kind;
    say(this.#badge.lastElementChild, text);
    for (const [key, , value] of FIGURES) say(this.#cells[key], figures ? value(figures) : '–');
    this.#reset.hidden = !figures || figures.breaker === 'off';
    this.#spark.draw(history.of(this.proxy.name));
    this.meter.draw(figures?.in_flight ?? 0, figures?.limit ?? 0);
    this.#steps.hidden = this.why.tellsMoves; // it knows more of each
    if (figures) {
      this.#strip.draw(figures, told.at);
      say(this.#breaker, figures.breaker_since ? `${BREAKER[figures.breaker]} for ${ago(figures.breaker_since, told.at)}` : BREAKER[figures.breaker]);
      const steps = figures.breaker_history.slice(-8).reverse();
      if (this.#steps.dataset.at !== String(steps[0]?.at)) {
        this.#steps.dataset.at = steps[0]?.at;
        this.#steps.replaceChildren(...steps.map((step) => h('li', {}, h('time', {}, clock(step.at)), ` ${BREAKER[step.from]} → ${BREAKER[step.to]}: ${step.reason.replaceAll('_', ' ')}`)));
      }
    }
    const lines = refusals.of(this.proxy.name).slice(0, 10);
    keep(this.#refusals, lines.map((line) => [`${line.request_id} ${line.ts}`, line]), (line) => refusals.row(line));
    this.#none.hidden = lines.length > 0;
  }

  async #resetBreaker() {
    const text = ['Requests go to the upstream again at once, whether it is well or not.'];
    if (!await confirm({ title: `Reset the breaker of ${this.proxy.name}?`, text, action: 'Reset' })) return;
    await attempt(async () => {
      await call('POST', proxyPath(this.proxy.name, '/breaker/reset'));
      announce(`The breaker of ${this.proxy.name} is reset`);
    });
  }

  async #delete() {
    const { name, version } = this.proxy;
    await attempt(async () => {
      const told = await call('DELETE', proxyPath(name, '?dry_run=true'), undefined, version);
      const text = ['This cannot be undone. Deleting it does this:', impact(told.impact)];
      if (!await confirm({ title: `Delete ${name}?`, text, action: 'Delete', word: name, danger: true })) return;
      await call('DELETE', proxyPath(name), undefined, version);
      announce(`Proxy ${name} is deleted`);
      this.close('deleted');
    });
  }
}
