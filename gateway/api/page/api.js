// The REST API. The token lives in the session of this tab alone and travels in a header, never in an address.

const KEY = 'breakwater-token';
const BASE = '/api/gateway';

export const session = {
  get token() { return sessionStorage.getItem(KEY) ?? ''; },
  begin(token) { sessionStorage.setItem(KEY, token); },
  end() { sessionStorage.removeItem(KEY); },
};

export class Refused extends Error {
  constructor(status, body) {
    super(body?.details ?? `The gateway responded with ${status}`);
    this.status = status;
    this.body = body ?? {};
    this.code = this.body.code ?? '';
    this.fields = this.body.fields ?? [];
  }
}

export const lost = new EventTarget(); // 'session': a token that is not good any more

export function open(path, options = {}) {
  const headers = { ...options.headers };
  if (session.token) headers.Authorization = `Bearer ${session.token}`;
  return fetch(BASE + path, { ...options, headers, cache: 'no-store' });
}

export async function call(method, path, body, version) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (version !== undefined) headers['If-Match'] = `"${version}"`;
  let answer;
  try {
    answer = await open(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused(0, { details: 'The gateway cannot be reached; the result of this request is unknown' });
  }
  const text = await answer.text();
  let parsed = null;
  try { parsed = text ? JSON.parse(text) : null; } catch { /* not ours: the status has to do */ }
  if (!answer.ok) {
    const refused = new Refused(answer.status, parsed);
    if (answer.status === 401 && session.token) lost.dispatchEvent(new Event('session'));
    throw refused;
  }
  return parsed;
}

export const proxyPath = (name, rest = '') => `/proxies/${encodeURIComponent(name)}${rest}`;
