// Create and edit a proxy. Hints are given while typing; the gateway validates, and errors are shown at the field.

import { h, announce } from './dom.js';
import { Refused, call, proxyPath } from './api.js';
import { confirm, dialog, impact } from './dialog.js';
import { AuthPanel, HeaderRows } from './headers.js';
import { FRESH, LISTS, MODES, RULES, differences, get, put, settingsOf, shown, splitAuth, joinAuth } from './settings.js';

const CUSTOM = 'custom';

const hints = {
  name: (value) => value && !/^[A-Za-z0-9_.-]{1,64}$/.test(value) && 'Letters, digits, _ . and - only, 64 at most',
  path: (value) => value && !value.startsWith('/') && 'Begin with a slash',
  upstream: (value) => value && !/^https?:\/\/[^/@]+/.test(value) && 'Begin with http:// or https://, then the host',
};

class Form {
  #inputs = new Map(); // path -> input
  #groups = [];
  #summary = h('div', { class: 'summary', role: 'alert', tabindex: '-1' });
  #outcome = h('div', { class: 'outcome', 'aria-live': 'polite' });

  constructor(proxy, secrets, done, leave) {
    this.proxy = proxy;
    this.done = done;
    this.version = proxy?.version;
    this.base = proxy ? settingsOf(proxy) : structuredClone(FRESH);
    const { rest, ...auth } = splitAuth(this.base.headers);
    this.auth = new AuthPanel(auth, secrets);
    this.headers = new HeaderRows(rest);
    this.save = h('button', { type: 'submit', class: 'primary' }, proxy ? 'Save' : 'Create');
    this.element = h(
      'form', { class: 'stack edit', onsubmit: (event) => this.#submit(event), novalidate: true, autocomplete: 'off' },
      this.#summary,
      this.#basics(),
      this.#group('Limit and queue', ['max_concurrent', 'limiter', 'queue'],
        this.#number('max_concurrent', 'Most requests at a time', '0: no limit'),
        this.#number('queue.max_waiting', 'Most that wait', '0: no one waits, 429 at once'),
        this.#number('queue.timeout', 'Longest wait', 'seconds', 'any'),
        this.#mode('limiter.mode', 'Mode of the limit', 'In shadow it counts and logs what it and its queue would refuse, and refuses nothing.'),
        this.#mode('queue.mode', 'Mode of the queue', 'In shadow no one waits, and what the queue would refuse is estimated and counted.')),
      this.#group('Circuit breaker', ['circuit_breaker'],
        this.#check('circuit_breaker.enabled', 'The breaker watches this proxy'),
        this.#number('circuit_breaker.failure_threshold', 'Failures in a row that open it', '1 to 100'),
        this.#number('circuit_breaker.recovery_timeout', 'Refuses for', 'seconds', 'any'),
        this.#number('circuit_breaker.half_open_requests', 'Probes at a time', '1 to 10'),
        this.#mode('circuit_breaker.mode', 'Mode of the breaker', 'In shadow it follows the upstream, counts and logs what it would refuse, and refuses nothing.')),
      this.#group('Timeouts and timing', ['timeout_config', 'server_timing'],
        this.#number('timeout_config.dial', 'Connect', 'seconds', 'any'),
        this.#number('timeout_config.tls_handshake', 'TLS handshake', 'seconds, 0: none', 'any'),
        this.#number('timeout_config.response_header', 'Start of the response', 'seconds, 0: none', 'any'),
        this.#number('timeout_config.body_idle', 'Silence within the response', 'seconds, 0: none', 'any'),
        this.#number('timeout_config.idle', 'Keep unused connections', 'seconds, 0: forever', 'any'),
        this.#number('timeout_config.max_age', 'Use a connection for', 'seconds, 0: no limit', 'any'),
        this.#number('timeout_config.total', 'The whole exchange', 'seconds, 0: none', 'any'),
        this.#check('server_timing', 'Show callers where the time went, in a Server-Timing field')),
      this.#group('Browsers', ['rewrite_location', 'cors'],
        this.#text('cors.allow_origins', 'Pages that may read refusals', 'origins with commas between, as in https://app.example.org; empty: none', 'wide'),
        this.#text('cors.expose_headers', 'Header fields that they may read', 'with commas between', 'wide'),
        this.#check('cors.allow_credentials', 'Also for requests with cookies'),
        this.#check('rewrite_location', 'Translate locations and cookies of the upstream for callers')),
      this.#group('Login at the upstream, headers', ['headers', 'clear_text_proxy'], this.auth.element, this.headers.element,
        this.#check('clear_text_proxy', 'A forward proxy (http_proxy) may read the secrets in the headers')),
      this.#outcome,
      h('div', { class: 'actions sticky' },
        h('button', { type: 'button', onclick: () => this.#check_() }, 'Check'),
        h('span', { class: 'space' }),
        h('button', { type: 'button', onclick: leave }, 'Cancel'), this.save),
    );
    this.#fill(this.base);
    this.untouched = this.#text_();
  }

  get isTouched() { return this.#text_() !== this.untouched; }

  #text_() { return JSON.stringify([this.#settings(), this.auth.value]); }

  #basics() {
    const rule = h('select', { id: 'f-rule', onchange: () => this.#ruleChosen() }, RULES.map(([value, label]) => h('option', { value }, label)), h('option', { value: CUSTOM }, 'A rule of your own'));
    this.rule = rule;
    this.ownRule = this.#text('access_rule', 'The rule', "as in @request.auth.role = 'admin'");
    return h('fieldset', { class: 'plain grid' },
      h('legend', { class: 'unseen' }, 'Basics'),
      this.#text('name', 'Name', 'in logs and metrics', 'required'),
      this.#text('path', 'Path', 'the longest prefix wins', 'required'),
      this.#text('upstream', 'Upstream', 'as in http://127.0.0.1:9000/base', 'required', 'wide'),
      this.#text('hosts', 'Hosts', 'with commas between; empty: every host', 'wide'),
      h('div', { class: 'field wide' }, h('label', { for: 'f-rule' }, 'Who may pass'), rule), this.ownRule,
      this.#check('active', 'Switched on'), this.#check('strip_path', 'Remove the prefix before forwarding'), this.#check('preserve_host', "Forward the caller's Host"));
  }

  #group(title, paths, ...content) {
    const group = h('details', { class: 'group' }, h('summary', {}, title), h('div', { class: 'grid' }, content));
    this.#groups.push([paths, group]);
    return group;
  }

  #field(path, label, hint, input, ...classes) {
    const id = `f-${path}`;
    for (const [name, value] of Object.entries({ id, name: path, 'data-path': path, 'aria-describedby': `${id}-hint ${id}-error` })) input.setAttribute(name, value);
    if (classes.includes('required')) input.setAttribute('required', '');
    this.#inputs.set(path, input);
    const error = h('p', { class: 'error', id: `${id}-error` });
    input.addEventListener('input', () => {
      input.removeAttribute('aria-invalid');
      error.textContent = hints[path]?.(input.value.trim()) || '';
    });
    return h('div', { class: `field ${classes.join(' ')}` }, h('label', { for: id }, label), input, h('p', { class: 'hint', id: `${id}-hint` }, hint), error);
  }

  #text(path, label, hint, ...classes) {
    return this.#field(path, label, hint, h('input', { type: 'text', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' }), ...classes);
  }

  #number(path, label, hint, step = '1') {
    return this.#field(path, label, hint, h('input', { type: 'number', min: '0', step, inputmode: step === '1' ? 'numeric' : 'decimal' }));
  }

  #mode(path, label, hint) {
    return this.#field(path, label, hint, h('select', {}, MODES.map(([value, text]) => h('option', { value }, text))));
  }

  #check(path, label) {
    const id = `f-${path}`;
    const input = h('input', { type: 'checkbox', id, 'data-path': path, 'aria-describedby': `${id}-error` });
    this.#inputs.set(path, input);
    return h('div', { class: 'field check wide' }, h('label', { for: id }, input, h('span', {}, label)), h('p', { class: 'error', id: `${id}-error` }));
  }

