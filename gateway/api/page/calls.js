// Named calls: the connections of a tenant, and the actions that are called by name.

import { Access, hasTokens } from './access.js';
import { announce, h, keep, say } from './dom.js';
import { Refused, call } from './api.js';
import { attempt, confirm, dialog } from './dialog.js';
import { edit } from './form.js';
import { plural } from './format.js';
import { CONNECTORS, called } from './subjects.js';
import { trial } from './try.js';

const fact = (label, value) => value && h('div', {}, h('dt', {}, label), h('dd', {}, value));

// What the database has without serving it: the file hides it, it is switched off, or it cannot be used.
const served = ({ record }) => record === null || !(record.shadowed_by || record.problem || record.settings.enabled === false);

const readOnly = ({ record }) => !record && h('span', { class: 'tag', title: 'It stands in the configuration file; change it there' }, 'read-only');

// Why what the database has is not what is called.
const notes = ({ record }) => [
  !record && h('p', { class: 'note' }, 'It stands in the configuration file and is read-only here; change it there.'),
  record?.shadowed_by && h('p', { class: 'note' }, `It is not served: ${record.shadowed_by.replace('file:', '')} has its name.`),
  record?.settings.enabled === false && h('p', { class: 'note' }, 'It is switched off, and is not there for a caller.'),
  record?.problem && h('p', { class: 'warning' }, `It cannot be served: ${record.problem}`),
];

// What says the kind in a new record: that of HTTP need not be written, and an action of MCP says it by its tool.
const ofKind = (kind) => (kind === 'http' ? {} : { kind });
const ofConnection = ({ connector }) => (connector === 'mcp' ? {} : ofKind(connector));

const options = (kinds) => kinds.map((kind) => h('option', { value: kind }, CONNECTORS[kind] ?? kind));

export class Calls {
  #connections = [];
  #actions = [];
  #list = h('ul', { class: 'proxies' });
  #none = h('p', { class: 'empty', hidden: true });
  #error = h('p', { class: 'error', role: 'alert' });
  #sum = h('p', { class: 'muted sum' });
  #search = h('input', { type: 'search', id: 'calls-search', placeholder: 'Name, address or path', oninput: () => this.#arrange(), autocomplete: 'off' });
  #tenant = h('input', { id: 'calls-tenant', value: 'default', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', onchange: () => this.load() });
  #kind = h('select', { id: 'calls-kind' }, options(Object.keys(CONNECTORS)));

