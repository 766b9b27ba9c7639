// Why a proxy admits or refuses now, polled every two seconds while it is shown.

import { announce, h, keep, mark, say } from './dom.js';
import { Refused, call } from './api.js';
import { attempt, confirm } from './dialog.js';
import { ago, clock, percent, plural, protocols, seconds, sentence } from './format.js';
import { BREAKER, badge } from './list.js';
import { pause } from './live.js';
import { requestLink } from './request.js';

const PERIOD = 2000; // milliseconds
const VERDICT = { admit: ['good', 'Forwards'], wait: ['warn', 'Lets wait'], probe: ['warn', 'Probes'], refuse: ['bad', 'Refuses'] };
const PHASE = { queue: 'waits for a permit', dial: 'connects', retry: 'waits for its next attempt', upload: 'sends the request', first_byte: 'waits for the response', transfer: 'receives the response', tunnel: 'has a WebSocket open' };

// That of the upstream as a whole comes first; a gateway of another version has none. Each is named where there are two.
const breakersOf = ({ upstream_breaker: own, breaker }) => [own, breaker].filter(Boolean);
const named = (b) => (b.scope === 'upstream' ? 'Upstream: ' : 'Endpoints: ');
function ofBreakers(text) {
  return (explanation) => {
    const found = breakersOf(explanation);
    const alone = found.length === 1;
    return found.map((b) => [b, text(b, explanation.at, alone)]).filter(([, said]) => said).map(([b, said]) => (alone ? said : `${named(b)}${said}`)).join('; ');
  };
}

const FACTS = {
  Breaker: ofBreakers((b, at, alone) => `${BREAKER[b.state]} for ${ago(b.since, at)}${shadow(b)}${alone && b.scope === 'upstream' ? ', of all endpoints together' : ''}, ${b.failure_threshold ? `${b.failures} of ${plural(b.failure_threshold, 'failure')}` : plural(b.failures, 'failure')} in a row`),
  'Last attempts': ofBreakers((b) => b.window && counted(b.window)),
  'Failures of': ofBreakers((b) => b.callers && `${b.callers.of ?? 'callers'}: ${b.callers.in_a_row} failed in a row, ${b.callers.failed} failed, ${b.callers.slow} slow; ${b.callers.distinct_callers} have to differ`),
  'Next probe': ofBreakers((b, at) => b.next_probe && (b.next_probe > at ? `in ${seconds(b.next_probe - at)}, at ${clock(b.next_probe)}` : 'with the next request')),
  Probes: ofBreakers((b) => b.state === 'half_open' && `${b.probes} of ${b.half_open_requests} inside`),
  Limit: ({ limiter: l }) => l && `${l.in_flight} of ${plural(l.max_concurrent, 'permit')} in use${shadow(l)}, each for ${seconds(l.hold)} on average`,
  'The limit adapts': ({ adaptive: a }) => a && `between ${a.min} and ${a.max}${a.usual ? `; a response begins after ${seconds(a.usual)}` : ''}`,
  Queue: ({ queue: q }) => q && `${q.waiting} of ${q.max_waiting} wait${shadow(q)}, ${seconds(q.timeout)} at most${waits(q)}`,
  'Rate limits': ({ rates = [] }) => rates.map(rateLimit).join('; '),
  'Streams of events': ({ stream: s }) => s && `${s.watched} run${shadow(s)}, the longest wait for data is ${seconds(s.silence)}`,
  'Language models': ({ ai: a }) => a && `${plural(a.responses, 'response')} run, ${a.waiting} without a token yet, the longest wait for one is ${seconds(a.longest_wait)}`,
  Endpoints: ({ group: g }) => g && `${g.endpoints.length}, by ${g.balance.replaceAll('_', ' ')}${shadowed(g)}${g.places ? `; ${plural(g.places, 'place')} by their ${g.reports === 'shadow' ? 'reports, which only count' : 'reports'}` : ''}${g.panic ? '; too few are usable, so all are used' : ''}`,
  Retries: ({ retries: r }) => r && `${plural(r.attempts, 'attempt')} on ${r.on.join(', ')}${shadow(r)}; ${r.left.toFixed(1)} of ${r.burst} left in the budget, ${r.waiting} waiting`,
  Hedges: ({ hedge: g }) => g && `${hedgedAfter(g)}${shadow(g)}; ${g.left.toFixed(1)} of ${g.burst} left in the budget, ${g.running} running`,
  Fallback: ({ fallback: f }) => f && `for ${f.on.join(', ')}: ${f.endpoint ? `${f.endpoint}, ${f.limit ? `${f.in_flight} of ` : ''}${plural(f.limit || f.in_flight, 'permit')} in use${f.waiting ? `, ${f.waiting} waiting` : ''}, breaker ${BREAKER[f.breaker].toLowerCase()}` : `a response with ${f.status}`}`,
  Connections: ({ pool: p }) => `${p.open} open, ${p.in_use} in use; ${p.dials} dialled, ${p.reuses} times reused`,
  'HTTP/2': ({ pool: p }) => p.sessions && `${plural(p.sessions, 'connection')} with ${plural(p.streams, 'request')}`,
};

