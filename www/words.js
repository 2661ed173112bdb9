// The page's language, and how times, numbers and elements are made in it. One file a language in lang/.
const LANGUAGES = ['en', 'zh', 'ru'];

const wanted = (navigator.languages || [navigator.language]).map(l => l.slice(0, 2).toLowerCase());
export const language = wanted.find(l => LANGUAGES.includes(l)) || 'en';
const words = (await import(`./lang/${language}.js`)).default;

/** The sentence for `key`, with what stands in {braces} filled in. */
export const t = (key, fill = {}) => (words[key] ?? key).replace(/\{(\w+)\}/g, (all, name) => fill[name] ?? all);
/** Whether there is a word for `key`. */
export const has = key => key in words;
/** The word for what the server names by `word`, such as a reason; that word itself if it is new to this page. */
export const named = (kind, word) => words[`${kind}_${word}`] ?? String(word ?? '');

const time = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(language, { weekday: 'long', day: 'numeric', month: 'long' });
const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 5 });
const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
/** A time of day in the reader's own zone. */
export const clock = date => time.format(new Date(date));
export const dayOf = date => day.format(new Date(date));
export const number = n => numbers.format(n);
export const seconds = ms => ms > 0 && ms < 950 ? millis(ms) : t('seconds', { n: ms < 9950 && ms % 1000 ? tenths.format(ms / 1000) : number(Math.round(ms / 1000)) });
export const millis = ms => t('millis', { n: ms < 9.95 ? tenths.format(ms) : number(Math.round(ms)) });
/** What a command or an answer carries, as text. */
export const shown = value =>
  value === null || value === undefined ? '' :
  typeof value === 'number' ? number(value) :
  typeof value !== 'object' ? String(value) :
  Array.isArray(value) ? value.map(shown).join(', ') :
  Object.entries(value).map(([k, v]) => `${k} ${shown(v)}`).join(', ');

/** An element. Whatever comes from users only ever goes in as text. */
export function el(tag, properties, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith('aria-') || name === 'role' || name === 'for') e.setAttribute(name, value); else e[name] = value;
  }
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}

/** Writes `text` only if it is new: a screen reader is told of each change, and the selection stays. */
export function write(element, text) { if (element.textContent !== text) element.textContent = text; }

export const $ = id => document.getElementById(id);

let busy = false;
const waiting = [];
/** Tells people who cannot see the page; one thing at a time, and if too much happens only the newest. */
export function announce(text) {
  waiting.push(text);
  if (waiting.length > 2) waiting.shift();
  if (busy) return;
  busy = true;
  const say = () => {
    const next = waiting.shift();
    busy = next !== undefined;
    if (busy) { $('announce').textContent = next; setTimeout(say, 1500); }
  };
  say();
}

/** Asks a question with some answers to choose from; the chosen one's value, or '' for none. */
export function choose(question, choices) {
  const dialog = $('ask');
  write($('ask-text'), question);
  $('ask-choices').replaceChildren(...choices.map(({ value, label, danger }) => el('button', { type: 'submit', value, textContent: label, className: danger ? 'danger' : '' })));
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue), { once: true }));
}

document.documentElement.lang = language;
for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
