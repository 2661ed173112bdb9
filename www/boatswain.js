// The page client of Boatswain: one live link from a page to the board, for any page of your own. No dependencies.
// How to use it: docs/page.md. In short:
//
//   import { connect } from '/boatswain.js';
//   const board = connect({ onState: (state, why) => ..., onEvent: (event, old) => ... });
//
// What it rests on:
// - No decision hangs on a window's timer: those run once a minute in a tab that has been hidden for five minutes. A
//   dedicated Worker ticks; it is this same file, so that a page with a strict content security policy can have it.
// - Beats are answered in the message handler, never from a timer: an answer proves that this page can act.
// - Every URL is absolute and without credentials: fetch refuses relative ones on a page opened as http://user:password@board/.
// - A WebSocket hides why it was refused: then the server is asked by fetch, on a URL that would open a link too.
// - While nothing at all comes back, the kernel repeats what it sent less and less often. So a new connection is begun each
//   AGAIN_MS. In Chromium a WebSocket is one at once, while a fetch waits for the connection that the last one began. Firefox
//   lets one WebSocket wait for the last one: there fetches feel the way, without credentials, so that the WebSocket
//   which follows does not wait for what they left behind. Beside those one fetch is patient: there are slow networks.
// - A request that was given up may still arrive seconds later. So nothing is queued for a link that is not there, and
//   every connection carries this page's name and a rising number.

const TICK_MS = 200;          // how often the Worker looks at the time
const SILENT_MS = 2750;       // an open link without a sign of life is lost; with one tick more it is under 3 s
const PATIENT_MS = 3000;      // longest wait for a connection;
const HASTY_MS = 500;         //   the shortest, for a board that answered fast before
const AGAIN_MS = 600;         // from one try to the next
const SOCKETS_MAX = 12;       // tries by WebSocket one after the other: Chromium delays them by seconds after some 25 that failed
const ANSWER_MS = 5000;       // longest wait for the answer to what this page asked
const EARLY_MAX = 50;         // answers kept that came before it was known to what
const LOG_MAX = 1000;         // events fetched at most to fill a gap: as many as the board keeps
const FINAL = ['evicted', 'idle', 'logout', 'replaced', 'expired'];   // after these the page stays out until a click

const FRESH = !/Firefox/.test(navigator.userAgent);             // a new WebSocket is a new connection at once
const isWorker = typeof document === 'undefined';
if (isWorker) setInterval(() => postMessage(0), TICK_MS);

const now = () => performance.now();
const epochOf = id => id.slice(0, id.lastIndexOf('-'));
const seqOf = id => Number(id.slice(id.lastIndexOf('-') + 1));

/** Something that the board refused, or that got no answer: `error` is one word, `message` a sentence. */
export class Refused extends Error {
  constructor(error, message, more) {
    super(message || error);
    this.error = error;
    Object.assign(this, more);
  }
}

/**
 * Opens the page's link and keeps it open. Options: `onState(state, why)`, `onEvent(event, old)`, `history` (how many
 * events from before the page was opened are wanted first; 0), `base` (the board; this page's own).
 */
