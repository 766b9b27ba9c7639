// The live page: log in, then one board that gets the state once a second.

import { announce, byId, h, mark, say } from './dom.js';
import { Account } from './account.js';
import { Refused, call, lost, session } from './api.js';
import { Calls } from './calls.js';
import { History } from './chart.js';
import { Detail } from './detail.js';
import { closeAll, leaveAll } from './dialog.js';
import { edit } from './form.js';
import { BREAKER, List, addressOf } from './list.js';
import { Live } from './live.js';
import { login } from './login.js';
import { Refusals } from './refusals.js';
import { proxySchema } from './schema.js';
import { PROXY } from './subjects.js';

// What the address names. It can hold anything that a user typed.
function named() {
  const [, name] = /^#\/proxies\/(.+)$/.exec(location.hash) ?? [];
  try { return name && decodeURIComponent(name); } catch { return undefined; }
}

class Board {
  state = null;
  history = new History();
  refusals = new Refusals();
  calls = new Calls();
  account = new Account();
  #proxies = [];
  #opened = null; // the proxy whose drawer is open: its name, and its detail until it is edited
  #address = location.hash; // that of what is shown
  #leaving = false;
  #ended = false;
  #breakers = new Map();
  #reachable = true;
  #generation = null;
  #warning = h('p', { class: 'warning', role: 'status', hidden: true });

  constructor() {
    this.list = new List((proxy) => this.#go(proxy), () => this.#edit());
    this.live = new Live();
    this.live.addEventListener('state', (event) => this.#told(event.detail));
    this.live.addEventListener('refusals', (event) => { this.refusals.add(event.detail.items); this.#opened?.detail?.draw(); });
    this.live.addEventListener('link', (event) => this.#link(event.detail));
  }

  async start() {
    this.live.start();
    await this.load();
    const reasons = await fetch('reasons.json');
    if (reasons.ok) this.refusals.reasons = await reasons.json();
    this.route();
  }

  stop() {
    this.#ended = true;
    this.live.stop();
  }

  // The address has changed: by a link, by the way back or by hand.
  async route() {
    if (this.#leaving) return; // who is asked whether to stay decides for the newest address
    this.#leaving = true;
    const left = location.hash === this.#address || await leaveAll();
    this.#leaving = false;
    if (this.#ended) return;
    if (!left) { history.pushState(null, '', location.pathname + this.#address); return; }
    if (location.hash !== this.#address) this.#opened = null;
    this.show();
    const wanted = !this.#opened && this.#proxies.find((proxy) => proxy.name === named());
    if (wanted) this.#open(wanted);
  }

  // A closed drawer leaves an entry in the history; the next one replaces it, so that each step back changes the view.
  #go(proxy) {
    history[history.state?.closed ? 'replaceState' : 'pushState'](null, '', addressOf(proxy.name));
    this.#open(proxy);
  }

  show() {
    this.#address = location.hash;
    const [view, shown, title] = {
      '#/refusals': ['to-refusals', this.refusals, 'Refusals'], '#/calls': ['to-calls', this.calls, 'Calls'],
      '#/account': ['to-account', this.account, 'Account'],
    }[location.hash] ?? ['to-proxies', this.list, 'Proxies'];
    byId('main').replaceChildren(this.#warning, shown.element);
    for (const id of ['to-proxies', 'to-refusals', 'to-calls', 'to-account']) {
      if (id === view) mark(byId(id), 'aria-current', 'page'); else byId(id).removeAttribute('aria-current');
    }
    document.title = `${title} · Breakwater`;
    if (shown === this.account || shown === this.calls) shown.load();
  }

  async load() {
    try {
      this.schema ??= await proxySchema();
      const answer = await call('GET', '/proxies?per_page=1000');
      this.#proxies = answer.items;
      this.list.settle(this.#proxies);
      this.#warn(answer.applied.error ? `The newest configuration is not active: ${answer.applied.error}` : '');
      if (this.state) this.list.draw(this.state, this.history);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#warn(`${error.message}.`);
    }
  }

  #warn(text) {
    say(this.#warning, text);
    this.#warning.hidden = !text;
  }

  #told(state) {
    this.state = state;
    if (state.reachable) this.history.add(state.proxies);
    if (state.reachable && this.#generation !== state.generation) {
      if (this.#generation !== null) this.load(); // the configuration changed
      this.#generation = state.generation;
    }
    this.list.draw(state, this.history);
    this.#opened?.detail?.draw();
    this.#reach(state.reachable);
    this.#tellBreakers(state.proxies);
  }

  #reach(reachable) {
    mark(byId('link'), 'data-state', reachable ? 'live' : 'away');
    say(byId('link-text'), reachable ? 'Live' : 'Data plane unreachable');
    if (reachable !== this.#reachable) announce(reachable ? 'The data plane is reached again' : 'The data plane cannot be reached');
    this.#reachable = reachable;
  }

  #tellBreakers(proxies) {
    for (const [name, { breaker }] of Object.entries(proxies)) {
      const before = this.#breakers.get(name);
      if (before && before !== breaker && before !== 'off' && breaker !== 'off') announce(`${name}: the breaker is ${BREAKER[breaker].toLowerCase()}`);
      this.#breakers.set(name, breaker);
    }
  }

  #link({ state, tries, seconds }) {
    if (state === 'connecting' && !tries) { mark(byId('link'), 'data-state', 'connecting'); say(byId('link-text'), 'Connecting'); return; }
    mark(byId('link'), 'data-state', 'broken');
    say(byId('link-text'), state === 'waiting' ? `Reconnecting in ${seconds} s` : 'Reconnecting');
    if (tries === 1 && state === 'waiting') announce('The live view is broken off; it reconnects by itself');
  }

  async #open(proxy) {
    const opened = { name: proxy.name, detail: new Detail(proxy, this) };
    this.#opened = opened;
    this.#address = location.hash;
    const why = await opened.detail.show();
    opened.detail = null;
    if (why === 'edit') await this.#edit(proxy);
    else if (why === 'deleted') await this.load();
    if (this.#opened !== opened || this.#ended) return;
    this.#opened = null;
    if (named() === proxy.name) history.replaceState({ closed: true }, '', '#/');
    this.#address = location.hash;
  }

  async #edit(proxy) {
    try {
      const current = proxy && this.#proxies.find((known) => known.name === proxy.name && known.source === 'database');
      if (await edit(PROXY, current)) await this.load();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#warn(`${error.message}.`);
    }
  }
}

let board = null;

function enter() {
  byId('bar').hidden = false;
  board = new Board();
  board.show();
  board.start();
}

function leave(message) {
  board?.stop();
  board = null;
  session.end();
  closeAll();
  byId('bar').hidden = true;
  document.title = 'Log in · Breakwater';
  byId('main').replaceChildren(login(message, enter));
}

lost.addEventListener('session', () => { if (board) leave('This login has ended. Log in again.'); });

byId('logout').addEventListener('click', async () => {
  board?.stop();
  try { await call('POST', '/auth/logout'); } catch { /* it is forgotten here all the same */ }
  leave('');
});

addEventListener('hashchange', () => board?.route());

if (session.token) enter(); else leave('');

document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault(); // the hash is the view's
  byId('main').focus();
});
