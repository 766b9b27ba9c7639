// The field of a setting, by the type of the setting: what is shown, what is typed, and what the API gets of it.
//
// Each has an `element`, `value`, and `input(path)`: where an error at `path` belongs, if anywhere here.

import { h } from './dom.js';
import { HeadersField } from './headers.js';
import { words } from './schema.js';

const OWN = 'own';
const PLAIN = { type: 'text', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' };
const WIDE = 20; // characters of an example from which on a text needs the whole width

// Text with `code` between backticks.
const marked = (text) => text.split('`').map((part, index) => (index % 2 ? h('code', {}, part) : part));

function hint(setting, id) {
  return h('p', { class: 'hint', id }, marked(setting.brief), setting.rest && h('span', { class: 'rest' }, ' ', marked(setting.rest)));
}

class Field {
  constructor(setting, control, ...classes) {
    this.setting = setting;
    this.path = setting.path;
    this.control = control;
    const id = `f-${setting.path}`;
    const described = { id, name: setting.path, 'data-path': setting.path, 'aria-describedby': `${id}-hint ${id}-error` };
    for (const [name, value] of Object.entries(described)) control.setAttribute(name, value);
    if (setting.isRequired) control.setAttribute('required', '');
    this.error = h('p', { class: 'error', id: `${id}-error` });
    control.addEventListener('input', () => {
      control.removeAttribute('aria-invalid');
      this.error.textContent = this.#typed();
    });
    this.element = h('div', { class: ['field', ...classes].join(' ') }, this.labelled(id), hint(setting, `${id}-hint`), this.error);
  }

  labelled(id) {
    return [h('label', { for: id }, this.setting.label), this.control];
  }

  get text() { return this.control.value.trim(); }

  // An error within the value, or at what holds it, belongs here too.
  input(path) {
    return path === this.path || path.startsWith(`${this.path}.`) || this.path.startsWith(`${path}.`) ? this.control : undefined;
  }

  // A hint while typing; the gateway alone validates.
  #typed() {
    const { pattern, message } = this.setting.node['x-typed'] ?? {};
    return pattern && this.text && !new RegExp(pattern, 'u').test(this.text) ? message : '';
  }
}

// A secret is not shown while it is typed.
const HIDDEN = { ...PLAIN, type: 'password', autocomplete: 'new-password' };
const textOf = (setting) => h('input', { ...(setting.node.writeOnly ? HIDDEN : PLAIN), placeholder: setting.example });

class TextField extends Field {
  constructor(setting, value) {
    super(setting, textOf(setting), setting.example.length > WIDE ? 'wide' : '');
    this.control.value = value ?? '';
  }

  get value() { return this.setting.isNullable && !this.text ? null : this.text; }
}

// A number, or one of some words.
class NumberOrWordField extends TextField {
  get value() { return this.text === '' || Number.isNaN(Number(this.text)) ? super.value : Number(this.text); }
}

class NumberField extends Field {
  constructor(setting, value) {
    const { type, minimum, exclusiveMinimum, maximum } = setting.node;
    const isWhole = type === 'integer';
    super(setting, h('input', {
      type: 'number', min: minimum ?? exclusiveMinimum, max: maximum, step: isWhole ? '1' : 'any', inputmode: isWhole ? 'numeric' : 'decimal',
    }));
    this.control.value = value ?? '';
  }

  // Nothing, or what is no number, is sent as null, so that the gateway says what is wrong with it.
  get value() { return this.text === '' ? null : Number(this.text); }
}

class CheckField extends Field {
  constructor(setting, value) {
    super(setting, h('input', { type: 'checkbox' }), 'check', 'wide');
    this.control.checked = Boolean(value);
  }

  labelled(id) { return h('label', { for: id }, this.control, h('span', {}, this.setting.label)); }

  get value() { return this.control.checked; }
}

// One of some values, which may be others than texts.
class SelectField extends Field {
  constructor(setting, value, values) {
    const all = setting.isNullable ? [null, ...values] : values;
    super(setting, h('select', {}, all.map((one) => h('option', { value: String(one) }, one === null ? 'None' : words(String(one))))));
    this.values = all;
    this.control.value = String(value);
  }

  get value() { return this.values.find((one) => String(one) === this.control.value) ?? null; }
}

// Plain values with commas between.
class ListField extends Field {
  constructor(setting, value) {
    super(setting, textOf(setting), 'wide');
    this.control.value = (value ?? []).join(', ');
  }

  get value() {
    const parts = this.text.split(',').map((text) => text.trim()).filter(Boolean);
    if (this.setting.isNullable && !parts.length) return null;
    return this.setting.node.items.type === 'string' ? parts : parts.map((text) => (Number.isNaN(Number(text)) ? text : Number(text)));
  }
}

