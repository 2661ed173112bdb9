// The built-in panel: who is on board, what they say, what happened. The machines are in machines.js, the link in boatswain.js.
import { connect } from './boatswain.js';
import { $, announce, choose, clock, dayOf, el, has, millis, named, seconds, shown, t, write } from './words.js';
import { machines } from './machines.js';

const HISTORY = 300;        // events from before, asked for when the page opens
const LINES_MAX = 600;      // lines kept in the log
const REFRESH_MS = 5000;    // round trips are in no event: asked for so often, while somebody looks
const QUIET_MS = 1500;      // without a sign of life the lamp says so; the link is lost soon after

let why = {}, since = performance.now(), asOf = null;   // why the link is as it is, since when, and when the data was true
let refreshAt = 0, newestDay = '', drawn = '';
const notes = new Map();                                // session -> {since} or {layer, at}: what messages say beyond the state
const commands = new Map();                             // id -> command: what an answer answers

const board = connect({ history: HISTORY, onState, onEvent });
const cards = machines(board, announce);

// ---------------------------------------------------------------------------------------------------- the link

function onState(state, reason) {
  const before = document.body.dataset.state;
  if (state !== before) { since = performance.now(); document.body.dataset.state = state; }
  if (state !== 'open' && before === 'open') asOf = new Date();
  why = reason;
  const [text, bad] =
    state === 'full' ? [t('full', reason.seats || { taken: '?', max: '?' })] :
    state === 'lost' ? [reason.reason === 'refused' ? t('lost_refused', reason) : named('lost', reason.reason), true] :
    state === 'signed_out' ? [has('over_' + reason.reason) ? t('over_' + reason.reason) : reason.message || t('over_signed_out')] : [''];
  const banner = $('banner'), hadFocus = document.activeElement === $('enter');
  banner.hidden = !text;
  banner.classList.toggle('bad', !!bad);
  write($('banner-text'), text);
  $('enter').hidden = state !== 'signed_out';
  if (hadFocus && $('enter').hidden) $('text').focus();
  if (state === 'signed_out') { notes.clear(); $('members').replaceChildren(); write($('seats'), ''); }
  if (state === 'full' && before !== 'full') refresh();
  if (state === 'open') { notes.clear(); asOf = null; refreshAt = performance.now() + 1000; }
  $('send').disabled = state !== 'open';
  $('logout').hidden = !board?.you;
  document.title = { open: '', full: '◌ ', lost: '✕ ', signed_out: '■ ', connecting: '… ' }[state] + location.host;
  second();
}

function onEvent(e, old) {
  if (e.type === 'telemetry') return cards.heard(e);
  if (e.type === 'hello') {
    write($('me'), t('me', { ...e.you, role: named('role', e.you.role) }));
    $('logout').hidden = false;
    for (const m of e.members) if (m.state !== 'present') notes.set(m.session, {});
  } else if (e.type === 'gap') { put(gapLine(t(e.restarted ? 'restarted' : 'gap'))); }
  else if (e.member && !e.id) {
    const s = e.member.session;
    if (e.type === 'suspected') notes.set(s, { since: performance.now() - e.silent_ms });
    else if (e.type === 'stalled') notes.set(s, { layer: e.layer, at: new Date() });
    else notes.delete(s);
  }
  if (e.id && e.type !== 'hello') line(e, old);
  cards.heard(e, old);
  showMembers();
}

/** What changes by time alone. On the way it looks after the round trips. */
function second() {
  const state = board?.state, t0 = performance.now(), silence = board?.silence;
  const quiet = state === 'open' && silence > QUIET_MS;
  document.body.classList.toggle('quiet', quiet);
  write($('lamp-text'), t('state_' + (state || 'connecting')) + (quiet ? ' · ' + t('quiet', { s: seconds(silence) }) : ''));
  const waits = state === 'lost' || state === 'full' ? t0 - since : 0;
  write($('banner-time'), waits > 2000 ? `(${seconds(Math.floor(waits / 1000) * 1000)})` : '');
  $('as-of').hidden = !asOf || state === 'signed_out' || state === 'full';
  if (asOf) write($('as-of'), t('as_of', { time: clock(asOf) }));
  if (!board) return;
  for (const li of $('members').children) {
    const m = board.members.get(li.dataset.session);
    if (m && m.state === 'suspect') write(li.querySelector('.why'), reason(m));
  }
  if (!document.hidden && t0 >= refreshAt && (state === 'open' || state === 'full')) { refreshAt = t0 + REFRESH_MS; refresh(); }
  cards.second();
}

