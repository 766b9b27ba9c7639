// Building the document without a single string of markup: text of callers can never become an element.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

export const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export const byId = (id) => document.getElementById(id);

// Writes only what differs, so that a tick costs next to nothing and no selection is lost.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// For screen readers: changes of state, never each tick.
export function announce(text) {
  byId('told').textContent = text;
}

// Rows for `items`, as pairs of a key and what `make` makes one of: an item that stays keeps its row, with what is open
// in it. Keys may repeat: callers choose the ids of their requests.
export function keep(list, items, make) {
  const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const seen = new Map();
  const rows = items.map(([key, item]) => {
    seen.set(key, (seen.get(key) ?? 0) + 1);
    const unique = `${key} ${seen.get(key)}`;
    const row = old.get(unique) ?? make(item);
    row.dataset.key = unique;
    return row;
  });
  if (rows.length === list.children.length && rows.every((row, index) => row === list.children[index])) return;
  const focused = document.activeElement;
  list.replaceChildren(...rows);
  if (list.contains(focused)) focused.focus({ preventScroll: true });
}
