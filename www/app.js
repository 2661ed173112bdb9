// The built-in page: who is on board and what they say, live over server-sent events.
// Rules of the house: text of users only ever goes into textContent; every URL is absolute (fetch refuses relative ones on
// a page opened as http://user:password@board/); no decision hangs on a window timer (see tick.js).
'use strict';
(() => {
  const $ = id => document.getElementById(id);
  const TAB = Math.random().toString(36).slice(2, 12);   // this page load, for the server; a reload is a new one
  const LOG_MAX = 500;                                   // lines kept on the page: as many as the server replays
  const DEAD_MS = 3000;                                  // no beat for so long: the server is gone
  const DOUBT_MS = 1500;                                 // ... and this is when we begin to say so
  const ASK_MS = 3000;                                   // longest wait for an answer to a request
  const REFRESH_MS = 5000;                               // round trips and link counts are in no event: asked for while visible
  const FINAL = {
    evicted: 'An admin has taken your seat away.',
    idle: 'You did nothing for long, so your seat was given up.',
    logout: 'You are logged out.',
    replaced: 'You came in from elsewhere, and that took this seat over.',
    expired: 'Your session has ended.',
    signed_out: 'You are signed out.',
  };
  const LEFT = {
    closed: '', logout: 'logged out', evicted: 'evicted by an admin', idle: 'was idle too long', replaced: 'came in from elsewhere',
    slow: 'took no data for too long', stalled: 'the page had stopped answering and the seat was needed', expired: 'session over',
  };
  const EVIDENCE = {
    no_ack: 'nothing acknowledged any more', one_way: 'can talk but no longer hear', keepalive: 'probes unanswered',
    reset: 'the connection was reset', unreachable: 'the network says unreachable',
  };

  let source = null, number = 0, round = 0;      // the EventSource, its rising number, and the count of attempts (old callbacks see that they are old)
  let heard = 0, beatMs = 500, opened = 0;       // when the server last spoke, how often it means to, when we began to connect
  let retryAt = 0, failures = 0;                 // when to try again; 0: not waiting
  let state = 'connecting', over = false;        // over: final, until a click
  let me = null, seats = null;                   // my MEMBER, {max,taken}
  let last = null, snapshot = 0;                 // newest event id; number of the event up to which the roster came as a whole
  let members = new Map(), notes = new Map();    // session -> MEMBER; session -> {since, layer}: what the messages say beyond the state
  let held = null, refreshAt = 0, asOf = null;   // events that wait for the history before them; next roster request; when the data was true

  const now = () => performance.now();
  const url = (path, more) => {
    const u = new URL(path, location.href);
    u.searchParams.set('tab', TAB);
    for (const k in more) u.searchParams.set(k, more[k]);
    return u;
  };
  async function ask(path, options) {
    const { more, ...rest } = options || {};
    const stop = new AbortController(), timer = setTimeout(() => stop.abort(), ASK_MS);
    try { return await fetch(url(path, more), { cache: 'no-store', signal: stop.signal, ...rest }); } finally { clearTimeout(timer); }
  }
  const seqOf = id => Number(String(id).split('-')[1]) || 0;
  const epochOf = id => String(id).split('-')[0];

  // ------------------------------------------------------------------------------------------------ the link

  function open() {
    if (over) return;
    const mine = ++round;
    retryAt = 0; heard = opened = now(); beatMs = 500;
    if (state !== 'full') say('connecting', failures ? 'Trying again…' : 'Connecting to the board…');
    const more = { n: ++number };
    if (last) more.last = last;
    const es = source = new EventSource(url('/api/events', more));
    const on = (type, what) => es.addEventListener(type, e => {
      if (mine !== round || e.data === undefined) return;   // without data: the EventSource's own `error`, no message of that name
      heard = now();
      try { what(JSON.parse(e.data)); } catch (x) { console.error(type, x); }
    });
    on('hello', hello);
    on('beat', () => 0);
    on('closing', m => { if (FINAL[m.reason]) end(m.reason); else { failures = 0; drop(m.reason === 'shutdown' ? 'The board is shutting down.' : 'The board closed the link.', 300); } });
    on('error', m => refuse(m.message || m.error));
    for (const type of ['suspected', 'recovered', 'stalled', 'moving']) on(type, m => passing(type, m));
    for (const type of ['joined', 'left', 'lost', 'said', 'turned_away']) on(type, m => held ? held.push(m) : logged(m));
    es.onerror = e => {                           // never left to the browser: it gives up for ever at any status but 200
      if (mine === round && e.data === undefined) probe(es.readyState === 2 ? 'refused' : 'broken');
    };
  }

  function drop(why, wait) {
    round++;
    if (source) source.close();
    source = null;
    held = null;
    if (over) return;
    const pause = wait === undefined ? Math.min(250 * 2 ** failures++, 1000) : wait;
    retryAt = now() + pause;
    if (why) say('down', why + ' Trying again…');
  }

  // The EventSource hides the status of a refusal: ask a URL that needs no seat, and believe what it says.
  async function probe(how) {
    drop(state === 'full' ? '' : how === 'broken' ? 'The link broke.' : 'The board did not let us in.');
    const mine = round;
    retryAt = now() + ASK_MS + 500;
    let wait = Math.min(250 * 2 ** failures, 1000), text = 'The board does not answer.';
    try {
      const r = await ask('/api/session');
      if (mine !== round || over) return;
      const body = await r.json().catch(() => ({}));
      const after = 1000 * Number(r.headers.get('Retry-After'));
      if (r.status === 403) return end(body.reason || body.error, body.message);
      if (r.ok && body.seat === null) {
        seats = body.seats; wait = after || 1000;
        say('full', 'Full house' + (seats ? ': ' + seats.taken + ' of ' + seats.max + ' seats are taken' : '') + ', none is free for you now. You get the next one.');
        await roster();
      } else if (r.ok) wait = how === 'refused' ? wait : 250;
      else { text = 'The board refuses: ' + (body.message || r.status) + '.'; wait = after || 2000; say('down', text); }
    } catch (x) {
      if (mine === round && !over) say('down', text + ' Trying again…');
    }
    if (mine === round && !over) retryAt = now() + wait;
  }

  function end(reason, message) {
    over = true;
    drop();
    me = seats = null; members.clear(); show();
    say('over', FINAL[reason] || message || 'Your session has ended.');
  }

  function again() {
    location.replace(new URL(location.pathname, location.href));   // a navigation: there the browser may ask for name and password
  }

  function tick() {
    const t = now();
    if (source) {
      const quiet = t - heard, dead = Math.max(DEAD_MS, 2.5 * beatMs);
      if (quiet > dead) drop(state === 'live' || state === 'doubt' ? 'Nothing heard from the board for ' + (quiet / 1000).toFixed(0) + ' s.' : 'The board does not answer.', state === 'live' || state === 'doubt' ? 0 : undefined);
      else if (state === 'live' && quiet > Math.max(DOUBT_MS, 1.5 * beatMs)) say('doubt', 'No sign of life from the board…');
      else if (state === 'doubt' && quiet < DOUBT_MS) live();
    } else if (retryAt && t >= retryAt) open();
    if (state === 'live' && !document.hidden && t >= refreshAt) { refreshAt = t + REFRESH_MS; roster(); }
    if (notes.size && state === 'live') showSilence();
  }

  // ------------------------------------------------------------------------------------------- what is heard

  function hello(m) {
    me = m.you; seats = m.seats; beatMs = m.beat_ms || 500; failures = 0; notes.clear();
    refreshAt = now() + 1000;   // by then round trips are known
    take(m.members);
    live();
    if (!m.replayed) history(m.id);
    snapshot = seqOf(m.id);
    if (!m.replayed || !last) last = m.id;
  }

  // The story so far, once a link begins without a replay. What happens meanwhile waits its turn.
  async function history(upto) {
    const mine = round, fresh = last && epochOf(last) !== epochOf(upto);
    held = [];
    let events = [], gone = false;
    try {
      const r = await ask('/api/log', { more: { limit: 200 } });
      if (r.ok) { const body = await r.json(); events = body.epoch === epochOf(upto) ? body.events : []; gone = body.gap; }
    } catch (x) { gone = true; }
    if (mine !== round) return;
    $('log').replaceChildren();
    if (fresh) gap('The board has started anew.'); else if (gone) gap('Older events are gone.');
    for (const e of events) if (seqOf(e.id) <= seqOf(upto)) line(e);
    const waiting = held; held = null;
    for (const e of waiting) logged(e);
  }

  function logged(e) {
    last = e.id;
    if (e.member && seqOf(e.id) > snapshot) {       // a replayed one is in the roster already
      if (e.type === 'joined') members.set(e.member.session, e.member);
      else { members.delete(e.member.session); notes.delete(e.member.session); }
      if (seats) seats.taken = members.size;
      show();
    }
    line(e);
  }

  function passing(type, m) {
    const s = m.member.session;
    members.set(s, m.member);
    if (type === 'suspected') notes.set(s, { since: now() - m.silent_ms });
    else if (type === 'stalled') notes.set(s, { layer: m.layer });
    else notes.delete(s);
    show();
  }

  async function roster() {
    const mine = round;
    try {
      const r = await ask('/api/roster');
      if (!r.ok || mine !== round) return;
      const body = await r.json();
      if (last && state === 'live' && (body.epoch !== epochOf(last) || seqOf(body.id) < seqOf(last))) return;   // older than what we know
      take(body.members);
    } catch (x) { /* the watchdog judges the server, not this */ }
  }

  function take(list) {
    members = new Map(list.map(m => [m.session, m]));
    for (const s of notes.keys()) if (!members.has(s) || members.get(s).state === 'present') notes.delete(s);
    if (seats) seats.taken = members.size;
    show();
  }

  // ------------------------------------------------------------------------------------------ what is shown

  function live() { say('live', 'Live: who is on board, as it is now.'); }

  function say(what, text) {
    const wasLive = state === 'live' || state === 'doubt';
    state = what;
    const kind = what === 'live' ? 'live' : what === 'down' || what === 'over' ? 'down' : 'wait';
    $('banner').className = 'banner ' + kind;
    if ($('banner-text').textContent !== text) $('banner-text').textContent = text;
    $('again').hidden = what !== 'over';
    $('send').disabled = what !== 'live';
    $('logout').hidden = what === 'over' || !me;
    if (wasLive && what !== 'live' && what !== 'doubt') asOf = new Date();
    if (what === 'live') asOf = null;
    document.body.classList.toggle('old', what !== 'live' && what !== 'doubt' && what !== 'full');
    $('as-of').hidden = !asOf || what === 'full' || what === 'over';
    if (asOf) $('as-of').textContent = 'As of ' + clock(asOf) + ': not live now.';
    document.title = (what === 'live' ? '' : what === 'over' ? '■ ' : '… ') + location.host;
  }

  const el = (tag, text, cls) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    return e;
  };
  const clock = d => d.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const rtt = ms => ms === null || ms === undefined ? '–' : ms < 0.1 ? '< 0.1 ms' : ms < 10 ? ms.toFixed(1) + ' ms' : Math.round(ms) + ' ms';
  const seconds = ms => (ms / 1000).toFixed(1) + ' s';

  function reason(m) {
    const n = notes.get(m.session) || {};
    if (m.state === 'suspect') return n.since === undefined ? 'silent' : 'silent for ' + seconds(now() - n.since);
    if (m.state === 'stalled') return n.layer === 'page' ? 'the page does not answer' : n.layer === 'transport' ? 'takes no data' : 'alive, but stuck';
    return m.links ? m.links === 1 ? '1 link' : m.links + ' links' : 'no link: pages or curl';
  }

  function show() {
    const rows = [...members.values()].sort((a, b) => a.seat - b.seat).map(m => {
      const tr = el('tr');
      tr.dataset.session = m.session;
      tr.append(el('td', m.seat, 'seat'));
      const who = el('td', undefined, 'who');
      who.append(el('b', m.user + (me && m.session === me.session ? ' (you)' : '')), el('small', m.role), el('small', m.addr));
      if (m.agent) who.title = m.agent;
      const presence = el('td', undefined, 'presence ' + m.state);
      presence.append(el('span', m.state), el('small', reason(m)));
      tr.append(who, presence, el('td', rtt(m.rtt_ms), 'rtt'));
      return tr;
    });
    $('members').replaceChildren(...rows);
    $('seats').textContent = seats ? seats.taken + ' of ' + seats.max + ' seats taken' : '';
    const mine = $('me');
    mine.replaceChildren();
    if (me) mine.append(el('b', me.user), ' · ' + me.role + ' · seat ' + me.seat);
  }

  function showSilence() {
    for (const tr of $('members').children) {
      const m = members.get(tr.dataset.session);
      if (m && m.state === 'suspect') tr.querySelector('.presence small').textContent = reason(m);
    }
  }

  function line(e) {
    const body = el('span', undefined, 'body');
    let kind = 'note';
    if (e.type === 'said') { kind = 'said'; body.append(el('b', e.from.user), e.text); }
    else if (e.type === 'joined') body.textContent = e.member.user + (e.returned ? ' is back, seat ' : ' came on board, seat ') + e.member.seat;
    else if (e.type === 'left') { const why = LEFT[e.reason] === undefined ? e.reason : LEFT[e.reason]; body.textContent = e.member.user + ' left' + (why ? ': ' + why : ''); }
    else if (e.type === 'lost') { kind = 'note lost'; body.textContent = e.member.user + ' is lost: silent for ' + seconds(e.after_ms) + ', ' + (EVIDENCE[e.evidence] || e.evidence); }
    else if (e.type === 'turned_away') body.textContent = e.user + ' from ' + e.addr + ' found no free seat';
    else return;
    const li = el('li', undefined, kind), time = el('time', clock(new Date(e.time)));
    time.dateTime = e.time;
    li.append(time, body);
    put(li);
  }

  function gap(text) { put(el('li', text, 'note gap')); }

  function put(li) {
    const log = $('log'), atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    log.append(li);
    while (log.childElementCount > LOG_MAX) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  function refuse(text) {
    $('refused').hidden = !text;
    $('refused').textContent = text || '';
  }

  // ------------------------------------------------------------------------------------------- what is done

  async function send(event) {
    event.preventDefault();
    const box = $('text'), text = box.value;
    if (!text.trim() || state !== 'live') return;   // never into a dead link: the browser would deliver it seconds later
    refuse('');
    $('send').disabled = true;
    try {
      const r = await ask('/api/chat', { method: 'POST', headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body: text });
      if (r.status === 201) box.value = '';
      else refuse('Not sent: ' + ((await r.json().catch(() => ({}))).message || 'the board answered ' + r.status));
    } catch (x) {
      refuse('No answer from the board: if your message does not show above, send it again.');
    }
    $('send').disabled = state !== 'live';
    box.focus();
  }

  async function logout() {
    over = true;
    drop();
    try { await ask('/api/logout', { method: 'POST' }); } catch (x) { /* the password is forgotten below all the same */ }
    // The browser keeps the password until a request with another one succeeds: that is what the name `logout` is for.
    const x = new XMLHttpRequest();
    x.open('GET', url('/api/logout'), true, 'logout', 'logout');
    x.timeout = ASK_MS;
    x.onloadend = () => end('logout');
    x.send();
  }

  function bye() {
    if (!source) return;
    navigator.sendBeacon(url('/api/bye', { n: number }));
    drop('This page was put aside.');
    retryAt = 0;
  }

  $('board').textContent = location.host;
  $('form').addEventListener('submit', send);
  $('text').addEventListener('keydown', e => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); $('form').requestSubmit(); } });
  $('logout').addEventListener('click', logout);
  $('again').addEventListener('click', again);
  addEventListener('pagehide', bye);                                   // a page in the back-forward cache would hold its seat
  addEventListener('pageshow', e => { if (e.persisted && !over) open(); });
  document.addEventListener('freeze', bye);
  document.addEventListener('resume', () => { if (!source && !over) open(); });
  addEventListener('online', () => { if (!source && !over) retryAt = now(); });   // a hint to be quick, no more
  new Worker(new URL('tick.js', location.href)).onmessage = tick;
  show();
  open();
})();
