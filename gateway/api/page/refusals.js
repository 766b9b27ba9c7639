// The newest exchanges that were refused or failed, each with its reason in plain words.

import { h, keep, say } from './dom.js';
import { clock, plural, protocols, seconds } from './format.js';
import { told, whose } from './request.js';

const KEPT = 300;

export class Refusals {
  #items = [];
  #paused = false;
  #held = 0;
  #reasons = {};
  #list = h('ol', { class: 'refusals' });
  #none = h('p', { class: 'empty' }, 'Nothing was refused, as far back as the gateway remembers.');
  #proxy = h('select', { id: 'filter-proxy', onchange: () => this.#draw() });
  #reason = h('select', { id: 'filter-reason', onchange: () => this.#draw() });
  #pause = h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.#toggle() }, 'Pause');
  #sum = h('p', { class: 'muted sum' });

  constructor() {
    this.element = h(
      'section', { 'aria-labelledby': 'refusals-title' },
      h('div', { class: 'top' },
        h('div', {}, h('h1', { id: 'refusals-title' }, 'Refusals'), this.#sum),
        h('div', { class: 'tools' },
          h('div', { class: 'field inline' }, h('label', { for: 'filter-proxy' }, 'Proxy'), this.#proxy),
          h('div', { class: 'field inline' }, h('label', { for: 'filter-reason' }, 'Reason'), this.#reason),
          this.#pause)),
      this.#list, this.#none,
    );
    this.#choices();
    this.#draw();
  }

  set reasons(table) { this.#reasons = table; this.#draw(); }

  clear() { this.#items = []; this.#held = 0; this.#choices(); this.#draw(); }

  add(items) {
    const known = new Set(this.#items.map((item) => item.request_id + item.ts));
    const fresh = items.filter((item) => !known.has(item.request_id + item.ts)); // a new stream repeats the newest
    if (!fresh.length) return;
    this.#items = [...fresh.reverse(), ...this.#items].slice(0, KEPT);
    this.#choices();
    if (this.#paused) this.#held += fresh.length; else this.#draw();
    this.#count();
  }

  of(name) { return this.#items.filter((item) => item.proxy_name === name); }

  row(item) {
    const reason = this.#reasons[item.reason];
    const fact = (label, value) => value && h('div', {}, h('dt', {}, label), h('dd', {}, value));
    const way = h('div', {});
    // Details are requested when an entry is opened, because a list of hundreds would request them all at once.
    const opened = () => { if (!way.firstChild) way.append(told(item.request_id, item.ts)); };
    return h('li', {}, h('details', { ontoggle: opened },
      h('summary', {},
        h('time', { datetime: new Date(item.ts * 1000).toISOString() }, clock(item.ts)),
        h('span', { class: 'status', 'data-kind': item.status_code >= 500 ? 'bad' : 'warn' }, String(item.status_code)),
        h('span', { class: 'reason' }, item.reason || 'upstream response'),
        h('span', { class: 'what' }, `${item.method} ${item.path}`),
        h('span', { class: 'whose' }, item.proxy_name)),
      h('div', { class: 'why' },
        h('p', {}, reason ? `${reason.title}: ${reason.details}. ${whose(reason.source)}` : 'The upstream itself sent this response; the gateway relayed it.'),
        way,
        h('dl', { class: 'facts' },
          fact('Request', item.request_id), fact('Client', item.client), fact('Upstream', item.upstream), fact('Protocols', protocols(item)),
          fact('Took', seconds(item.duration_ms / 1000)), fact('Queued', item.queue_ms ? seconds(item.queue_ms / 1000) : ''),
          fact('Breaker', `${item.circuit_state}${item.breaker === 'upstream' ? ', that of the upstream as a whole' : ''}`), fact('Read more', reason ? `docs/reasons/${item.reason}.md` : '')))));
  }

  #toggle() {
    this.#paused = !this.#paused;
    this.#pause.setAttribute('aria-pressed', String(this.#paused));
    say(this.#pause, this.#paused ? 'Go on' : 'Pause');
    this.#held = 0;
    this.#draw();
  }

  #choices() {
    choose(this.#proxy, 'All proxies', this.#items.map((item) => item.proxy_name));
    choose(this.#reason, 'All reasons', this.#items.map((item) => item.reason));
  }

  #draw() {
    const fits = (item) => (!this.#proxy.value || item.proxy_name === this.#proxy.value) && (!this.#reason.value || item.reason === this.#reason.value);
    const shown = this.#items.filter(fits);
    keep(this.#list, shown.map((item) => [`${item.request_id} ${item.ts} ${item.reason in this.#reasons}`, item]), (item) => this.row(item));
    this.#none.hidden = shown.length > 0;
    this.#count();
  }

  #count() {
    const held = this.#held ? `, ${this.#held} more since the pause` : '';
    say(this.#sum, this.#items.length ? `The newest ${plural(this.#items.length, 'exchange')} that ended badly${held}` : 'Exchanges that end badly show here');
  }
}

function choose(select, all, values) {
  const options = ['', ...new Set(values.filter(Boolean))].sort();
  if (options.join() === [...select.options].map((option) => option.value).join()) return;
  const { value } = select;
  select.replaceChildren(...options.map((option) => h('option', { value: option }, option || all)));
  select.value = options.includes(value) ? value : '';
}
