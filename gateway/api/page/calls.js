// Named calls: the connections of a tenant, and the actions that are called by name.

import { h, keep, say } from './dom.js';
import { Refused, call } from './api.js';
import { attempt, dialog } from './dialog.js';
import { plural } from './format.js';
import { tryAction } from './try.js';

export const callPath = (kind, trn, tenant, rest = '') => `/${kind}/${encodeURIComponent(trn)}${rest}?tenant=${encodeURIComponent(tenant)}`;

const fact = (label, value) => value && h('div', {}, h('dt', {}, label), h('dd', {}, value));

// What the database has without serving it: the file hides it, it is switched off, or it cannot be used.
const served = ({ record }) => record === null || !(record.shadowed_by || record.problem || record.settings.enabled === false);

export class Calls {
  #connections = [];
  #actions = [];
  #list = h('ul', { class: 'proxies' });
  #none = h('p', { class: 'empty', hidden: true });
  #error = h('p', { class: 'error', role: 'alert' });
  #sum = h('p', { class: 'muted sum' });
  #search = h('input', { type: 'search', id: 'calls-search', placeholder: 'Name, address or path', oninput: () => this.#arrange(), autocomplete: 'off' });
  #tenant = h('input', { id: 'calls-tenant', value: 'default', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', onchange: () => this.load() });

  constructor() {
    this.element = h(
      'section', { 'aria-labelledby': 'calls-title' },
      h('div', { class: 'top' },
        h('div', {}, h('h1', { id: 'calls-title' }, 'Calls'), this.#sum),
        h('div', { class: 'tools' },
          h('div', { class: 'field inline' }, h('label', { for: 'calls-search' }, 'Search'), this.#search),
          h('div', { class: 'field inline' }, h('label', { for: 'calls-tenant' }, 'Tenant'), this.#tenant))),
      this.#error, this.#list, this.#none,
    );
  }

  get tenant() { return this.#tenant.value.trim() || 'default'; }

  async load() {
    try {
      const query = `?tenant=${encodeURIComponent(this.tenant)}&per_page=1000`;
      const [connections, actions] = await Promise.all([call('GET', `/connections${query}`), call('GET', `/actions${query}`)]);
      [this.#connections, this.#actions] = [connections.items.filter(served), actions.items.filter(served)];
      say(this.#error, '');
      say(this.#sum, `${plural(this.#connections.length, 'connection')} · ${plural(this.#actions.length, 'action')}`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      [this.#connections, this.#actions] = [[], []];
      say(this.#sum, '');
      say(this.#error, `${error.message}.`);
    }
    this.#list.replaceChildren(); // what a row shows may be old
    this.#arrange();
  }

  #of(connection) { return this.#actions.filter((action) => action.connection === connection.trn); }

  #arrange() {
    const wanted = this.#search.value.trim().toLowerCase();
    const holds = (...texts) => texts.some((text) => text.toLowerCase().includes(wanted));
    const fits = (connection) => holds(connection.name, connection.base_url, ...this.#of(connection).flatMap(({ name, path }) => [name, path]));
    const found = this.#connections.filter(fits);
    keep(this.#list, found.map((connection) => [connection.trn, connection]), (connection) => this.#row(connection));
    this.#none.hidden = found.length > 0 || this.#error.textContent !== '';
    say(this.#none, this.#connections.length ? 'No connection fits the search.' : 'This tenant has no connection yet.');
  }

  #row(connection) {
    const actions = this.#of(connection).map((action) => h('li', {},
      h('button', { type: 'button', class: 'chip', title: `${action.method} ${action.path}`, onclick: () => tryAction(action, this.tenant) }, action.name)));
    return h('li', { class: 'call' },
      h('div', { class: 'who' },
        h('h2', {}, h('button', { type: 'button', class: 'name', onclick: () => this.#open(connection) }, connection.name),
          h('span', { class: 'tag' }, connection.connector), h('span', { class: 'tag' }, `auth: ${connection.auth}`)),
        h('p', { class: 'where' }, connection.base_url)),
      actions.length ? h('ul', { class: 'chips', 'aria-label': `Actions of ${connection.name}` }, actions) : h('p', { class: 'muted' }, 'It has no action.'));
  }

  #open(connection) {
    const tested = h('div', { class: 'outcome', role: 'status' });
    const test = h('button', { type: 'button', onclick: () => attempt(() => this.#test(connection, test, tested)) }, 'Test');
    return dialog('drawer', connection.name, () => h('div', { class: 'stack' },
      h('p', { class: 'where' }, connection.trn),
      h('div', { class: 'actions' }, test), tested,
      h('dl', { class: 'facts' },
        fact('Base URL', connection.base_url), fact('Login', connection.auth), fact('Merge', connection.merge),
        fact('Explained as', connection.upstream), fact('What it is', connection.description)),
      h('section', {}, h('h3', {}, 'Actions'), h('ul', { class: 'chips' }, this.#of(connection).map((action) => h('li', {},
        h('button', { type: 'button', class: 'chip', onclick: () => tryAction(action, this.tenant) }, action.name)))))));
  }

  async #test(connection, button, place) {
    button.disabled = true;
    place.replaceChildren();
    try {
      const found = await call('POST', callPath('connections', connection.trn, this.tenant, '/test'), {});
      place.dataset.kind = found.reached ? 'good' : 'bad';
      const text = found.reached ? `It responds with status ${found.status}.` : `It does not respond: ${found.message || found.code}.`;
      place.replaceChildren(h('p', {}, text));
    } finally {
      button.disabled = false;
    }
  }
}
