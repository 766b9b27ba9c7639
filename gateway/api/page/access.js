// Whether calls of a connection can authenticate, and the authorization by a person.

import { announce, h, say } from './dom.js';
import { Refused, call } from './api.js';
import { attempt, confirm } from './dialog.js';
import { sentence } from './format.js';
import { badge } from './list.js';

const KINDS = { ready: 'good', expiring_soon: 'good', not_issued: 'off', expired: 'warn', unbound: 'warn', not_authorized: 'bad', misconfigured: 'bad' };
const INTERACTIVE = ['oauth2_authorization_code', 'oauth2_device'];

export const hasTokens = ({ auth }) => auth.startsWith('oauth2_') || auth === 'jwt';

export class Access {
  #badge = badge('off', '');
  #message = h('p', { class: 'muted' });
  #steps = h('div', { class: 'stack tight', 'aria-live': 'polite' });
  #ended = false;
  #timer = 0;

  constructor(connection, tenant) {
    this.connection = connection;
    this.path = (rest) => `/connections/${encodeURIComponent(connection.trn)}/${rest}?tenant=${encodeURIComponent(tenant)}`;
    const authorize = h('button', { type: 'button', class: 'primary', onclick: () => attempt(() => this.#authorize()) }, 'Authorize');
    this.revoke = h('button', { type: 'button', hidden: true, onclick: () => attempt(() => this.#revoke()) }, 'Forget its tokens');
    this.element = h('section', {}, h('h3', {}, 'Access token'),
      h('div', { class: 'stack tight' }, h('p', {}, this.#badge), this.#message, this.#steps,
        h('div', { class: 'actions' }, INTERACTIVE.includes(connection.auth) && authorize, this.revoke)));
  }

  start() { return this.load(); }

  // The drawer is closed: nothing is looked at any more. The authorization itself goes on.
  stop() {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  async load() {
    try {
      const { status, message, has_grant: has } = await call('GET', this.path('status'));
      this.#badge.dataset.kind = KINDS[status] ?? 'off';
      say(this.#badge.lastElementChild, sentence(status.replaceAll('_', ' ')).slice(0, -1));
      say(this.#message, message);
      this.revoke.hidden = !has;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(this.#badge.lastElementChild, 'Not known');
      say(this.#message, `${error.message}.`);
    }
  }

  async #authorize() {
    clearTimeout(this.#timer);
    const begun = await call('POST', this.path('authorize'), {});
    const url = begun.complete_url || begun.url;
    // A link, because browsers block windows that open a while after a click.
    const link = h('a', { href: /^https?:/.test(url) ? url : '#', target: '_blank', rel: 'noopener noreferrer' }, 'Open the page of the provider');
    const code = begun.user_code && h('p', {}, 'Type this code there: ', h('strong', { class: 'number' }, begun.user_code));
    this.#steps.replaceChildren(...[h('p', {}, link), code, h('p', { class: 'muted' }, 'Waiting until you have agreed there …')].filter(Boolean));
    link.focus();
    this.#wait(begun.id, begun.poll_seconds);
  }

  #wait(id, seconds) {
    this.#timer = setTimeout(() => this.#look(id), Math.max(seconds, 1) * 1000);
  }

  async #look(id) {
    try {
      const state = await call('GET', this.path(`authorize/${encodeURIComponent(id)}`));
      if (this.#ended) return;
      if (state.status === 'pending') { this.#wait(id, state.poll_seconds); return; }
      const text = state.status === 'authorized' ? `${this.connection.name} is authorized` : `It failed: ${state.message}`;
      this.#steps.replaceChildren(h('p', { class: state.status === 'authorized' ? '' : 'error' }, `${text}.`));
      announce(text);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#steps.replaceChildren(h('p', { class: 'error' }, `${error.message}.`));
    }
    await this.load();
  }

  async #revoke() {
    const text = ['Calls fail until it is authorized again, or get another token.'];
    if (!await confirm({ title: `Forget the tokens of ${this.connection.name}?`, text, action: 'Forget them', danger: true })) return;
    const { message } = await call('POST', this.path('revoke'), {});
    this.#steps.replaceChildren(h('p', {}, sentence(message.replace(/\.$/, ''))));
    await this.load();
  }
}