async function refresh() {
  const { members } = await board.request('GET', '/api/roster').catch(() => ({}));
  if (!members) return;
  if (board.state === 'full') { board.members.clear(); for (const m of members) board.members.set(m.session, m); }
  else for (const m of members) if (board.members.has(m.session)) Object.assign(board.members.get(m.session), { rtt_ms: m.rtt_ms, links: m.links });
  showMembers();
}

// -------------------------------------------------------------------------------------------------- the people

function reason(m) {
  const note = notes.get(m.session) || {};
  if (m.state === 'suspect') return note.since === undefined ? '' : t('why_suspect', { s: seconds(performance.now() - note.since) });
  if (m.state === 'stalled') return t('why_' + (note.layer || 'stuck')) + (note.at ? ', ' + t('since', { time: clock(note.at) }) : '');
  return (m.links ? '' : t('why_nolink') + ', ') + t('since', { time: clock(m.since) });
}

function showMembers() {
  const list = [...board.members.values()].sort((a, b) => a.seat - b.seat);
  write($('seats'), board.seats ? t('seats', board.seats) : '');
  const key = JSON.stringify([list, [...notes], [...board.devices.values()].map(d => [d.name, d.holder?.session]), board.you?.session]);
  if (key === drawn) return;                 // so that focus and selection stay where they are
  drawn = key;
  const focused = document.activeElement?.closest?.('#members li')?.dataset.session;
  $('members').replaceChildren(...list.map(member));
  if (focused) $('members').querySelector(`[data-session="${focused}"] button`)?.focus();
}

function member(m) {
  const mine = m.session === board.you?.session;
  const holds = [...board.devices.values()].filter(d => d.holder?.session === m.session).map(d => d.name);
  const li = el('li', { className: m.state, title: m.agent || '' },
    el('span', { className: 'seat' }, el('span', { className: 'unseen', textContent: t('seat', { n: '' }) }), String(m.seat)),
    el('div', { className: 'who' },
      el('b', { textContent: mine ? t('you', m) : m.user }),
      el('small', { textContent: `${named('role', m.role)} · ${m.addr}` }),
      holds.length ? el('small', { className: 'holds', textContent: t('controls', { devices: holds.join(', ') }) }) : null),
    el('div', { className: 'presence' },
      el('span', { className: 'chip ' + m.state, textContent: t(m.state) }),
      el('small', { className: 'why', textContent: reason(m) })),
    el('div', { className: 'far' },
      el('span', { title: t('round_trip') }, el('span', { className: 'unseen', textContent: t('round_trip') + ' ' }), m.rtt_ms === null || m.rtt_ms === undefined ? '–' : millis(m.rtt_ms)),
      board.you?.role === 'admin' && !mine ? el('button', { type: 'button', className: 'quiet small', textContent: t('evict'), onclick: () => evict(m) }, el('span', { className: 'unseen', textContent: ' ' + m.user })) : null));
  li.dataset.session = m.session;
  return li;
}

async function evict(m) {
  if (!await choose(t('evict_ask', m), [{ value: 'yes', label: t('evict_yes', m), danger: true }])) return;
  await board.request('POST', `/api/members/${m.session}/evict`).catch(e => refuse(t('not_done', e)));
}

// ----------------------------------------------------------------------------------------------------- the log

