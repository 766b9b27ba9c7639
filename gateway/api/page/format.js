// Numbers for people, always of about the same width.

const NONE = '–';

export function rate(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return '0';
  if (value < 10) return value.toFixed(1);
  return count(Math.round(value));
}

export function count(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 10000) return String(value);
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)}k`;
  return `${(value / 1e6).toFixed(1)}M`;
}

export function seconds(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 0.01) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ['B/s', 'kB/s', 'MB/s', 'GB/s'];
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < units.length - 1) { rest /= 1000; unit += 1; }
  return `${rest < 10 && unit ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export const clock = (epoch) => CLOCK.format(new Date(epoch * 1000));

export function ago(epoch, now) {
  const past = Math.max(0, Math.round(now - epoch));
  if (past < 60) return `${past} s`;
  if (past < 3600) return `${Math.floor(past / 60)} min`;
  return `${Math.floor(past / 3600)} h`;
}

// The gateway's explanations begin without a capital and end without a full stop.
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

// The versions of HTTP of both sides; a request that was refused has none at the upstream's.
export const protocols = ({ protocol, upstream_protocol: to }) => (protocol ? `HTTP/${protocol} from the client${to ? `, HTTP/${to} to the upstream` : ''}` : '');

export const plural = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

export const percent = (share) => `${Number((share * 100).toPrecision(3))} %`;
