// What happened to one request: in a sentence, and where its time went.

import { h, say } from './dom.js';
import { Refused, call } from './api.js';
import { dialog } from './dialog.js';
import { protocols, sentence, seconds } from './format.js';

const WHOSE = { downstream: 'the client', gateway: 'the gateway', upstream: 'the upstream' };

export const whose = (source) => `The cause lies with ${WHOSE[source]}.`;

// Requested once, when it is needed. `ts`: of the log line that is meant, since callers may use an id twice.
export function told(id, ts) {
  const text = h('p', {}, 'Asking the gateway …');
  const element = h('div', { class: 'stack tight', 'aria-busy': 'true' }, text);
  fill(element, text, id, ts).finally(() => element.removeAttribute('aria-busy'));
  return element;
}

async function fill(element, text, id, ts) {
  try {
    const found = await call('GET', `/requests/${encodeURIComponent(id)}`);
    if (ts !== undefined && found.request.ts !== ts) { say(text, 'A newer request came with the same id, so the way of this one is not known any more.'); return; }
    say(text, sentence(found.sentence));
    if (ts === undefined && found.reason) element.append(h('p', { class: 'muted' }, `${found.reason.meaning}. ${whose(found.reason.source)}`));
    if (ts === undefined && protocols(found.request)) element.append(h('p', { class: 'muted' }, `${protocols(found.request)}.`));
    if (found.way.length) element.append(way(found.way));
    if (ts === undefined && found.reason) element.append(h('p', { class: 'muted' }, `Read more: ${found.reason.page}`));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(text, error.status === 404 ? 'The gateway no longer remembers this request; its line in the access log has the rest.' : `It cannot be shown now: ${error.message}.`);
  }
}

function way(steps) {
  const longest = Math.max(...steps.map((step) => step.ms));
  const bar = (ms) => {
    const part = h('span', { class: 'way-bar' });
    part.style.transform = `scaleX(${(ms / longest).toFixed(4)})`;
    return h('span', { class: 'way-track', 'aria-hidden': 'true' }, part);
  };
  const step = ({ ms, meaning }) => h('div', {}, h('dt', {}, meaning), h('dd', {}, bar(ms), h('span', { class: 'way-time' }, seconds(ms / 1000))));
  return h('dl', { class: 'way' }, steps.map(step));
}

// An id that opens what is known of its request.
export function requestLink(id) {
  const show = () => dialog('box', 'One request', () => h('div', { class: 'stack tight' }, h('p', { class: 'where' }, id), told(id)));
  return h('button', { type: 'button', class: 'id', 'aria-label': `Request ${id}`, onclick: show }, id);
}
