// Dialogs: the browser keeps the focus inside and puts it back.

import { h } from './dom.js';
import { Refused } from './api.js';

let numbers = 0;
const stack = []; // what is open, the topmost last

// `build(close, leave)` gives the content. Resolves with what was given to `close`.
// To leave is to close it without a result: by its cross, Escape or the way back, and only when `mayLeave` agrees.
export function dialog(kind, title, build, mayLeave = () => true) {
  const id = `dialog-${(numbers += 1)}`;
  let done;
  const closed = new Promise((resolve) => { done = resolve; });
  let result;
  const close = (value) => { result = value; element.close(); };
  const leave = async () => {
    if (!await mayLeave()) return false;
    close();
    await closed;
    return true;
  };
  const escape = (event) => { event.preventDefault(); leave(); };
  const heading = h('h2', { id, tabindex: '-1' }, title);
  const element = h(
    'dialog', { class: kind, 'aria-labelledby': id, oncancel: escape },
    h('header', {}, heading, h('button', { type: 'button', class: 'quiet icon', 'aria-label': 'Close', onclick: leave }, '✕')),
  );
  // The browser closes the dialog on a second Escape in a row, even when `cancel` was prevented.
  element.addEventListener('keydown', (event) => { if (event.key === 'Escape') escape(event); });
  const entry = { element, leave };
  element.addEventListener('close', () => { stack.splice(stack.indexOf(entry), 1); element.remove(); done(result); });
  element.append(...[build(close, leave)].flat());
  document.body.append(element);
  stack.push(entry);
  element.showModal();
  if (kind.startsWith('drawer')) heading.focus();
  return closed;
}

export function closeAll() {
  stack.forEach(({ element }) => element.close());
}

// False when the user wants to stay.
export async function leaveAll() {
  while (stack.length) if (!await stack.at(-1).leave()) return false;
  return true;
}

// A confirmation of an action that has consequences. With `word`, that has to be typed first.
export function confirm({ title, text, action, word = '', danger = false }) {
  return dialog('box', title, (close) => {
    const typed = word && h('input', { id: 'confirm-word', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' });
    const go = h('button', { type: 'submit', class: danger ? 'danger' : 'primary', disabled: Boolean(word) }, action);
    if (typed) typed.addEventListener('input', () => { go.disabled = typed.value !== word; });
    const submit = (event) => { event.preventDefault(); if (!go.disabled) close(true); };
    return h(
      'form', { onsubmit: submit, class: 'stack' },
      ...text.map((line) => (typeof line === 'string' ? h('p', {}, line) : line)),
      typed && h('div', { class: 'field' }, h('label', { for: 'confirm-word' }, 'Type ', h('strong', {}, word), ' to confirm'), typed),
      h('div', { class: 'actions' }, h('button', { type: 'button', onclick: () => close(false) }, 'Cancel'), go),
    );
  });
}

// Does what may be refused, and shows why it was.
export async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await confirm({ title: 'It was refused', text: [`${error.message}.`], action: 'Good' });
  }
}

const FATE = {
  kept: 'stays', made: 'is made', replaced: 'is replaced', resized: 'is resized', reset: 'starts again', dropped: 'is dropped', none: '',
};

// What a change touches, in sentences.
export function impact(told) {
  const routes = told.routes.map((route) => `Route ${route.host || '*'}${route.path} (${route.proxy}): ${route.change}`);
  const parts = told.upstreams.map((upstream) => {
    const fates = ['breaker', 'limiter', 'pool'].flatMap((part) => (FATE[upstream[part]] === '' ? [] : [`${part} ${FATE[upstream[part]] ?? upstream[part]}`]));
    return `${upstream.proxy}: ${fates.join(', ') || 'nothing that lives on is touched'}`;
  });
  const streams = told.streams
    ? `${told.streams} live ${told.streams === 1 ? 'exchange goes' : 'exchanges go'} on under the old settings to the end`
    : 'No live exchange is touched';
  const lines = routes.length + parts.length ? [...routes, ...parts, streams] : ['It changes nothing'];
  return h('ul', { class: 'impact' }, lines.map((line) => h('li', {}, line)));
}
