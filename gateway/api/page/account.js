// The current logins, and the password of the superuser who is logged in here.

import { announce, h, keep, say } from './dom.js';
import { Refused, call } from './api.js';
import { confirm } from './dialog.js';
import { plural, sentence } from './format.js';

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });
const date = (text) => h('time', { datetime: text }, DATE.format(new Date(text)));

export class Account {
  #list = h('ul', { class: 'refusals sessions' });
  #sum = h('p', { class: 'muted sum' });
  #error = h('p', { class: 'error', role: 'alert' });
  #current = this.#field('password-current', 'current-password');
  #fresh = this.#field('password-new', 'new-password');
  #again = this.#field('password-again', 'new-password');
  #change = h('button', { type: 'submit', class: 'primary' }, 'Change password');
  #told = h('p', { class: 'muted', role: 'status' });

  constructor() {
    this.element = h(
      'section', { 'aria-labelledby': 'account-title', class: 'stack' },
      h('div', { class: 'top' }, h('div', {}, h('h1', { id: 'account-title' }, 'Account'), this.#sum)),
      h('section', { 'aria-labelledby': 'sessions-title' }, h('h2', { id: 'sessions-title' }, 'Logins'), this.#list, this.#error),
      h('section', { 'aria-labelledby': 'password-title' }, h('h2', { id: 'password-title' }, 'Your password'),
        h('form', { class: 'stack password', onsubmit: (event) => this.#submit(event), method: 'post' },
          this.#labelled('Current password', this.#current),
          this.#labelled('New password', this.#fresh, 'At least 10 characters. Your other logins end.'),
          this.#labelled('New password again', this.#again),
          this.#told, h('div', { class: 'actions' }, this.#change))),
    );
  }

  async load() {
    try {
      const { items } = await call('GET', '/sessions');
      say(this.#sum, plural(items.length, 'login is good now', 'logins are good now'));
      keep(this.#list, items.map((item) => [item.id, item]), (item) => this.#row(item));
      say(this.#error, '');
    } catch (error) {
      this.#refused(error, this.#error);
    }
  }

  #row(item) {
    const end = item.current
      ? h('span', { class: 'muted' }, 'this one')
      : h('button', { type: 'button', 'aria-label': `End the login of ${item.email} from ${item.client ?? 'an unknown address'}`, onclick: () => this.#end(item) }, 'End');
    return h('li', {},
      h('span', { class: 'who' }, item.email),
      h('span', { class: 'muted' }, item.client ?? '–'),
      h('span', { class: 'muted' }, 'since ', date(item.created)),
      h('span', { class: 'muted' }, 'until ', date(item.expires_at)),
      end);
  }

  async #end(item) {
    const text = [`It came from ${item.client ?? 'an unknown address'}. Its holder must log in again.`];
    if (!await confirm({ title: `End this login of ${item.email}?`, text, action: 'End it', danger: true })) return;
    try {
      await call('DELETE', `/sessions/${encodeURIComponent(item.id)}`);
      announce(`The login of ${item.email} is ended`);
    } catch (error) {
      this.#refused(error, this.#error);
    }
    await this.load();
  }

  async #submit(event) {
    event.preventDefault();
    say(this.#told, '');
    if (this.#fresh.value !== this.#again.value) { say(this.#told, 'The two new passwords differ.'); this.#again.focus(); return; }
    this.#change.disabled = true;
    try {
      await call('POST', '/auth/password', { current: this.#current.value, password: this.#fresh.value });
      for (const input of [this.#current, this.#fresh, this.#again]) input.value = '';
      say(this.#told, 'The password is changed; your other logins have ended.');
      await this.load();
    } catch (error) {
      this.#refused(error, this.#told);
    } finally {
      this.#change.disabled = false;
    }
  }

  #refused(error, place) {
    if (!(error instanceof Refused)) throw error;
    const first = error.fields[0];
    const text = { current: `the current password ${first?.message}`, password: first?.message }[first?.path];
    say(place, text ? sentence(text) : `${error.message}.`);
  }

  #field(id, autocomplete) {
    return h('input', { id, type: 'password', autocomplete, required: true });
  }

  #labelled(label, input, hint = '') {
    const id = `${input.id}-hint`;
    if (hint) input.setAttribute('aria-describedby', id);
    return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, hint && h('p', { class: 'hint muted', id }, hint));
  }
}
