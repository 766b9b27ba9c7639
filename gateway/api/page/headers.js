// The fields that a proxy adds to requests: the login at the upstream, whose value is a secret, and the others.

import { h } from './dom.js';
import { Refused, call } from './api.js';
import { basicValue, joinAuth, origin, splitAuth } from './settings.js';

const KINDS = [['none', 'None'], ['bearer', 'Bearer token'], ['basic', 'User and password (Basic)'], ['header', 'A header of your own']];

class AuthPanel {
  #kind = h('select', { id: 'a-kind', onchange: () => this.#arrange() }, KINDS.map(([value, label]) => h('option', { value }, label)));
  #header = h('input', { id: 'a-header', type: 'text', spellcheck: 'false', placeholder: 'X-Api-Key', 'aria-describedby': 'a-header-error' });
  #secret = h('input', { id: 'a-secret', type: 'text', list: 'a-secrets', spellcheck: 'false', autocapitalize: 'off', 'aria-describedby': 'a-secret-hint a-secret-error' });
  #user = h('input', { id: 'a-user', type: 'text', autocomplete: 'off', spellcheck: 'false' });
  #only = h('input', { id: 'a-only', type: 'checkbox' });
  #value = h('input', { id: 'a-value', type: 'password', autocomplete: 'new-password', spellcheck: 'false', 'aria-describedby': 'a-value-hint a-value-error' });

  constructor(auth, secrets) {
    this.secrets = secrets;
    const show = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', 'aria-controls': 'a-value', onclick: () => this.#reveal(show) }, 'Show');
    this.label = h('label', { for: 'a-value' }, 'Value');
    this.parts = {
      header: field('a-header', 'Header', this.#header),
      secret: field('a-secret', 'Secret', this.#secret, 'its name in the store of secrets; letters, digits and _'),
      user: field('a-user', 'User', this.#user),
      only: h('div', { class: 'field check wide' }, h('label', { for: 'a-only' }, this.#only, h('span', {}, 'A new value may be sent to this upstream alone'))),
      value: h('div', { class: 'field' }, this.label, h('div', { class: 'with-button' }, this.#value, show),
        h('p', { class: 'hint', id: 'a-value-hint' }, 'stored encrypted, never shown again; empty: what is stored stays'), h('p', { class: 'error', id: 'a-value-error' })),
    };
    this.element = h('div', { class: 'grid wide' },
      h('div', { class: 'field wide' }, h('label', { for: 'a-kind' }, 'Login at the upstream'), this.#kind),
      ...Object.values(this.parts), h('datalist', { id: 'a-secrets' }, secrets.map((key) => h('option', { value: key }))));
    this.#kind.value = auth.kind;
    this.#header.value = auth.kind === 'header' ? auth.header : '';
    this.#secret.value = auth.secret;
    this.#arrange();
  }

  get value() {
    const secret = this.#secret.value.trim();
    return { kind: this.#kind.value, header: this.#header.value.trim(), secret, isNew: !this.secrets.includes(secret) && this.#value.value !== '' };
  }

  input(header) {
    const { kind } = this.value;
    return kind !== 'none' && (kind === 'header' ? header === this.value.header : header === 'Authorization') ? this.#secret : undefined;
  }

  // A value that was typed becomes a secret; the proxy names it.
  // `upstream`: where it may be sent to, when that is wanted; else a secret that is there stays bound as it is.
  async store(upstream) {
    const { kind, secret } = this.value;
    if (kind === 'none' || !this.#value.value) return;
    const value = kind === 'basic' ? basicValue(this.#user.value, this.#value.value) : this.#value.value;
    try {
      await call('PUT', `/secrets/${encodeURIComponent(secret || '-')}`, this.#only.checked ? { value, origins: [origin(upstream)] } : { value });
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 0 || error.status === 401) throw error;
      throw new Refused(400, { fields: [{ path: `headers.${kind === 'header' ? this.value.header : 'Authorization'}`, message: error.message }] });
    }
    if (!this.secrets.includes(secret)) this.secrets.push(secret);
    this.#value.value = '';
  }

  #arrange() {
    const kind = this.#kind.value;
    this.parts.header.hidden = kind !== 'header';
    this.parts.user.hidden = kind !== 'basic';
    this.parts.secret.hidden = kind === 'none';
    this.parts.value.hidden = kind === 'none';
    this.parts.only.hidden = kind === 'none';
    this.label.textContent = { bearer: 'Token', basic: 'Password' }[kind] ?? 'Value';
  }

  #reveal(button) {
    const shown = this.#value.type === 'password';
    this.#value.type = shown ? 'text' : 'password';
    button.textContent = shown ? 'Hide' : 'Show';
    button.setAttribute('aria-pressed', String(shown));
  }
}

class HeaderRows {
  #rows = h('div', { class: 'stack tight wide' });
  #number = 0;

  constructor(headers) {
    Object.entries(headers).forEach(([name, value]) => this.#add(name, value));
    const more = h('button', { type: 'button', onclick: () => this.#add('', '').querySelector('input').focus() }, 'Add a header');
    this.element = h('fieldset', { class: 'plain wide' }, h('legend', {}, 'Other headers'),
      h('p', { class: 'hint' }, 'Values may name {env.NAME}, {secret.NAME} and @request.auth.NAME. Credentials have to be secrets.'), this.#rows, more);
  }

  get value() {
    const pairs = [...this.#rows.children].map((row) => [...row.querySelectorAll('input')].map((input) => input.value.trim()));
    return Object.fromEntries(pairs.filter(([name]) => name));
  }

  input(header) {
    const row = [...this.#rows.children].find((element) => element.querySelector('input').value.trim() === header);
    return row?.querySelectorAll('input')[1];
  }

  #add(name, value) {
    const id = `h-${(this.#number += 1)}`;
    const field_ = (part, label, text) => h('input', { type: 'text', 'aria-label': `${label} of header ${this.#number}`, spellcheck: 'false', autocapitalize: 'off', value: text, placeholder: label, 'aria-describedby': `${id}-error`, id: `${id}-${part}` });
    const row = h('div', { class: 'field header-row' }, field_('name', 'Name', name), field_('value', 'Value', value),
      h('button', { type: 'button', class: 'quiet icon', 'aria-label': `Remove header ${this.#number}`, onclick: () => row.remove() }, '✕'), h('p', { class: 'error', id: `${id}-error` }));
    this.#rows.append(row);
    return row;
  }
}

// Both together: the field of all headers.
export class HeadersField {
  path = 'headers';

  constructor(headers, { secrets }) {
    const { rest, ...auth } = splitAuth(headers);
    this.auth = new AuthPanel(auth, secrets);
    this.rows = new HeaderRows(rest);
    this.element = [this.auth.element, this.rows.element];
  }

  get value() { return joinAuth(this.auth.value, this.rows.value); }

  // For a check: a secret that is not stored yet is not known to the gateway.
  get draft() { return this.auth.value.isNew ? this.rows.value : this.value; }

  // All that was typed.
  get state() { return [this.auth.value, this.rows.value]; }

  input(path) {
    const header = path.startsWith('headers.') && path.slice(8);
    return header ? this.rows.input(header) ?? this.auth.input(header) : undefined;
  }

  store(settings) { return this.auth.store(settings.upstream); }
}

function field(id, label, input, hint = '') {
  return h('div', { class: 'field' }, h('label', { for: id }, label), input, h('p', { class: 'hint', id: `${id}-hint` }, hint), h('p', { class: 'error', id: `${id}-error` }));
}