/** An event as a sentence; '' for one that is told elsewhere. */
function sentence(e) {
  const user = e.member?.user ?? e.holder?.user ?? e.by?.user ?? e.user;
  switch (e.type) {
    case 'joined': return t(e.returned ? 'returned' : 'joined', e.member);
    case 'left': return has('left_' + e.reason) ? t('left_why', { user, why: t('left_' + e.reason) }) : t('left', { user });
    case 'lost': return t('lost', { user, s: seconds(e.after_ms), why: named('evidence', e.evidence) });
    case 'turned_away': return t('turned_away', e);
    case 'device': return e.state === 'suspect' ? t('device_silent', e) : e.state === 'up' ? t('device_up', e) : t('device_down_why', { ...e, why: named('down', e.reason) });
    case 'control': {
      const fill = { user, was: e.was?.user, device: e.device };
      if (e.reason === 'released') return t('released', { ...fill, user: e.was?.user });
      return ['taken', 'given', 'forced'].includes(e.reason) ? t(e.reason, fill) : t('ended', { ...fill, why: named('end', e.reason) });
    }
    case 'commanded': {
      const args = shown(e.args);
      commands.set(e.id, e.command);
      return t('commanded', { user, device: e.device, command: e.command + (args ? ` (${args})` : '') });
    }
    case 'answered': {
      const result = e.ok === null ? '' : shown(e.result), command = commands.get(e.to) || '';
      const text = t(e.ok === null ? 'unknown' : e.ok ? 'done' : 'failed', { device: e.device, command });
      return text + (result ? ': ' + result : '') + (e.late ? ` (${t('late')})` : '');
    }
    default: return '';
  }
}

const GRAVE = e => e.type === 'lost' || e.type === 'device' && e.state === 'down' || e.type === 'answered' && !e.ok ||
  e.type === 'control' && !['taken', 'released', 'given', 'forced'].includes(e.reason);

function line(e, old) {
  const text = e.type === 'said' ? e.text : sentence(e);
  if (!text) return;
  const today = dayOf(e.time);
  if (newestDay && today !== newestDay) put(gapLine(today));
  newestDay = today;
  const mine = e.from && e.from.session === board.you?.session;
  put(el('li', { className: e.type === 'said' ? mine ? 'said mine' : 'said' : GRAVE(e) ? 'note grave' : 'note' },
    el('time', { dateTime: e.time, textContent: clock(e.time) }),
    el('p', {}, e.from ? el('b', { textContent: e.from.user }) : null, text)), mine && !old);
  if (!old && !mine && e.type !== 'commanded' && e.type !== 'answered') announce(e.from ? t('says', { user: e.from.user, text }) : text);
}

const gapLine = text => el('li', { className: 'gap', textContent: text });

function put(li, follow) {
  const box = $('scroll'), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60, log = $('log');
  log.append(li);
  while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
  if (atEnd || follow) box.scrollTop = box.scrollHeight;
}

// ------------------------------------------------------------------------------------------------- what is done

function refuse(text) { write($('refused'), text); }

$('form').onsubmit = async event => {
  event.preventDefault();
  const box = $('text'), text = box.value;
  if (!text.trim() || board.state !== 'open') return;   // never into a dead link: it would arrive seconds later, or twice
  refuse('');
  $('send').disabled = true;
  try {
    await board.say(text);
    if (box.value === text) box.value = '';
  } catch (e) {
    refuse(e.error === 'lost' || e.error === 'timeout' ? t('unknown_sent') : t('not_sent', e));
  }
  $('send').disabled = board.state !== 'open';
  box.focus();
};
$('text').onkeydown = e => {
  if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); $('form').requestSubmit(); }
};
$('text').placeholder = t('say_label');
$('logout').onclick = () => board.logout().catch(e => refuse(t('not_done', e)));
$('enter').onclick = () => board.enter();
$('chat-only').onchange = e => { $('log').classList.toggle('chat-only', e.target.checked); $('scroll').scrollTop = $('scroll').scrollHeight; };
for (const button of $('views').querySelectorAll('button')) button.onclick = () => look(button.dataset.view);

/** On a phone: which of the three is seen. */
function look(view) {
  document.body.dataset.view = view;
  for (const b of $('views').querySelectorAll('button')) if (b.dataset.view === view) b.setAttribute('aria-current', 'true'); else b.removeAttribute('aria-current');
  if (view === 'talk') $('scroll').scrollTop = $('scroll').scrollHeight;
}

$('board').textContent = location.host;
setInterval(second, 500);       // only words about time hang on this
onState(board.state, why);
