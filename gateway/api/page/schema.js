// The settings of a proxy, a connection or an action, as the JSON Schema of the API describes them. No key is named here: a
// new one has its field.

import { call } from './api.js';
import { get } from './settings.js';

const LAST = 'Other settings'; // the group of plain keys that name none

export const words = (key) => `${key[0].toUpperCase()}${key.slice(1).replaceAll('_', ' ')}`;

// Sentences of a description. The first says what the key is, and those of "0: no limit." what a special value means.
const sentences = (text) => text.split(/(?<=\.)\s+(?=[A-Z0-9`"*])/);
const isSpecial = (sentence) => /^(0|Empty): /.test(sentence);

// `a`, `b` and null of anyOf, as [type without null, whether null is admitted].
function withoutNull(node) {
  const some = node.anyOf?.filter((one) => one.type !== 'null') ?? [];
  const isNullable = some.length > 0 && some.length < node.anyOf.length;
  return some.length === 1 ? [{ ...some[0], ...node, anyOf: undefined }, isNullable] : [node, isNullable];
}

function bounds({ minimum, exclusiveMinimum, maximum, 'x-unit': unit = '' }) {
  const range = [
    exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : minimum !== undefined && maximum === undefined ? `${minimum} or more` : minimum,
    maximum === undefined ? undefined : exclusiveMinimum === undefined && minimum !== undefined ? `to ${maximum}` : `at most ${maximum}`,
  ].filter((part) => part !== undefined);
  return `${range.join(exclusiveMinimum === undefined ? ' ' : ', ')} ${unit}`.trim();
}

// A value in words, or '' for one that says nothing.
export function inWords(value, { 'x-unit': unit = '' } = {}) {
  if (value === undefined || value === null || value === '') return '';
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (Array.isArray(value)) return value.every((one) => typeof one !== 'object') ? value.join(', ') : JSON.stringify(value);
  if (typeof value === 'object') return Object.keys(value).length ? JSON.stringify(value) : '';
  return typeof value === 'number' ? `${value} ${unit}`.trim() : value;
}

// One setting. `path` as the API names it in errors: keys with dots.
class Setting {
  constructor(path, group, node, isRequired) {
    const key = path.slice(path.lastIndexOf('.') + 1);
    [this.node, this.isNullable] = withoutNull(node);
    Object.assign(this, { path, group, isRequired, label: node.title ?? words(key) });
    const { type, enum: values } = this.node;
    const [first = '', ...more] = node.description ? sentences(node.description) : [];
    const isSaid = type === 'boolean' && node.title !== undefined; // the label of the box is a sentence already
    const range = bounds(this.node);
    this.brief = isSaid ? '' : [first, range && `${words(range)}.`, ...more.filter(isSpecial)].filter(Boolean).join(' ');
    const [example] = node.examples ?? [];
    this.example = type === 'boolean' || values || this.node.writeOnly ? '' : inWords(example); // users see all values of these; that of a secret is for the file
    const fallback = inWords(node.default, node);
    this.rest = [
      ...(isSaid ? [first, ...more] : more.filter((sentence) => !isSpecial(sentence))),
      ...(fallback ? [`Default: ${fallback}.`] : []), ...(this.example ? [`Example: \`${this.example}\``] : []),
    ].join(' ');
  }

  // The label of a value that users select, else the value in words.
  say(value) {
    const choices = this.node['x-choices'] ?? {};
    return Object.hasOwn(choices, value) ? choices[value] : inWords(value, this.node);
  }
}

// One setting for each property of an object that this JSON Schema describes; what is optional may stay empty.
export function inputSettings(schema) {
  const { properties = {}, required = [] } = schema ?? {};
  return Object.entries(properties).map(([key, node]) => {
    const setting = new Setting(key, '', node, required.includes(key));
    setting.isNullable ||= !setting.isRequired;
    return setting;
  });
}

class RecordSchema {
  settings = []; // in the order of the schema

