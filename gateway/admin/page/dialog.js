// Dialogs: the browser keeps the focus inside, closes on Escape and puts the focus back.

import { h } from './dom.js';

let numbers = 0;

// `build(close)` gives the content. Resolves with what was given to `close`.
export function dialog(kind, title, build) {
  const id = `dialog-${(numbers += 1)}`;
  return new Promise((done) => {
    let result;
    const close = (value) => { result = value; element.close(); };
    const heading = h('h2', { id, tabindex: '-1' }, title);
    const element = h(
      'dialog', { class: kind, 'aria-labelledby': id },
      h('header', {}, heading, h('button', { type: 'button', class: 'quiet icon', 'aria-label': 'Close', onclick: () => close() }, '✕')),
    );
    element.addEventListener('close', () => { element.remove(); done(result); });
    element.append(...[build(close, element, heading)].flat());
    document.body.append(element);
    element.showModal();
    if (kind === 'drawer') heading.focus();
  });
}

export function closeAll() {
  document.querySelectorAll('dialog[open]').forEach((element) => element.close());
}

// A question whose answer has consequences. With `word`, that has to be typed first.
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

const FATE = {
  kept: 'stays', made: 'is made', replaced: 'is replaced', resized: 'is resized', reset: 'starts anew', dropped: 'is dropped', none: '',
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
