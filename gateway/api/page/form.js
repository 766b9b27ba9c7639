// Create and edit a record. The fields come from its JSON Schema; the gateway validates, and errors are shown at the field.

import { h, announce } from './dom.js';
import { Refused, call } from './api.js';
import { confirm, dialog } from './dialog.js';
import { fieldOf } from './fields.js';
import { words } from './schema.js';
import { differences, get, put, shown } from './settings.js';

class Form {
  #fields;
  #summary = h('div', { class: 'summary', role: 'alert', tabindex: '-1' });
  #outcome = h('div', { class: 'outcome', 'aria-live': 'polite' });

  // `subject`: what is edited, of subjects.js. `record`: undefined: a new one.
  constructor(subject, record, schema, secrets, done, leave) {
    Object.assign(this, { subject, record, schema, done });
    this.version = subject.version(record);
    this.base = record ? subject.settings(record, schema) : subject.fresh(schema);
    this.save = h('button', { type: 'submit', class: 'primary' }, record ? 'Save' : 'Create');
    const valueOf = ({ path }) => get(this.base, path) ?? get(schema.fresh, path);
    const groups = schema.groups.map(([title, settings]) => [title, settings.map((setting) => fieldOf(setting, valueOf(setting), { secrets }))]);
    this.#fields = groups.flatMap(([, fields]) => fields);
    this.untouchedValues = this.#fields.map(held);
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

  #text() { return JSON.stringify(this.#fields.map(held)); }

  #explain(button) {
    const isOn = this.element.classList.toggle('explained');
    button.setAttribute('aria-pressed', String(isOn));
  }

  // What is in the fields that were touched; all else stays as it is, because a key that is written may mean more than its
  // default.
  #settings(valueOf = (field) => field.value) {
    const made = structuredClone(this.base);
    this.#fields.forEach((field, index) => {
      if (field.setting?.isRequired || held(field) !== this.untouchedValues[index]) put(made, field.path, valueOf(field));
    });
    return made;
  }

  async #check() {
    this.#clear();
    try {
      const settings = this.#settings((field) => field.draft ?? field.value);
      const answer = await this.#send(settings, true);
      this.#outcome.replaceChildren(h('h3', {}, 'It is valid. Saving it does this:'), this.subject.effect(answer));
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
      const made = this.subject.record(await this.#send(settings, false));
      announce(`${words(this.subject.noun)} ${this.subject.name(made)} is ${this.record ? 'saved' : 'created'}`);
      this.done(made);
    } catch (error) {
      this.#refused(error);
    } finally {
      this.save.disabled = false;
    }
  }

  #send(settings, isDry) {
    return call(this.record ? 'PUT' : 'POST', this.subject.path(this.record, isDry), settings, this.version);
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
    const theirs = this.subject.settings(current, this.schema);
    const version = this.subject.version(current);
    const rows = differences(this.#settings(), theirs);
    const table = h('table', {},
      h('thead', {}, h('tr', {}, ['Setting', 'Yours', 'There now'].map((title) => h('th', { scope: 'col' }, title)))),
      h('tbody', {}, rows.map(([path, mine, there]) => h('tr', {}, h('th', { scope: 'row' }, path), h('td', {}, shown(mine)), h('td', {}, shown(there))))));
    const keep = () => { this.version = version; this.#clear(); this.save.focus(); };
    this.#summary.replaceChildren(
      h('h3', {}, `Another user changed this ${this.subject.noun} meanwhile`),
      h('p', {}, rows.length ? `It has version ${version} now. This is different:` : `It has version ${version} now, with the same settings as yours.`),
      rows.length ? h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Differences' }, table) : '',
      h('div', { class: 'actions' },
        h('button', { type: 'button', onclick: keep }, 'Keep mine, to save over it'),
        h('button', { type: 'button', class: 'primary', onclick: () => this.done({ reload: current }) }, 'Load what is there now')));
    this.#summary.focus();
  }
}

// What a field holds, as a text to compare.
const held = (field) => JSON.stringify(field.state ?? field.value);

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

// Resolves with the record that was saved, or nothing. `record`: undefined: a new one is made.
export async function edit(subject, record) {
  const [{ items }, schema] = await Promise.all([call('GET', '/secrets'), subject.schema()]);
  const secrets = items.map((secret) => secret.key);
  for (let newest = record; ;) {
    const title = record ? `Edit ${subject.name(record)}` : `New ${subject.noun}`;
    const current = newest;
    let form;
    const build = (close, leave) => { form = new Form(subject, current, schema, secrets, close, leave); return form.element; };
    const result = await dialog('drawer wide', title, build, () => mayLeave(form));
    if (!result?.reload) return result;
    newest = result.reload;
  }
}