  #fill(settings) {
    for (const [path, input] of this.#inputs) {
      const value = get(settings, path);
      if (input.type === 'checkbox') input.checked = Boolean(value);
      else input.value = LISTS.includes(path) ? (value ?? []).join(', ') : String(value ?? '');
    }
    this.rule.value = RULES.some(([value]) => value === settings.access_rule) ? settings.access_rule : CUSTOM;
    this.ownRule.hidden = this.rule.value !== CUSTOM;
  }

  #ruleChosen() {
    const own = this.rule.value === CUSTOM;
    this.ownRule.hidden = !own;
    const input = this.#inputs.get('access_rule');
    input.value = own ? '' : this.rule.value;
    if (own) input.focus();
  }

  // What is in the fields. An invalid number is sent as text, so that the gateway says what is wrong with it.
  #settings(withNewSecret = true) {
    const made = structuredClone(this.base);
    for (const [path, input] of this.#inputs) {
      if (input.type === 'checkbox') put(made, path, input.checked);
      else if (input.type === 'number') put(made, path, input.value.trim() === '' ? null : Number(input.value));
      else if (LISTS.includes(path)) put(made, path, input.value.split(',').map((text) => text.trim()).filter(Boolean));
      else put(made, path, input.value.trim());
    }
    const auth = this.auth.value;
    made.headers = auth.isNew && !withNewSecret ? this.headers.value : joinAuth(auth, this.headers.value);
    return made;
  }

  async #check_() {
    this.#clear();
    try {
      const settings = this.#settings(false);
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
      await this.auth.store(settings.upstream);
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
    const input = path.startsWith('headers.') ? this.headers.input(path.slice(8)) ?? this.auth.input(path.slice(8))
      : this.#inputs.get(path) ?? [...this.#inputs].find(([known]) => known.startsWith(`${path}.`) || path.startsWith(`${known}.`))?.[1];
    if (!input) return false;
    for (const [paths, group] of this.#groups) if (paths.some((start) => path.startsWith(start))) group.open = true;
    if (path === 'access_rule') { this.rule.value = CUSTOM; this.ownRule.hidden = false; }
    input.setAttribute('aria-invalid', 'true');
    const place = input.closest('.field').querySelector('.error');
    place.textContent = place.textContent ? `${place.textContent}; ${message}` : message;
    return true;
  }

  #conflict(current) {
    const theirs = settingsOf(current);
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

// An accidental key or click must not lose the input.
async function mayLeave(form) {
  const text = ['What you changed here is not saved.'];
  return !form.isTouched || confirm({ title: 'Leave without saving?', text, action: 'Leave', danger: true });
}

// Resolves with the proxy that was saved, or nothing.
export async function edit(proxy) {
  const { items } = await call('GET', '/secrets');
  const secrets = items.map((secret) => secret.key);
  for (let shownProxy = proxy; ;) {
    const title = proxy ? `Edit ${proxy.name}` : 'New proxy';
    const current = shownProxy;
    let form;
    const build = (close, leave) => { form = new Form(current, secrets, close, leave); return form.element; };
    const result = await dialog('drawer wide', title, build, () => mayLeave(form));
    if (!result?.reload) return result;
    shownProxy = result.reload;
  }
}
