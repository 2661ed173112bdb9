// The page's language (a file each in lang/), and how times, numbers and elements are made.

// The server is built with the names of all files in lang/ here (build.rs).
const LANGUAGES = ['en'];

const wanted = (navigator.languages || [navigator.language]).map(tag => tag.split('-')[0].toLowerCase());
const language = wanted.find(l => LANGUAGES.includes(l)) || 'en';
const words = Object.fromEntries((await import(`./lang/${language}.js`)).default.split('\n').map(line => line.split(/: (.*)/)));

/** The sentence for `key`, with what stands in {braces} filled in, be it another sentence. */
export function t(key, fill = {}) {
  const sentence = has(key) ? words[key] : plain(key);
  return sentence.replace(/\{(\w+)\}/g, (braces, name) => fill[name] ?? (has(name) ? t(name, fill) : braces));
}
/** Whether there is a word for `key`. */
export const has = key => Object.hasOwn(words, key);
/** The word for what the server names by `word`, such as a reason; that word itself if it is new to this page. */
export const named = (kind, word) => has(`${kind}_${word}`) ? t(`${kind}_${word}`) : String(word ?? '');

const time = new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(language, { weekday: 'long', day: 'numeric', month: 'long' });
const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 5 });
const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
/** A time of day in the reader's own zone. */
export const clock = date => time.format(new Date(date));
export const dayOf = date => day.format(new Date(date));
/** With five digits; very large and very small ones with an exponent. */
export function number(n) {
  const size = Math.abs(n), isUsual = !n || size > 1e-6 && size < 1e15;
  return isUsual ? numbers.format(n) : n.toPrecision(3);
}
/** A time in seconds, below one in milliseconds; a fraction only while it says something. */
export function seconds(ms) {
  if (ms > 0 && ms < 950) return millis(ms);
  const isShort = ms < 9950 && ms % 1000;
  return t('seconds', { n: isShort ? tenths.format(ms / 1000) : number(Math.round(ms / 1000)) });
}
export const millis = ms => t('millis', { n: ms < 9.95 ? tenths.format(ms) : number(Math.round(ms)) });
/** What a command or an answer carries, as text. */
export function shown(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return number(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return value.map(shown).join(', ');
  return Object.entries(value).map(([name, v]) => `${name} ${shown(v)}`).join(', ');
}

/** Anything, as text in which marks that turn the direction of what follows are seen and not obeyed. */
const plain = any => (typeof any === 'object' ? JSON.stringify(any) : String(any)).replace(/[\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

/** An element: `el('b.new', text, other)`. What is no element goes in as text, an object too: properties are for `set`. */
export function el(tag, ...parts) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name);
  element.classList.add(...classes);
  const given = parts.filter(p => p !== null && p !== undefined && p !== false);
  element.append(...given.map(p => p instanceof Node ? p : plain(p)));
  return element;
}
/** `e` with these properties: a literal at each call (tests/pages.rs), so that no name of one comes from elsewhere. */
export const set = (e, properties) => Object.assign(e, properties);

/** Writes only what is new: a screen reader is told of each change, and the selection stays. */
export function write(element, any) {
  const text = plain(any);
  if (element.textContent !== text) element.textContent = text;
}

export const $ = id => document.getElementById(id);
export const now = () => performance.now();

let told = 0, next;
/** Tells people who cannot see the page; if too much happens only the newest. */
export function announce(text) {
  const wait = told + 1500 - now();
  clearTimeout(next);
  if (wait > 0) { next = setTimeout(announce, wait, text); return; }
  told = now();
  write($('announce'), text);
}

let answer = () => 0;
/** Asks a question with some answers to choose from; the chosen one's value, or '' for none. The stops stay in reach meanwhile. */
export function choose(question, choices) {
  const dialog = $('ask');
  answer('');                                           // to an older question
  write($('ask-text'), question);
  const button = ({ value, label, danger }) => set(el('button', label), { value, className: danger ? 'danger' : '' });
  $('ask-choices').replaceChildren(...choices.map(button));
  if (!dialog.open) dialog.show();
  if (choices.length === 1) $('ask-no').focus();        // so that a second press of the same key does not say yes
  return new Promise(done => { answer = done; });
}
$('ask').onsubmit = e => answer(e.submitter.value);
$('ask').onkeydown = e => { if (e.key === 'Escape') $('ask-no').click(); };

document.documentElement.lang = language;
for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
