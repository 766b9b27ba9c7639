// Create and edit a proxy. The fields come from its JSON Schema; the gateway validates, and errors are shown at the field.

import { h, announce } from './dom.js';
import { Refused, call, proxyPath } from './api.js';
import { confirm, dialog, impact } from './dialog.js';
import { fieldOf } from './fields.js';
import { proxySchema } from './schema.js';
import { differences, get, put, shown } from './settings.js';

class Form {
  #fields;
  #summary = h('div', { class: 'summary', role: 'alert', tabindex: '-1' });
  #outcome = h('div', { class: 'outcome', 'aria-live': 'polite' });

  constructor(proxy, schema, secrets, done, leave) {
    this.proxy = proxy;
    this.schema = schema;
    this.done = done;
    this.version = proxy?.version;
    this.base = proxy ? schema.settingsOf(proxy) : structuredClone(schema.fresh);
    this.save = h('button', { type: 'submit', class: 'primary' }, proxy ? 'Save' : 'Create');
    const groups = schema.groups.map(([title, settings]) => [title, settings.map((setting) => fieldOf(setting, get(this.base, setting.path), { secrets }))]);
    this.#fields = groups.flatMap(([, fields]) => fields);
    const explain = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', onclick: () => this.#explain(explain) }, 'Explain all');
    this.element = h(
      'form', { class: 'stack edit', onsubmit: (event) => this.#submit(event), novalidate: true, autocomplete: 'off' },
      this.#summary,
      groups.map(([title, fields], index) => group(title, fields.flatMap((field) => field.element), index === 0)),
      this.#outcome,
      h('div', { class: 'actions sticky' },
        h('button', { type: 'button', onclick: () => this.#check() }, 'Check'), explain,
        h('span', { class: 'space' }),
        h('button', { type: 'button', onclick: leave }, 'Cancel'), this.save),
    );
    this.untouched = this.#text();
  }

  get isTouched() { return this.#text() !== this.untouched; }

  #text() { return JSON.stringify(this.#fields.map((field) => field.state ?? field.value)); }

  #explain(button) {
    const isOn = this.element.classList.toggle('explained');
    button.setAttribute('aria-pressed', String(isOn));
  }

  // What is in the fields; keys without a field stay as they are.
  #settings(valueOf = (field) => field.value) {
    const made = structuredClone(this.base);
    for (const field of this.#fields) put(made, field.path, valueOf(field));
    return made;
  }

  async #check() {
    this.#clear();
    try {
      const settings = this.#settings((field) => field.draft ?? field.value);
      const path = this.proxy ? proxyPath(this.proxy.name, '?dry_run=true') : '/proxies?dry_run=true';
      const told = await call(this.proxy ? 'PUT' : 'POST', path, settings, this.version);
      this.#outcome.replaceChildren(h('h3', {}, 'It is valid. Saving it does this:'), impact(told.impact));
      this.#outcome.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      this.#refused(error);
    }
  }

  async #submit(event) {
    event.preventDefault();
    this.#clear();
    this.save.disabled = true;
    try {
      const settings = this.#settings();
      for (const field of this.#fields) await field.store?.(settings);
      const made = this.proxy
        ? await call('PUT', proxyPath(this.proxy.name), settings, this.version)
        : await call('POST', '/proxies', settings);
      announce(`Proxy ${made.name} is ${this.proxy ? 'saved' : 'created'}`);
      this.done(made);
    } catch (error) {
      this.#refused(error);
    } finally {
      this.save.disabled = false;
    }
  }

  #clear() {
    this.#summary.replaceChildren();
    this.#outcome.replaceChildren();
    for (const element of this.element.querySelectorAll('[aria-invalid]')) element.removeAttribute('aria-invalid');
    for (const element of this.element.querySelectorAll('p.error')) element.textContent = '';
  }

  #refused(error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === 'version_conflict') { this.#conflict(error.body.current); return; }
    const elsewhere = error.fields.filter((field) => !this.#tell(field));
    const lines = elsewhere.map((field) => `${field.path}: ${field.message}`);
    const first = this.element.querySelector('[aria-invalid]');
    const title = error.fields.length ? 'The gateway does not take it as it is.' : `${error.message}.`;
    this.#summary.replaceChildren(h('p', {}, title), ...lines.map((line) => h('p', {}, line)));
    (first ?? this.#summary).focus();
  }

  // At its field, or at the nearest one that holds it.
  #tell({ path, message }) {
    const exact = this.#fields.find((field) => field.path === path) ?? this.#fields.find((field) => field.input(path));
    const input = exact?.input(path);
    if (!input) return false;
    const closed = input.closest('details');
    if (closed) closed.open = true;
    input.setAttribute('aria-invalid', 'true');
    const place = input.closest('.field').querySelector('.error');
    place.textContent = place.textContent ? `${place.textContent}; ${message}` : message;
    return true;
  }

  #conflict(current) {
    const theirs = this.schema.settingsOf(current);
    const rows = differences(this.#settings(), theirs);
    const table = h('table', {},
      h('thead', {}, h('tr', {}, ['Setting', 'Yours', 'There now'].map((title) => h('th', { scope: 'col' }, title)))),
      h('tbody', {}, rows.map(([path, mine, there]) => h('tr', {}, h('th', { scope: 'row' }, path), h('td', {}, shown(mine)), h('td', {}, shown(there))))));
    const keep = () => { this.version = current.version; this.base = theirs; this.#clear(); this.save.focus(); };
    this.#summary.replaceChildren(
      h('h3', {}, 'Another user changed this proxy meanwhile'),
      h('p', {}, rows.length ? `It has version ${current.version} now. This is different:` : `It has version ${current.version} now, with the same settings as yours.`),
      rows.length ? h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Differences' }, table) : '',
      h('div', { class: 'actions' },
        h('button', { type: 'button', onclick: keep }, 'Keep mine, to save over it'),
        h('button', { type: 'button', class: 'primary', onclick: () => this.done({ reload: current }) }, 'Load what is there now')));
    this.#summary.focus();
  }
}

// The first group is always open, the others are closed until they are wanted.
function group(title, content, isFirst) {
  return isFirst
    ? h('fieldset', { class: 'plain grid' }, h('legend', { class: 'unseen' }, title), content)
    : h('details', { class: 'group' }, h('summary', {}, title), h('div', { class: 'grid' }, content));
}

// An accidental key or click must not lose the input.
async function mayLeave(form) {
  const text = ['What you changed here is not saved.'];
  return !form.isTouched || confirm({ title: 'Leave without saving?', text, action: 'Leave', danger: true });
}

// Resolves with the proxy that was saved, or nothing.
export async function edit(proxy) {
  const [{ items }, schema] = await Promise.all([call('GET', '/secrets'), proxySchema()]);
  const secrets = items.map((secret) => secret.key);
  for (let shownProxy = proxy; ;) {
    const title = proxy ? `Edit ${proxy.name}` : 'New proxy';
    const current = shownProxy;
    let form;
    const build = (close, leave) => { form = new Form(current, schema, secrets, close, leave); return form.element; };
    const result = await dialog('drawer wide', title, build, () => mayLeave(form));
    if (!result?.reload) return result;
    shownProxy = result.reload;
  }
}
