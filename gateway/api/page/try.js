// One action: what it is, a form for its input, and what a call or a dry run of it gives.

import { announce, h } from './dom.js';
import { Refused, call } from './api.js';
import { fieldOf } from './fields.js';
import { plural, seconds } from './format.js';
import { requestLink } from './request.js';
import { inputSettings } from './schema.js';

const MOST_SHOWN = 100_000; // characters of a body; more would make the page slow

class Trial {
  #fields;
  #summary = h('div', { class: 'summary', role: 'alert', tabindex: '-1' });
  #result = h('section', { class: 'stack result', 'aria-live': 'polite' });

  constructor(action, tenant) {
    this.action = action;
    this.path = `/actions/${encodeURIComponent(action.trn)}/execute?tenant=${encodeURIComponent(tenant)}`;
    this.#fields = inputSettings(action.input_schema).map((setting) => fieldOf(setting, undefined, { secrets: [] }));
    this.buttons = [
      h('button', { type: 'button', onclick: () => this.#run(true) }, 'Show the request'),
      h('button', { type: 'submit', class: 'primary' }, 'Call'),
    ];
    this.form = h(
      'form', { class: 'stack explained', novalidate: true, autocomplete: 'off', onsubmit: (event) => { event.preventDefault(); this.#run(false); } },
      this.#summary,
      this.#fields.length
        ? h('fieldset', { class: 'plain grid' }, h('legend', { class: 'unseen' }, 'Input'), this.#fields.flatMap((field) => field.element))
        : h('p', { class: 'muted' }, 'It takes no input.'),
      h('div', { class: 'actions' }, this.buttons));
    this.element = h('div', { class: 'stack' },
      h('div', { class: 'lead' }, h('p', { class: 'where' }, `${action.method} ${action.path}`), action.description && h('p', {}, action.description),
        h('p', { class: 'muted' }, `It takes at most ${seconds(action.seconds)}. Logs, metrics and explanations name it ${action.explained_as}.`)),
      this.form, this.#result);
  }

  get #input() {
    const filled = this.#fields.filter((field) => field.setting.isRequired || field.value !== null);
    return Object.fromEntries(filled.map((field) => [field.path, field.value]));
  }

  async #run(isDry) {
    this.#clear();
    for (const button of this.buttons) button.disabled = true;
    this.#result.replaceChildren(h('p', { class: 'muted' }, isDry ? 'Making the request …' : 'Waiting for the response …'));
    try {
      const called = await call('POST', this.path, { input: this.#input, options: { dry_run: isDry } });
      this.#result.replaceChildren(...(isDry ? planned(called.request) : response(called)));
      announce(isDry ? 'The request is shown' : `The response has status ${called.status}`);
    } catch (error) {
      this.#result.replaceChildren();
      this.#refused(error);
    } finally {
      for (const button of this.buttons) button.disabled = false;
    }
  }

  #clear() {
    this.#summary.replaceChildren();
    for (const element of this.form.querySelectorAll('[aria-invalid]')) element.removeAttribute('aria-invalid');
    for (const element of this.form.querySelectorAll('p.error')) element.textContent = '';
  }

  #refused(error) {
    if (!(error instanceof Refused)) throw error;
    const elsewhere = error.fields.filter(({ path, message }) => {
      const input = this.#fields.map((field) => field.input(path)).find(Boolean);
      if (!input) return true;
      input.setAttribute('aria-invalid', 'true');
      input.closest('.field').querySelector('.error').textContent = message;
      return false;
    });
    const again = error.body.retry_after ? ` Try again in ${error.body.retry_after} s.` : '';
    this.#summary.replaceChildren(h('p', {}, `${error.message}.${again}`), ...elsewhere.map(({ path, message }) => h('p', {}, `${path}: ${message}`)));
    (this.form.querySelector('[aria-invalid]') ?? this.#summary).focus();
  }
}

const code = (text) => h('pre', { class: 'code', tabindex: '0' }, text);

function table(titles, rows) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Header fields' }, h('table', {},
    h('thead', {}, h('tr', {}, titles.map((title) => h('th', { scope: 'col' }, title)))),
    h('tbody', {}, rows.map(([name, ...rest]) => h('tr', {}, h('th', { scope: 'row' }, name), rest.map((text) => h('td', {}, text)))))));
}

// What would be sent, without secrets.
function planned({ method, url, headers, body, warnings }) {
  return [
    h('h3', {}, 'This would be sent'),
    ...warnings.map((warning) => h('p', { class: 'note' }, warning)),
    code(`${method} ${url}`),
    table(['Field', 'Value', 'From'], headers.map(({ name, value, layer }) => [name, value, layer])),
    ...(body ? [code(body)] : []),
  ];
}

function response(called) {
  const { status, headers, body, body_encoding: encoding, attempts, execution_time_ms: ms, request_id: id } = called;
  const kind = status < 400 ? 'good' : status < 500 ? 'warn' : 'bad';
  return [
    h('h3', {}, 'The response'),
    h('p', { class: 'now' },
      h('span', { class: 'badge', 'data-kind': kind }, h('span', { class: 'badge-mark', 'aria-hidden': 'true' }), h('span', {}, `Status ${status}`)),
      h('span', {}, `${seconds(ms / 1000)}, ${plural(attempts, 'attempt')}`), requestLink(id)),
    h('details', { class: 'group' }, h('summary', {}, plural(headers.length, 'header field')), table(['Field', 'Value'], headers)),
    ...shownBody(body, encoding),
  ];
}

function shownBody(body, encoding) {
  if (encoding === 'base64') return [h('p', { class: 'muted' }, 'The body is not text.'), saved(Uint8Array.from(atob(body), (byte) => byte.codePointAt(0)))];
  const text = encoding === 'json' ? JSON.stringify(body, null, 2) : body;
  if (!text) return [h('p', { class: 'muted' }, 'The body is empty.')];
  if (text.length <= MOST_SHOWN) return [code(text)];
  return [code(text.slice(0, MOST_SHOWN)), h('p', { class: 'note' }, 'The rest of the body is not shown.'), saved(text)];
}

// A button that saves the body as a file.
function saved(content) {
  const save = () => {
    const link = h('a', { href: URL.createObjectURL(new Blob([content])), download: 'body' });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return h('div', { class: 'actions' }, h('button', { type: 'button', onclick: save }, 'Save the body'));
}

export const trial = (action, tenant) => new Trial(action, tenant).element;