const hedgedAfter = (g) => (g.after !== 'p95' ? `after ${seconds(Number(g.after))}`
  : g.measured ? `after ${seconds(g.measured)}, p95 of ${plural(g.samples, 'response')}` : `none yet: ${plural(g.samples, 'response')} are too few for p95`);
const counted = (w) => [
  `${w.total} in ${seconds(w.seconds)} (rules need ${w.minimum_requests})`,
  w.failure_rate && `${w.failed} failed (opens at ${percent(w.failure_rate)})`,
  w.slow_rate && `${w.slow} above ${seconds(w.slow_call)} (opens at ${percent(w.slow_rate)})`,
].filter(Boolean).join(', ');
// Of a queue: who waits, for how long, and who is next; a gateway of another version does not send it.
const waits = ({ by_priority: by = {}, expected_wait: wait, order, comments }) => [
  ...['high', 'low'].filter((priority) => by[priority]).map((priority) => `${by[priority]} of ${priority} priority`),
  wait && `${seconds(wait)} expected`,
  order === 'lifo' && 'the newest first',
  comments && `comments every ${seconds(comments)}`,
].filter(Boolean).map((part) => `, ${part}`).join('');
// What keeps requests from endpoints, where it only counts; a gateway of another version does not send the checks.
const shadowed = ({ health_mode: checks, ejection_mode: ejections }) => [
  checks === 'shadow' && ', checks in shadow', ejections === 'shadow' && ', ejections in shadow',
].filter(Boolean).join('');
const shadow = ({ mode }) => (mode === 'shadow' ? ', in shadow' : '');

// One of a proxy, or of the upstream that it names: what it admits, and what it holds.
function rateLimit(r) {
  const holds = r.key === 'all' ? `${r.left} left` : `${r.keys} of ${plural(r.max_keys, 'key')} known`;
  return `${r.name}${r.of ? ` of ${r.of}` : ''}: ${r.rate}${r.unit === 'tokens' ? ' tokens of models' : ''} in ${seconds(r.per)}, ${r.burst} at once${shadow(r)}; ${holds}`;
}

export class Why {
  #stopped = new AbortController();
  #badge = badge('off', 'Asking');
  #sentence = h('p', { class: 'verdict' });
  #cells = {};
  #rows = {};
  #moves = h('ol', { class: 'moves' });
  #endpoints = h('ol', { class: 'outcomes' });
  #decisions = h('ol', { class: 'decisions' });
  #counting = h('ol', { class: 'outcomes' });
  #running = h('ol', { class: 'outcomes' });
  #runningTitle = h('h4', {});
  #known;