  constructor() {
    this.element = h(
      'section', { 'aria-labelledby': 'calls-title' },
      h('div', { class: 'top' },
        h('div', {}, h('h1', { id: 'calls-title' }, 'Calls'), this.#sum),
        h('div', { class: 'tools' },
          h('div', { class: 'field inline' }, h('label', { for: 'calls-search' }, 'Search'), this.#search),
          h('div', { class: 'field inline' }, h('label', { for: 'calls-tenant' }, 'Tenant'), this.#tenant),
          h('div', { class: 'field inline' }, h('label', { for: 'calls-kind' }, 'Kind'), this.#kind),
          h('button', { type: 'button', class: 'primary', onclick: () => this.#edit('connection', undefined, ofKind(this.#kind.value)) }, 'New connection'))),
      this.#error, this.#list, this.#none,
    );
  }

  // Connectors of other packages besides. One that cannot be loaded has no schemas.
  #offer(kinds) {
    const known = new Set([...this.#kind.options].map(({ value }) => value));
    const others = kinds.filter(({ name, connection_schema: schema }) => !known.has(name) && schema.properties);
    this.#kind.append(...options(others.map(({ name }) => name)));
  }

  get tenant() { return this.#tenant.value.trim() || 'default'; }

  async load() {
    try {
      const query = `?tenant=${encodeURIComponent(this.tenant)}&per_page=1000`;
      const [connections, actions, kinds] = await Promise.all([`/connections${query}`, `/actions${query}`, '/kinds'].map((path) => call('GET', path)));
      this.#offer(kinds.items);
      [this.#connections, this.#actions] = [connections.items, actions.items];
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
    return h('li', { class: 'call' },
      h('div', { class: 'who' },
        h('h2', {}, h('button', { type: 'button', class: 'name', onclick: () => this.#open(connection) }, connection.name),
          h('span', { class: 'tag' }, connection.connector), h('span', { class: 'tag' }, `auth: ${connection.auth}`), readOnly(connection), !served(connection) && h('span', { class: 'tag' }, 'not served')),
        h('p', { class: 'where' }, connection.base_url)),
      this.#chips(connection));
  }

  #chips(connection) {
    const open = (action) => h('button', { type: 'button', class: 'chip', title: `${action.method} ${action.path}`, onclick: () => this.#try(action) }, served(action) ? action.name : `${action.name}, not served`);
    const actions = this.#of(connection).map((action) => h('li', {}, open(action)));
    return actions.length ? h('ul', { class: 'chips', 'aria-label': `Actions of ${connection.name}` }, actions) : h('p', { class: 'muted' }, 'It has no action.');
  }

  #open(connection) {
    const tested = h('div', { class: 'outcome', role: 'status' });
    const test = h('button', { type: 'button', onclick: () => attempt(() => this.#test(connection, test, tested)) }, 'Test');
    const access = hasTokens(connection) && served(connection) ? new Access(connection, this.tenant) : null;
    access?.start();
    const closed = dialog('drawer', connection.name, (close) => h('div', { class: 'stack' },
      h('p', { class: 'where' }, connection.trn), notes(connection),
      h('div', { class: 'actions' }, served(connection) && test, this.#changes('connection', connection, close)), tested, access?.element,
      h('dl', { class: 'facts' },
        fact('Base URL', connection.base_url), fact('Login', connection.auth), fact('Merge', connection.merge),
        fact('Explained as', connection.upstream), fact('What it is', connection.description)),
      h('section', {}, h('h3', {}, 'Actions'), this.#chips(connection)),
      h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => this.#edit('action', undefined, { connection: connection.name, ...ofConnection(connection) }, close) }, 'New action'))));
    closed.then(() => access?.stop());
    return closed;
  }

  #try(action) {
    return dialog('drawer wide', action.name, (close) => h('div', { class: 'stack' },
      notes(action), action.record && h('div', { class: 'actions' }, this.#changes('action', action, close)),
      served(action) && trial(action, this.tenant)));
  }

  // The buttons that change a record of the database.
  #changes(noun, item, close) {
    return item.record && [
      h('button', { type: 'button', onclick: () => this.#edit(noun, item, {}, close) }, 'Edit'),
      h('span', { class: 'space' }),
      h('button', { type: 'button', class: 'danger outline', onclick: () => attempt(() => this.#delete(noun, item, close)) }, 'Delete'),
    ];
  }

  // `close`: of the drawer that shows what is edited; it would show what was.
  async #edit(noun, item, given = {}, close = () => {}) {
    await attempt(async () => {
      if (!await edit(called(noun, this.tenant, item ? ofKind(item.connector) : given), item)) return;
      close();
      await this.load();
    });
  }

  async #delete(noun, item, close) {
    const subject = called(noun, this.tenant);
    const { removes } = await call('DELETE', subject.path(item, true), undefined, subject.version(item));
    const text = ['This cannot be undone.', ...(removes.length ? [`Its actions go with it: ${removes.join(', ')}.`] : [])];
    if (!await confirm({ title: `Delete ${item.name}?`, text, action: 'Delete', word: item.name, danger: true })) return;
    await call('DELETE', subject.path(item), undefined, subject.version(item));
    announce(`The ${noun} ${item.name} is deleted`);
    close();
    await this.load();
  }

  async #test(connection, button, place) {
    button.disabled = true;
    place.replaceChildren();
    try {
      const found = await call('POST', `/connections/${encodeURIComponent(connection.trn)}/test?tenant=${encodeURIComponent(this.tenant)}`, {});
      place.dataset.kind = found.reached ? 'good' : 'bad';
      const text = found.reached ? `It responds with status ${found.status}.` : `It does not respond: ${found.message || found.code}.`;
      place.replaceChildren(h('p', {}, text));
    } finally {
      button.disabled = false;
    }
  }
}