export function connect(options = {}) {
  const base = bare(options.base || location.href), history = options.history || 0;
  const tab = Math.random().toString(36).slice(2, 12);   // not crypto.randomUUID: plain http is no secure context
  const members = new Map(), devices = new Map();        // session -> MEMBER, name -> device: as they are now
  const asked = new Map();                               // ref, or a key of its own for a fetch -> what waits for its answer
  const answers = new Map(), early = new Map();          // command id -> who waits for its `answered`; or that, if it came already
  const mine = new Set(recall());                        // devices that this very page controls, also after a reload
  let state = 'connecting', cause;                       // as `onState` was told last, and the reason
  let over = false;                                      // final, until a click
  let away = false;                                      // hidden for good, or frozen
  // The connection, or the try at one.
  let carrier = null;                                    // {name, send, close}: a WebSocket or an event stream,
  let knocking = null;                                   //   or the question whether there could be one
  let open = false;                                      // it has said `hello`
  let number = 0;                                        // of connections, told to the server
  let round = 0;                                         // of tries: what belongs to an older one is ignored
  let carrierFailed = null;                              // the name of the carrier that ended before it was open
  let socketFails = 0;                                   // WebSockets in a row that failed though the server would have us
  // When, by `now`.
  let began = 0, limit = 0;                              // the try began, and how long it may take
  let took = 0;                                          // how long the last one took that came to something
  let heard = 0;                                         // the newest sign of life
  let retryAt = 0;                                       // the next try is due; 0: none
  let ticked = now();
  // While nothing at all comes back.
  let mute = false;                                      // it is so
  let reached = false;                                   // but a feeler got an answer
  let patient = 0;                                       // until when the patient one has time
  let tries = 0;
  // Beats, events and questions.
  let beat = null, beatMs = 500;                         // the newest beat, and the time between two
  let toldHold = false;                                  // the last answer to one named devices
  const firstBeat = [];                                  // who waits for one
  let last = null;                                       // the id of the newest event delivered
  let snapshot = 0;                                      // up to where `members` came as a whole
  let held = null;                                       // events that wait for older ones
  let refs = 0;                                          // of questions

  const board = {
    members, devices,
    you: null, seats: null,
    get state() { return state; },
    /** Milliseconds since something was last heard. */
    get silence() { return open ? now() - heard : Infinity; },
    /** Says something to everyone; the id of the event. */
    say: text => ask({ say: text }, ['/api/chat', { text }]),
    /** Commands a device: `{id, answer}`, where `answer` is a promise of the `answered` event. */
    command,
    /** Takes a device for this page, gives it back, offers it: `take`, `release`, `give` (`to` a session), `force`. */
    control,
    stop, logout, request,
    /** Comes back after the end of the session: a navigation, so that the browser may ask for the password. */
    enter: () => location.replace(new URL(location.pathname + location.search, base)),
    /** Leaves for good. */
    close() { over = true; leave(); worker?.terminate(); stopListening.abort(); },
  };

  // ---- connections ----

  function attempt() {
    const me = ++round;
    begin();
    number++;
    carrier = socketFails > 1 ? stream(me) : socket(me);
  }

  function begin() {
    heard = began = now();
    retryAt = 0;
    limit = last ? Math.min(Math.max(HASTY_MS, 3 * took), PATIENT_MS) : PATIENT_MS;
  }

  const link = () => ({ n: number, ...last && { last } });

  function socket(me) {
    const url = at('/api/socket', link());
    url.protocol = url.protocol.replace('http', 'ws');
    const ws = new WebSocket(url);
    ws.onmessage = e => me === round && hear(e.data);
    ws.onclose = () => me === round && broken('closed');
    return {
      name: 'socket',
      send: m => ws.readyState === 1 && (ws.send(JSON.stringify(m)), true),
      close() { ws.onmessage = ws.onclose = null; ws.close(); },
    };
  }

  function stream(me) {
    const stop = new AbortController();
    (async () => {
      const r = await fetch(at('/api/events', link()), { cache: 'no-store', signal: stop.signal });
      if (me !== round || !r.ok) return;
      const reader = r.body.getReader(), decoder = new TextDecoder();
      for (let rest = ''; ;) {
        const { value, done } = await reader.read();
        if (done || me !== round) return;
        heard = now();
        const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
        rest = lines.pop();
        for (const line of lines) if (line.startsWith('data:') && me === round) hear(line.slice(5));
      }
    })().catch(() => 0).finally(() => me === round && broken('closed'));
    return { name: 'stream', close: () => stop.abort() };
  }

  /** Asks whether a link would be let in, and why not. */
  async function knock() {
    const me = ++round;
    begin();
    const stop = knocking = new AbortController();
    try {
      const way = { cache: 'no-store', signal: stop.signal };
      const r = await fetch(at('/api/events', { n: ++number }), { method: 'HEAD', ...way });
      if (me !== round) return;
      if (r.ok) {
        if (carrierFailed === 'socket') socketFails++;
        knocking = null;
        return attempt();
      }
      const wait = 1000 * Number(r.headers.get('Retry-After')) || 2 * AGAIN_MS;
      const why = await (await fetch(at('/api/session'), way)).json().catch(() => ({}));
      if (me !== round) return;
      knocking = null;
      retryAt = now() + wait;
      if (r.status === 503) { board.seats = why.seats || board.seats; become('full', { seats: board.seats }); }
      else if (r.status === 401 || r.status === 403) end(why.reason || why.error || 'signed_out', why.message);
      else become('lost', { reason: 'refused', message: why.message || 'HTTP ' + r.status });
    } catch { if (me === round) broken('unreachable'); }
  }

  /** Finds out whether anything answers at all; if so it is time for a link. */
  async function feel(wait) {
    const stop = new AbortController(), key = {}, from = now();
    asked.set(key, { fail: () => stop.abort(), until: from + wait });
    try {
      await fetch(at('/healthz'), { credentials: 'omit', cache: 'no-store', signal: stop.signal });
    } catch {
      return;
    } finally {
      asked.delete(key);
    }
    if (!mute || over || away) return;
    mute = false;
    reached = true;
    took = now() - from;
    drop();
    attempt();
  }

  /** The link, or the try at one, is over. */
  function broken(reason, wait) {
    const was = open;
    drop();
    if (over || away) return;
    // The first try comes at once: mostly the server or the network is there. So does the question why a link was refused.
    if (was || wait === 0) retryAt = now() + (wait ?? TICK_MS);
    else if (carrierFailed && reason === 'closed') retryAt = now();
    else retryAt = Math.max(began + AGAIN_MS, now());
    mute = false;
    if (was || reason === 'unreachable') become('lost', { reason });
  }

  function drop() {
    round++;
    carrierFailed = carrier && !open ? carrier.name : null;
    if (open && carrier.name === 'stream') socketFails = 1;   // try a WebSocket again, once
    open = false;
    carrier?.close();
    knocking?.abort();
    carrier = knocking = held = beat = null;
    for (const go of firstBeat.splice(0)) go();
    for (const [ref, a] of asked) {
      if (typeof ref !== 'string') continue;                  // a fetch has a connection of its own
      asked.delete(ref);
      a.fail('lost', 'The link broke: nobody knows whether this arrived.');
    }
  }

  function end(reason, message) {
    over = true;
    drop();
    board.you = null;
    members.clear();
    become('signed_out', { reason, message });
  }

  function leave() {
    if (away) return;
    away = true;
    handOver();
    if (carrier) {
      // Whichever of these comes first will do; a page that just goes silent would be called lost.
      navigator.sendBeacon?.(at('/api/bye', { n: number }));
      carrier.send?.({ bye: true });
    }
    drop();
  }

  function comeBack() {
    if (!away || over) return;
    away = false;
    recall();
    become('connecting', {});
    attempt();
  }

  function tick() {
    const t = now(), stood = t - ticked;
    ticked = t;
    if (stood > 1000) { heard += stood; began += stood; }    // alert(), a debugger, a suspended laptop: time that was not lived is not counted
    for (const [ref, question] of asked) {
      if (t <= question.until) continue;
      asked.delete(ref);
      question.fail('timeout', 'No answer from the board.');
    }
    if (over || away) return;
    const isSilent = open && t - heard > Math.max(SILENT_MS, 3.5 * beatMs);
    const isLate = !open && (carrier || knocking) && t - began > limit;
    if (isSilent || isLate) {
      broken(open ? 'silent' : 'unreachable', 0);
      mute = !reached;
      reached = false;
    }
    if (carrier || knocking || !retryAt || t < retryAt - TICK_MS / 2) return;
    if (!mute) return void knock();
    const due = t > patient;
    if (due) patient = t + PATIENT_MS;
    const socket = FRESH && (++tries <= SOCKETS_MAX || tries % 3 === 0);
    if (due || !socket) feel(due ? PATIENT_MS : HASTY_MS);
    if (socket) attempt(); else retryAt = t + AGAIN_MS;
  }

  function become(what, why) {
    if (what === state && what !== 'full' && why.reason === cause) return;
    state = what;
    cause = why.reason;
    call(options.onState, what, why);
  }

  // ---- what is heard ----

  function hear(text) {
    heard = now();
    const m = JSON.parse(text);
    if (m.type === 'beat') {
      beat = m.n;
      for (const go of firstBeat.splice(0)) go();
      const hold = [...mine];
      if (carrier.send) carrier.send({ beat, hold });
      else if (hold.length || toldHold) post('/api/beat', { beat, hold }).catch(() => 0);
      toldHold = hold.length > 0;
    } else if (m.ref !== undefined) {
      const a = asked.get(m.ref);
      asked.delete(m.ref);
      if (m.type === 'error') a?.fail(m.error, m.message, m); else a?.done(m.id);
    } else if (m.type === 'hello') greet(m);
    else if (m.type === 'closing') closing(m.reason);
    else if (m.id === undefined) passing(m);
    else if (held) held.push(m);
    else logged(m);
  }

  function closing(reason) {
    if (FINAL.includes(reason)) end(reason);
    else broken(reason, reason === 'lost' ? 0 : AGAIN_MS / 2);
  }

  async function greet(m) {
    const me = round, first = !last, restarted = !first && epochOf(last) !== epochOf(m.id);
    open = true;
    mute = reached = false;
    tries = 0;
    took = now() - began;
    if (carrier.send) socketFails = 0;
    board.you = m.you;
    board.seats = m.seats;
    beatMs = m.beat_ms || 500;
    snapshot = seqOf(m.id);
    members.clear();
    for (const x of m.members) members.set(x.session, x);
    devices.clear();
    for (const d of m.devices || []) devices.set(d.name, d);
    keep();
    if (m.replayed) { become('open', {}); return call(options.onEvent, m, false); }
    // No replay: what happened before comes from the log, and what happens meanwhile waits.
    held = [];
    become('open', {});
    call(options.onEvent, m, false);
    let events = [], gap = !first;
    if (!first || history) {
      try {
        const log = await request('GET', '/api/log', { limit: first ? history : LOG_MAX });
        if (me !== round) return;
        const isNew = e => first || restarted || seqOf(e.id) > seqOf(last);
        events = log.events.filter(e => epochOf(e.id) === epochOf(m.id) && seqOf(e.id) <= snapshot && isNew(e));
        gap = restarted || !first && (events.length ? seqOf(events[0].id) > seqOf(last) + 1 : seqOf(last) < snapshot);
      } catch { if (me !== round) return; }
    }
    if (gap) {
      for (const done of answers.values()) done({ ok: null });    // it was in what is missing, or nobody will ever know
      answers.clear();
      call(options.onEvent, { type: 'gap', restarted }, true);
    }
    last = epochOf(m.id) + '-0';
    if (!events.length) last = m.id;
    const waiting = held;
    held = null;
    for (const e of [...events, ...waiting]) if (me === round) logged(e);
    if (me === round && seqOf(last) < snapshot) last = m.id;
  }

  function logged(e) {
    if (last && epochOf(last) === epochOf(e.id) && seqOf(e.id) <= seqOf(last)) return;   // heard before
    last = e.id;
    const old = seqOf(e.id) <= snapshot;
    if (!old) apply(e);
    if (e.type === 'answered') {
      const done = answers.get(e.to);
      if (done) {
        answers.delete(e.to);
        done(e);
      }
      early.set(e.to, e);                                // also for a further stop, which stands under the same id
      if (early.size > EARLY_MAX) early.delete(early.keys().next().value);
    }
    call(options.onEvent, e, old);
  }

  function apply(e) {
    const device = devices.get(e.device);
    if (e.type === 'joined') members.set(e.member.session, e.member);
    else if (e.type === 'left' || e.type === 'lost') members.delete(e.member.session);
    else if (e.type === 'control' && device) { device.holder = e.holder; keep(e); }
    else if (e.type === 'device') {
      if (device) Object.assign(device, { state: e.state, since: e.time });
      if (e.state === 'up') inspect();
    }
    if (board.seats && e.member) board.seats.taken = members.size;
  }

  function passing(m) {
    if (m.member) members.set(m.member.session, m.member);
    const device = m.type === 'telemetry' && devices.get(m.device);
    if (device) { device.telemetry = { ...device.telemetry, ...m.values }; device.telemetry_at = m.at; }
    call(options.onEvent, m, false);
  }

  /** A device has come, perhaps a new one, perhaps with other commands: its description is in no event. */
  async function inspect() {
    const me = round;
    const list = await request('GET', '/api/devices').catch(() => null);
    if (!list || me !== round) return;
    for (const d of list) devices.set(d.name, d);
    call(options.onEvent, { type: 'devices' }, false);
  }

  // ---- what is asked ----

  /** Sends `message` over the WebSocket, or posts `[path, body]` where there is none. */
  function ask(message, [path, body]) {
    if (!open) return Promise.reject(new Refused('not_open', 'There is no link to the board.'));
    if (!carrier.send) return post(path, body).then(r => r.id);
    const ref = tab + ++refs;
    return new Promise((done, fail) => {
      asked.set(ref, { done, fail: (...why) => fail(new Refused(...why)), until: now() + ANSWER_MS });
      carrier.send({ ...message, ref });
    });
  }

  const path = (device, what) => `/api/devices/${encodeURIComponent(device)}/${what}`;
  const isMine = device => devices.get(device)?.holder?.session === board.you?.session;

  async function command(device, command, args = {}) {
    if (isMine(device)) claim(device);
    if (open && beat === null) await new Promise(go => firstBeat.push(go));   // a command names the beat that it was given at
    const body = { command, args, beat, ref: tab + ++refs };
    return answered(await ask({ command: { device, command, args }, beat }, [path(device, 'command'), body]));
  }

  const answered = id => ({ id, answer: early.has(id) ? Promise.resolve(early.get(id)) : new Promise(done => answers.set(id, done)) });

  /** Commands what anyone may command at any time, an emergency stop above all: over every way there is, link or no link. */
  async function stop(device, command, args = {}) {
    const body = { command, args, beat, ref: tab + ++refs };
    carrier?.send?.({ command: { device, command, args }, beat, ref: body.ref });
    return answered((await post(path(device, 'command'), body)).id);
  }

  async function control(device, action, to) {
    const more = { action, ...to && { to } }, takes = action === 'take' || action === 'force';
    if (takes) claim(device);
    try {
      await ask({ control: { device, ...more } }, [path(device, 'control'), more]);
      if (action === 'release') forget(device);
    } catch (e) {
      if (takes && !isMine(device)) forget(device);
      throw e;
    }
  }

  const claim = name => mine.add(name), forget = name => mine.delete(name);
  /** Forgets what others control by now, and what was taken from this session. */
  function keep(e) {
    for (const name of mine) {
      const device = devices.get(name);
      if (device?.holder ? !isMine(name) : !e || e.device === name && e.was) forget(name);
    }
  }
  // Handed from a page to the next one in its tab, and taken out there: a duplicate of a living tab controls nothing.
  function handOver() { try { sessionStorage.setItem('boatswain', JSON.stringify([...mine])); } catch { /* a private window */ } }
  function recall() {
    try {
      const names = JSON.parse(sessionStorage.getItem('boatswain')) || [];
      sessionStorage.removeItem('boatswain');
      return names;
    } catch { return []; }
  }

  /** Ends the session and makes the browser forget the password. */
  async function logout() {
    await post('/api/logout');
    // The browser keeps the password until a request with another one is let in: that is what the name `logout` is for.
    await new Promise(done => {
      const x = new XMLHttpRequest();
      x.open('GET', at('/api/logout'), true, 'logout', 'logout');
      x.timeout = ANSWER_MS;
      x.onloadend = done;
      x.send();
    });
    if (!over) end('logout');
  }

  const post = (path, body) => request('POST', path, {}, body);

  /** Asks the board by fetch: the JSON of the answer, or `Refused`. */
  async function request(method, path, query = {}, body = undefined) {
    const stop = new AbortController(), key = {};
    asked.set(key, { fail: () => stop.abort(), until: now() + ANSWER_MS });
    try {
      const r = await fetch(at(path, query), {
        method, cache: 'no-store', signal: stop.signal,
        ...body !== undefined && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } },
      });
      const said = await r.json().catch(() => ({}));
      if (!r.ok) throw new Refused(said.error || String(r.status), said.message, { ...said, status: r.status });
      return said;
    } catch (e) {
      throw e instanceof Refused ? e : new Refused('lost', 'No answer from the board: nobody knows whether this arrived.');
    } finally { asked.delete(key); }
  }

  function at(path, query) {
    const url = new URL(path, base);
    for (const [k, v] of Object.entries({ tab, ...query })) url.searchParams.set(k, v);
    return url;
  }

  // ---- begin ----

  const stopListening = new AbortController(), until = { signal: stopListening.signal };
  const hurry = () => { if (!carrier && !knocking && retryAt && !document.hidden) retryAt = now(); };
  addEventListener('pagehide', leave, until);
  addEventListener('pageshow', comeBack, until);
  addEventListener('online', hurry, until);
  document.addEventListener('freeze', leave, until);
  document.addEventListener('resume', comeBack, until);
  document.addEventListener('visibilitychange', hurry, until);
  const worker = clock(tick);
  attempt();
  return board;
}

/** Calls `tick` from a Worker; from the window itself where there can be none. */
function clock(tick) {
  try {
    const worker = new Worker(bare(import.meta.url), { type: 'module' });
    worker.onmessage = tick;
    worker.onerror = () => { worker.onerror = null; setInterval(tick, TICK_MS); };
    return worker;
  } catch {
    setInterval(tick, TICK_MS);
    return null;
  }
}

function bare(href) {
  const url = new URL(href, location.href);
  url.username = url.password = url.hash = '';
  return url;
}

function call(f, ...args) {
  try { f?.(...args); } catch (e) { console.error(e); }    // a mistake in the page's own code must not silence its beats
}
