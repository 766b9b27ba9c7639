// What the form edits: proxies, connections and actions, and where the API has them.

import { proxyPath } from './api.js';
import { impact } from './dialog.js';
import { h } from './dom.js';
import { callSchema, foreignSchema, proxySchema, words } from './schema.js';

// `record`: as the API lists it. `stored`: what the API gives when it was saved, or when another user has changed it.
export const PROXY = {
  noun: 'proxy',
  schema: proxySchema,
  path: (record, isDry) => `${record ? proxyPath(record.name) : '/proxies'}${isDry ? '?dry_run=true' : ''}`,
  fresh: (schema) => structuredClone(schema.fresh),
  settings: (record, schema) => schema.settingsOf(record),
  version: (record) => record?.version,
  name: (record) => record.name,
  record: (stored) => stored,
  effect: (answer) => impact(answer.impact),
};

// The connectors that come with the gateway, and the schemas of the API for what they have.
export const CONNECTORS = { http: 'HTTP', mcp: 'MCP', sql: 'SQL', redis: 'Redis', mongodb: 'MongoDB' };

function schemaOf(noun, kind = 'http') {
  const record = noun === 'connection' ? 'Connection' : 'Action';
  if (!Object.hasOwn(CONNECTORS, kind)) return foreignSchema(`New${record}`, kind);
  return callSchema(`New${['http', 'mcp'].includes(kind) ? '' : words(kind)}${record}`);
}

// A connection or an action of `tenant`. `given`: what a new one has from the start, with its kind.
export function called(noun, tenant, given = {}) {
  const base = `/${noun}s`;
  const query = `?tenant=${encodeURIComponent(tenant)}`;
  return {
    noun,
    schema: () => schemaOf(noun, given.kind),
    path: (record, isDry) => `${base}${record ? `/${encodeURIComponent(record.trn)}` : ''}${query}${isDry ? '&dry_run=true' : ''}`,
    fresh: () => ({ ...given }),
    settings: (record) => Object.fromEntries(Object.entries(record.record.settings).filter(([key]) => key !== 'tenant')),
    version: (record) => record?.record.version,
    name: (record) => record.record.settings.name,
    record: (stored) => stored,
    effect: ({ changes }) => h('ul', { class: 'impact' }, h('li', {}, changes.length ? `It sets ${changes.join(', ')}` : 'It changes nothing')),
  };
}
