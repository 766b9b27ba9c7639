// The live view: Server-Sent Events read by fetch, since EventSource cannot send a token.

import { open, lost } from './api.js';

const SILENCE = 12000; // milliseconds after which a stream that says nothing is taken for dead
const SLOWEST = 15000;

export class Live extends EventTarget {
  #stopping = null;
  #tries = 0;

  start() {
    this.stop();
    this.#stopping = new AbortController();
    this.#tries = 0;
    this.#run(this.#stopping.signal);
  }

  stop() {
    this.#stopping?.abort();
    this.#stopping = null;
  }

  async #run(stopped) {
    while (!stopped.aborted) {
      this.#tell('link', { state: 'connecting', tries: this.#tries });
      try {
        await this.#read(stopped);
      } catch { /* broken off: reported below, and tried again */ }
      if (stopped.aborted) return;
      const wait = Math.min(SLOWEST, 500 * 2 ** this.#tries) * (0.75 + Math.random() / 2);
      this.#tries += 1;
      this.#tell('link', { state: 'waiting', tries: this.#tries, seconds: Math.max(1, Math.round(wait / 1000)) });
      await pause(wait, stopped);
    }
  }

  async #read(stopped) {
    const given = new AbortController();
    const give = () => given.abort();
    stopped.addEventListener('abort', give);
    let watchdog = setTimeout(give, SILENCE);
    try {
      const answer = await open('/live', { signal: given.signal });
      if (answer.status === 401 || answer.status === 403) lost.dispatchEvent(new Event('session'));
      if (!answer.ok) return;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(give, SILENCE);
        const blocks = (text + value).split('\n\n');
        text = blocks.pop();
        blocks.forEach((block) => this.#event(block));
      }
    } finally {
      clearTimeout(watchdog);
      stopped.removeEventListener('abort', give);
    }
  }

  #event(block) {
    let name = '';
    let data = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('event: ')) name = line.slice(7);
      if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (!name) return;
    this.#tries = 0;
    this.#tell(name, JSON.parse(data));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export function pause(milliseconds, stopped) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    stopped.addEventListener('abort', () => { clearTimeout(timer); done(); }, { once: true });
  });
}
