// A proxy's settings as the fields of a form, and back.

// The protections in shadow mode. A queue has no more power than the limit that it belongs to.
export function shadows({ max_concurrent: most, limiter, queue, rate_limits: rates, circuit_breaker: breaker, stream, retries, hedge, health, ejection, capacity }) {
  const isLimited = most > 0 || Boolean(limiter.adaptive);
  const inShadow = {
    rates: rates.some(({ mode }) => mode === 'shadow'),
    limit: isLimited && limiter.mode === 'shadow',
    queue: isLimited && queue.max_waiting > 0 && [limiter.mode, queue.mode].includes('shadow'),
    breaker: breaker.enabled && breaker.mode === 'shadow',
    retries: retries.attempts > 1 && retries.mode === 'shadow',
    hedge: hedge.after !== 0 && hedge.mode === 'shadow',
    checks: health.enabled && health.mode === 'shadow',
    ejection: ejection.enabled && ejection.mode === 'shadow',
    reports: capacity.enabled && capacity.mode === 'shadow',
    stream: (stream.first_event > 0 || stream.event_gap > 0) && stream.mode === 'shadow',
  };
  return Object.keys(inShadow).filter((part) => inShadow[part]);
}

export const get = (object, path) => path.split('.').reduce((part, key) => part?.[key], object);

export function put(object, path, value) {
  const keys = path.split('.');
  const last = keys.pop();
  const place = keys.reduce((part, key) => (part[key] ??= {}), object);
  place[last] = value;
}

const SECRET = /^\{secret\.([A-Za-z_]\w*)\}$/;
const CREDENTIAL = /auth|cookie|key|passw|secret|token/i;

// The headers as a kind of login at the upstream, and the rest of them.
export function splitAuth(headers) {
  const rest = { ...headers };
  for (const [name, value] of Object.entries(headers)) {
    const scheme = name.toLowerCase() === 'authorization' && /^(Bearer|Basic) (\{secret\..+\})$/.exec(value);
    const secret = SECRET.exec(scheme ? scheme[2] : value)?.[1];
    if (!secret || (!scheme && !CREDENTIAL.test(name))) continue;
    delete rest[name];
    return { kind: scheme ? scheme[1].toLowerCase() : 'header', header: name, secret, rest };
  }
  return { kind: 'none', header: '', secret: '', rest };
}

export function joinAuth(auth, rest) {
  const template = `{secret.${auth.secret}}`;
  if (auth.kind === 'none') return rest;
  if (auth.kind === 'header') return { ...rest, [auth.header]: template };
  return { ...rest, Authorization: `${auth.kind === 'bearer' ? 'Bearer' : 'Basic'} ${template}` };
}

// Scheme, host and port of a URL. An invalid one is sent as it is, so that the gateway says what is wrong with it.
export const origin = (url) => (URL.canParse(url) ? new URL(url).origin : url);

export const basicValue = (user, password) => btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${password}`)));

// Every path at which two settings differ, as [path, mine, theirs].
export function differences(mine, theirs, path = '') {
  const keys = [...new Set([...Object.keys(mine ?? {}), ...Object.keys(theirs ?? {})])];
  return keys.flatMap((key) => {
    const [a, b, at] = [mine?.[key], theirs?.[key], path ? `${path}.${key}` : key];
    const plain = (value) => value === null || typeof value !== 'object' || Array.isArray(value);
    if (!plain(a) && !plain(b)) return differences(a, b, at);
    return JSON.stringify(a) === JSON.stringify(b) ? [] : [[at, a, b]];
  });
}

export function shown(value) {
  if (value === undefined) return '(not set)';
  if (typeof value === 'string') return value || '(empty)';
  if (Array.isArray(value)) return value.join(', ') || '(none)';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
