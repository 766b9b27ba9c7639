// The login form.

import { h } from './dom.js';
import { call, session } from './api.js';

export function login(message, done) {
  const email = h('input', { id: 'email', name: 'username', type: 'email', autocomplete: 'username', required: true, spellcheck: 'false' });
  const password = h('input', { id: 'password', name: 'password', type: 'password', autocomplete: 'current-password', required: true });
  const error = h('p', { class: 'error', role: 'alert' }, message);
  const button = h('button', { class: 'primary', type: 'submit' }, 'Log in');
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.textContent = '';
    try {
      const made = await call('POST', '/auth/login', { email: email.value.trim(), password: password.value });
      session.begin(made.token);
      done();
    } catch (refused) {
      error.textContent = `${refused.message}.`;
      password.focus();
      password.select();
    } finally {
      button.disabled = false;
    }
  };
  const form = h(
    'form', { class: 'login stack', onsubmit: submit, method: 'post' },
    h('img', { src: 'icon.svg', alt: '', width: '48', height: '48' }),
    h('div', {}, h('h1', {}, 'Breakwater'), h('p', { class: 'muted' }, 'Log in as a superuser of this gateway.')),
    h('div', { class: 'field' }, h('label', { for: 'email' }, 'Email'), email),
    h('div', { class: 'field' }, h('label', { for: 'password' }, 'Password'), password),
    error,
    button,
  );
  queueMicrotask(() => email.focus());
  return form;
}