  constructor(name) {
    this.name = name;
    const facts = Object.keys(FACTS).map((label) => (this.#rows[label] = h('div', {}, h('dt', {}, label), (this.#cells[label] = h('dd', {})))));
    this.parts = {
      endpoints: h('div', {}, h('h4', {}, 'Endpoints'), this.#endpoints),
      decisions: h('div', {}, h('h4', {}, 'How the limit got here'), this.#decisions),
      moves: h('div', {}, h('h4', {}, 'How the breaker got here'), this.#moves),
      counting: h('div', {}, h('h4', {}, 'What counts since then'), this.#counting),
      running: h('div', {}, this.#runningTitle, this.#running),
    };
    this.#known = h('div', { class: 'stack' }, h('dl', { class: 'facts' }, facts), ...Object.values(this.parts));
    this.#known.hidden = true;
    this.element = h('section', {}, h('h3', {}, 'Why'), h('div', { class: 'stack tight' }, h('div', { class: 'now' }, this.#badge, this.#sentence), this.#known));
  }

  async start() {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#ask(signal);
      await pause(PERIOD, signal);
    }
  }

  stop() { this.#stopped.abort(); }

  get tellsMoves() { return !this.#known.hidden && !this.parts.moves.hidden; }

  async #ask(signal) {
    try {
      const explanation = await call('GET', `/upstreams/${encodeURIComponent(this.name)}/explain`);
      if (!signal.aborted) this.#draw(explanation);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#say('off', 'Not known', error.status === 404 ? 'No traffic can reach it now, so there is nothing to explain.' : `The gateway cannot explain it now: ${error.message}.`);
      this.#known.hidden = true;
    }
  }

  #say(kind, word, text) {
    mark(this.#badge, 'data-kind', kind);
    say(this.#badge.lastElementChild, word);
    say(this.#sentence, text);
  }

  #draw(explanation) {
    this.#say(...VERDICT[explanation.verdict], sentence(explanation.sentence));
    for (const [label, value] of Object.entries(FACTS)) {
      const text = value(explanation);
      this.#rows[label].hidden = !text;
      say(this.#cells[label], text || '');
    }
    const { decisions } = explanation.adaptive ?? { decisions: [] };
    keep(this.#decisions, decisions.map((decision) => [`${decision.at}`, decision]).reverse(), decided);
    this.parts.decisions.hidden = !decisions.length;
    const breakers = breakersOf(explanation);
    const of = (b) => (breakers.length > 1 ? named(b) : '');
    const newest = (part) => breakers.flatMap((b) => b[part].map((one) => ({ ...one, of: of(b) }))).sort((a, b) => b.at - a.at);
    const [moves, outcomes] = [newest('moves'), newest('outcomes')];
    keep(this.#moves, moves.map((move) => [move.of + move.at, move]), moved);
    keep(this.#counting, outcomes.map((outcome) => [outcome.of + outcome.request_id + outcome.at, outcome]), judged);
    keep(this.#running, explanation.active.map((holder) => [holder.request_id, holder]), holds);
    explanation.active.forEach((one, index) => say(this.#running.children[index].lastElementChild, [`${PHASE[one.phase] ?? one.phase}, for ${seconds(one.age)}`, one.action && `of ${one.action}`, protocols(one)].filter(Boolean).join('; ')));
    const endpoints = explanation.group?.endpoints ?? [];
    keep(this.#endpoints, endpoints.map((one) => [`${one.url} ${one.address ?? ''}`, one]), (one) => this.#named(one));
    endpoints.forEach((one, index) => {
      const [word, facts, , button] = this.#endpoints.children[index].children;
      mark(word, 'data-kind', one.standing === 'usable' ? 'success' : 'failure');
      say(word, one.standing === 'leaving' ? 'draining (by its own report)' : one.standing);
      say(facts, stands(one, explanation.at));
      const action = one.standing === 'drained' ? 'Undrain' : 'Drain';
      say(button, action);
      mark(button, 'aria-label', `${action} ${one.url}`);
    });
    this.parts.endpoints.hidden = !endpoints.length;
    const rest = explanation.active_count - explanation.active.length;
    say(this.#runningTitle, `${plural(explanation.active_count, 'request')} running${rest > 0 ? `, the ${explanation.active.length} oldest of them` : ''}`);
    this.parts.moves.hidden = !moves.length;
    this.parts.counting.hidden = !outcomes.length;
    this.parts.running.hidden = !explanation.active_count;
    this.#known.hidden = false;
  }

  #named({ url, address }) {
    const button = h('button', { type: 'button', onclick: () => this.#drain(url, button.textContent === 'Drain') });
    return h('li', { class: 'holder' }, h('span', { class: 'outcome-word' }), h('span', {}), h('code', {}, address ? `${url} (${address})` : url), button);
  }

  async #drain(url, on) {
    const path = `/upstreams/${encodeURIComponent(this.name)}/endpoints/${on ? 'drain' : 'undrain'}`;
    const text = ['It gets no new requests until it is undrained; those that run end as they would.'];
    if (on && !await confirm({ title: `Drain ${url}?`, text, action: 'Drain' })) return;
    await attempt(async () => {
      const { applied } = await call('POST', path, { url }).catch((refused) => this.#last(refused, path, url));
      if (applied) announce(`${url} is ${on ? 'drained' : 'undrained'}`);
    });
    await this.#ask(this.#stopped.signal);
  }

  // Without an endpoint every request would be refused, so that asks once more.
  async #last(refused, path, url) {
    if (refused.code !== 'last_endpoint') throw refused;
    const sure = await confirm({ title: 'Drain the last endpoint?', text: [`${refused.message}.`], action: 'Drain it', danger: true });
    return sure ? call('POST', path, { url, force: true }) : {};
  }
}

function moved({ at, old, new: to, cause, by, outcomes, figures, of }) {
  const line = [h('time', {}, clock(at)), h('span', {}, `${of}${BREAKER[old]} → ${BREAKER[to]}: ${figures ?? `${cause.replaceAll('_', ' ')}${by && ` by ${by}`}`}`)];
  if (!outcomes.length) return h('li', { class: 'move' }, line);
  return h('li', {}, h('details', {}, h('summary', { class: 'move' }, line, h('span', { class: 'muted' }, plural(outcomes.length, 'outcome'))), h('ol', { class: 'outcomes' }, [...outcomes].reverse().map(judged))));
}

function decided({ at, old, new: to, why }) {
  return h('li', { class: 'move' }, h('time', {}, clock(at)), h('span', {}, `${old} → ${to}: ${why}`));
}

function judged({ at, outcome, reason, status, request_id: id, action, of = '' }) {
  return h('li', {}, h('time', {}, clock(at)), h('span', { class: 'outcome-word', 'data-kind': outcome }, outcome), h('span', {}, [of + (reason || (status ? String(status) : '')), action && `of ${action}`].filter(Boolean).join(' ')), requestLink(id));
}

function stands({ in_flight: running, attempts, failures, weight, breaker, ejected_until: until, ejected_because: why, probation, check_failure: check, reported: said }, at) {
  return [
    `${running} in flight`, `${failures} of ${plural(attempts, 'request')} failed`, `weight ${weight}`,
    breaker !== 'off' && `breaker ${BREAKER[breaker].toLowerCase()}`, until > at && `ejected for ${seconds(until - at)} more: ${why}`,
    probation && 'on probation', check && `last check: ${check}`,
    said && `reported ${said.total ? `${said.in_use}/${said.total}` : 'drain'} ${seconds(at - said.at)} ago`,
  ].filter(Boolean).join(', ');
}

const holds = ({ request_id: id }) => h('li', { class: 'holder' }, requestLink(id), h('span', {}));