  // `schemas`: those of the OpenAPI document, by name. `plain`: the group of keys that name none.
  constructor(schemas, name, { answer, plain = LAST, without = [] } = {}) {
    this.schemas = schemas;
    this.plain = plain;
    const { properties: all, required = [] } = schemas[name];
    const needed = (key) => Number(required.includes(key)); // these come first
    const properties = Object.fromEntries(Object.entries(all).filter(([key]) => !without.includes(key)).sort(([a], [b]) => needed(b) - needed(a)));
    this.#collect(properties, required, '', undefined);
    this.fresh = Object.fromEntries(Object.entries(properties).map(([key, node]) => [key, this.#fresh(node)]));
    this.ofTheRecord = answer ? Object.keys(schemas[answer].properties).filter((key) => !(key in properties)) : [];
  }

  // [title, settings] of each group, in the order of their first setting; those without a group come last.
  get groups() {
    const groups = new Map(this.settings.map((setting) => [setting.group, []]));
    for (const setting of this.settings) groups.get(setting.group).push(setting);
    return [...groups].sort(([a], [b]) => (a === LAST) - (b === LAST));
  }

  at(path) {
    return this.settings.find((setting) => setting.path === path);
  }

  // Those that are not at their default.
  changed(proxy) {
    return this.settings.filter(({ path }) => JSON.stringify(get(proxy, path)) !== JSON.stringify(get(this.fresh, path)));
  }

  // What the API takes of a proxy. Keys that the schema does not know are kept as they are.
  settingsOf(proxy) {
    return Object.fromEntries(Object.entries(proxy).filter(([key]) => !this.ofTheRecord.includes(key)));
  }

  #resolve(node) {
    return node.$ref ? { ...this.schemas[node.$ref.slice(node.$ref.lastIndexOf('/') + 1)], title: undefined, ...node } : node;
  }

  #collect(properties, required, prefix, group) {
    for (const [key, node] of Object.entries(properties)) {
      const path = prefix + key;
      const resolved = this.#resolve(node);
      const own = node['x-group'] ?? group;
      if (resolved.properties) this.#collect(resolved.properties, resolved.required ?? [], `${path}.`, own ?? node.title ?? words(key));
      else if (!('const' in resolved) && node['x-widget'] !== 'none') this.settings.push(this.#setting(path, own ?? this.plain, resolved, required.includes(key))); // one value: there is nothing to set
    }
  }

  // Of a union it knows the variants: by the value that chooses each, the settings that it has besides.
  #setting(path, group, node, isRequired) {
    const setting = new Setting(path, group, node, isRequired);
    const { oneOf, discriminator } = setting.node.$ref ? this.#single(setting.node) : setting.node;
    if (!discriminator) return setting;
    const variants = oneOf.map((one) => {
      const { properties, required = [] } = this.#resolve(one);
      const { [discriminator.propertyName]: key, ...rest } = properties;
      return [key.const, Object.entries(rest).map(([name, inner]) => new Setting(`${path}.${name}`, group, this.#resolve(inner), required.includes(name)))];
    });
    return Object.assign(setting, { key: discriminator.propertyName, variants: new Map(variants) });
  }

  // A section of one type, which may be left out, is a union of one.
  #single(node) {
    return this.#resolve(node).properties?.type?.const ? { oneOf: [node], discriminator: { propertyName: 'type' } } : {};
  }

  #fresh(node) {
    const { default: value, type, properties } = this.#resolve(node);
    if (value !== undefined) return value;
    if (properties) return Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, this.#fresh(inner)]));
    return { string: '', array: [], object: {} }[type] ?? null;
  }
}

const schemasOf = async () => (await call('GET', '/openapi.json')).components.schemas;

export const proxySchema = async () => new RecordSchema(await schemasOf(), 'Proxy', { answer: 'ProxyAnswer' });

const OF_THE_PAGE = { plain: 'Basics', without: ['tenant', 'version'] }; // the page has a tenant, and the version travels in a header field

// `name`: NewConnection, NewAction, or that of a connector.
export const callSchema = async (name) => new RecordSchema(await schemasOf(), name, OF_THE_PAGE);

// Of a connector of another package. The API lists the schemas of its sections by themselves; a record has a name besides.
export async function foreignSchema(name, kind) {
  const [known, { items }] = await Promise.all([schemasOf(), call('GET', '/kinds')]);
  const { $defs = {}, properties = {}, required = [] } = items.find((one) => one.name === kind)?.[name === 'NewConnection' ? 'connection_schema' : 'action_schema'] ?? {};
  const own = { properties: { name: known[name].properties.name, ...properties }, required: ['name', ...required] };
  return new RecordSchema({ ...$defs, [name]: own }, name, { ...OF_THE_PAGE, without: ['kind', ...OF_THE_PAGE.without] });
}