// A text that has some well-known values, which are selected; any other is typed.
class ChoiceField extends Field {
  constructor(setting, value) {
    const { 'x-choices': choices, 'x-own': own } = setting.node;
    super({ ...setting, label: own, brief: '', rest: '' }, textOf(setting), 'wide');
    const id = `f-${setting.path}-choice`;
    this.choice = h('select', { id, 'aria-describedby': `${id}-hint`, onchange: () => this.#chosen() },
      Object.entries(choices).map(([one, text]) => h('option', { value: one }, text)), h('option', { value: OWN }, own));
    this.own = this.element;
    this.element = [h('div', { class: 'field wide' }, h('label', { for: id }, setting.label), this.choice, hint(setting, `${id}-hint`)), this.own];
    this.control.value = value ?? '';
    this.choice.value = Object.hasOwn(choices, this.control.value) ? this.control.value : OWN;
    this.own.hidden = this.choice.value !== OWN;
  }

  get value() { return this.text; }

  input(path) {
    const found = super.input(path);
    if (found) { this.choice.value = OWN; this.own.hidden = false; }
    return found;
  }

  #chosen() {
    const isOwn = this.choice.value === OWN;
    this.own.hidden = !isOwn;
    this.control.value = isOwn ? '' : this.choice.value;
    if (isOwn) this.control.focus();
  }
}

// Whatever has no field of its own. What is no JSON is sent as text, so that the gateway says what is wrong with it.
class JsonField extends Field {
  constructor(setting, value) {
    super(setting, h('textarea', { rows: '4', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' }), 'wide');
    this.control.value = value === undefined ? '' : JSON.stringify(value, null, 2);
  }

  get value() {
    try { return this.text ? JSON.parse(this.text) : null; } catch { return this.text; }
  }
}

// One of several groups of settings, by a value that chooses it.
class UnionField {
  #kept = new Map(); // what was typed for the variants that are not chosen now
  #parts = h('div', { class: 'grid wide' });

  constructor(setting, value, context) {
    Object.assign(this, { setting, path: setting.path, context });
    const id = `f-${setting.path}`;
    const kinds = [...setting.variants.keys()];
    const all = setting.isNullable && !kinds.includes('none') ? ['', ...kinds] : kinds;
    this.choice = h('select', { id, name: setting.path, 'aria-describedby': `${id}-hint ${id}-error`, onchange: () => this.#arrange() },
      all.map((kind) => h('option', { value: kind }, words(kind || 'none'))));
    this.choice.value = value?.[setting.key] ?? all[0];
    this.#kept.set(this.choice.value, value ?? {});
    this.element = [
      h('div', { class: 'field wide' }, h('label', { for: id }, setting.label), this.choice, hint(setting, `${id}-hint`), h('p', { class: 'error', id: `${id}-error` })),
      this.#parts,
    ];
    this.#arrange();
  }

  get value() {
    const kind = this.choice.value;
    if (!kind) return null;
    const filled = this.fields.filter(({ setting, value }) => setting.isRequired || (value !== null && value !== ''));
    return { [this.setting.key]: kind, ...Object.fromEntries(filled.map((field) => [field.path.slice(this.path.length + 1), field.value])) };
  }

  input(path) {
    const found = this.fields.map((field) => field.input(path)).find(Boolean);
    return found ?? (path === this.path || path.startsWith(`${this.path}.`) ? this.choice : undefined);
  }

  #arrange() {
    if (this.fields) this.#kept.set(this.shown, this.typed);
    this.shown = this.choice.value;
    const kept = this.#kept.get(this.shown) ?? {};
    const settings = this.setting.variants.get(this.shown) ?? [];
    this.fields = settings.map((setting) => fieldOf(setting, kept[setting.path.slice(this.path.length + 1)] ?? setting.node.default, this.context));
    this.#parts.replaceChildren(...this.fields.flatMap((field) => field.element));
    this.#parts.hidden = !this.fields.length;
  }

  get typed() {
    return Object.fromEntries(this.fields.map((field) => [field.path.slice(this.path.length + 1), field.value]));
  }
}

// `context`: what fields need besides their value.
export function fieldOf(setting, value, context) {
  const { node } = setting;
  if (setting.variants) return new UnionField(setting, value, context);
  if (node['x-widget'] === 'headers') return new HeadersField(value, context);
  if (node['x-choices']) return new ChoiceField(setting, value);
  if (node.enum) return new SelectField(setting, value, node.enum);
  if (node.type === 'boolean') return setting.isNullable ? new SelectField(setting, value, [true, false]) : new CheckField(setting, value);
  if (node.type === 'integer' || node.type === 'number') return new NumberField(setting, value);
  if (node.anyOf?.every((one) => one.type === 'number' || one.const)) return new NumberOrWordField(setting, value);
  if (node.type === 'string') return new TextField(setting, value);
  if (node.type === 'array' && ['string', 'integer', 'number'].includes(node.items?.type)) return new ListField(setting, value);
  return new JsonField(setting, value);
}
