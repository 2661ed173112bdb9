// The built-in panel: who is on board, what they say, what happened.
import { connect } from './boatswain.js';
import { $, announce, choose, clock, dayOf, el, has, millis, named, now, seconds, set, shown, t, write } from './words.js';
import { machines } from './machines.js';

const HISTORY = 300;        // events from before the page was opened
const LINES_MAX = 600;      // lines kept in the log
const REFRESH_MS = 5000;    // round trips are in no event
const QUIET_MS = 1500;      // without a sign of life the lamp says so; the link is lost soon after

let since = now();                                      // since when the link is as it is
let asOf = 0;                                           // when something was last heard, by the wall clock
let refreshAt = 0;
let newestDay = '';                                     // of the newest line in the log
let drawn = '';                                         // what the list of members shows, as text to compare
const notes = new Map();                                // session -> {since} or {layer, at}: what messages say beyond the state
const commands = new Map();                             // id -> command: what an answer answers

const board = connect({ history: HISTORY, onState, onEvent });
const cards = machines(board);

function onState(state, why) {
  const before = document.body.dataset.state, out = state === 'signed_out', open = state === 'open';
  if (state !== before) { since = now(); document.body.dataset.state = state; }
  const text = explained(state, why);
  const hadFocus = document.activeElement === $('enter');
  $('banner').hidden = !text;
  write($('banner-text'), text);
  $('enter').hidden = !out;
  if (hadFocus && !out) $('text').focus();
  if (out) { $('members').replaceChildren(); write($('seats'), ''); }
  if (out || open) notes.clear();
  if (open) refreshAt = now() + 1000;
  if (state === 'full' && before !== 'full') refresh();
  $('send').disabled = !open;
  $('logout').hidden = !board?.you;
  document.title = { open: '', full: '◌ ', lost: '✕ ', signed_out: '■ ', connecting: '… ' }[state] + location.host;
  second();
}

/** Why the link is not open, as a sentence for the banner. */
function explained(state, why) {
  if (state === 'full') return t('full', why.seats || {});
  if (state === 'lost') return why.reason === 'refused' ? t('lost_refused', why) : named('lost', why.reason);
  if (state !== 'signed_out') return '';
  return has('over_' + why.reason) ? t('over_' + why.reason) : why.message || t('over_expired');
}

function onEvent(e, old) {
  cards.heard(e, old);                       // first of all: the stops are theirs
  if (e.type === 'telemetry') return;
  if (e.type === 'hello') write($('me'), t('me', { ...e.you, role: named('role', e.you.role) }));
  else if (e.type === 'gap') put(gapLine(t(e.restarted ? 'restarted' : 'gap')));
  else if (e.member && !e.id) {
    const s = e.member.session;
    if (e.type === 'suspected') notes.set(s, { since: now() - e.silent_ms });
    else if (e.type === 'stalled') notes.set(s, { layer: e.layer, at: new Date() });
    else notes.delete(s);
  }
  if (e.id) line(e, old);
  showMembers();
}

/** What changes by time alone. */
function second() {
  const state = board?.state, silence = board?.silence, waits = now() - since;
  const open = state === 'open', quiet = open && silence > QUIET_MS;
  if (open) asOf = Date.now() - silence;
  document.body.classList.toggle('quiet', quiet);
  $('lamp').className = 'chip ' + (quiet ? 'suspect' : { open: 'present', lost: 'stalled', signed_out: 'stalled' }[state]);
  write($('lamp'), t('state_' + (state || 'connecting')) + (quiet ? ' · ' + t('quiet', { s: seconds(silence) }) : ''));
  write($('banner-time'), waits > 2000 && state !== 'signed_out' ? `(${seconds(Math.floor(waits / 1000) * 1000)})` : '');
  write($('as-of'), asOf && (state !== 'full' || board.devices.size) ? t('as_of', { time: clock(asOf) }) : '');
  if (!board) return;
  cards.second();
  for (const li of $('members').children) {
    const m = board.members.get(li.dataset.session);
    if (m && m.state === 'suspect') write(li.querySelector('.why'), reason(m));
  }
  if (!document.hidden && now() >= refreshAt && (open || state === 'full')) { refreshAt = now() + REFRESH_MS; refresh(); }
}

async function refresh() {
  const { members } = await board.request('GET', '/api/roster').catch(() => ({}));
  if (!members) return;
  if (board.state === 'full') {              // no link tells who is on
    board.members.clear();
    for (const m of members) board.members.set(m.session, m);
  } else {
    for (const m of members) {
      const known = board.members.get(m.session);
      if (known) Object.assign(known, { rtt_ms: m.rtt_ms, links: m.links });
    }
  }
  showMembers();
}

/** The small print below a member's presence. */
function reason(m) {
  const note = notes.get(m.session) || {};
  const sinceWhen = time => t('since', { time: clock(time) });
  if (m.state === 'suspect') return note.since === undefined ? '' : t('why_suspect', { s: seconds(now() - note.since) });
  if (m.state === 'stalled') return note.at ? t('why_' + note.layer) + ', ' + sinceWhen(note.at) : '';
  return (m.links ? '' : t('why_nolink') + ', ') + sinceWhen(m.since);
}

function showMembers() {
  if (board.state === 'signed_out') return;
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
  const mine = m.session === board.you?.session, mayEvict = board.you?.role === 'admin' && !mine;
  const devices = [...board.devices.values()].filter(d => d.holder?.session === m.session).map(d => d.name).join(', ');
  const roundTrip = (m.rtt_ms ?? null) === null ? '–' : millis(m.rtt_ms);

  const seat = el('span.seat', el('span.unseen', t('seat', { n: '' })), m.seat);
  const who = el('div.who',
    el('b', mine ? t('you', m) : m.user),
    el('small', `${named('role', m.role)} · ${m.addr}`),
    devices && el('small.holds', t('controls', { devices })));
  const presence = el('div.presence', el('span.chip.' + m.state, t(m.state)), el('small.why', reason(m)));
  const far = el('div.far',
    set(el('span', el('span.unseen', t('round_trip') + ' '), roundTrip), { title: t('round_trip') }),
    mayEvict && set(el('button.quiet', t('evict'), el('span.unseen', ' ' + m.user)), { onclick: () => evict(m) }));

  const li = set(el('li.' + m.state, seat, who, presence, far), { title: m.agent || '' });
  li.dataset.session = m.session;
  return li;
}

async function evict(m) {
  if (!await choose(t('evict_ask', m), [{ value: 'yes', label: t('evict_yes', m), danger: true }])) return;
  await board.request('POST', `/api/members/${m.session}/evict`).catch(e => refuse(t('not_done', e)));
}

const CALM = ['taken', 'released', 'given', 'forced'];      // ends of control that its holder or an admin wanted

/** An event as a sentence; '' for one that is told elsewhere. */
function sentence(e) {
  const was = e.was?.user, user = e.member?.user ?? e.holder?.user ?? e.by?.user ?? e.user ?? was;
  switch (e.type) {
    case 'joined': return t(e.returned ? 'returned' : 'joined', e.member);
    case 'left': return t('left', { user }) + (e.reason === 'closed' ? '' : `: ${named('left', e.reason)}`);
    case 'lost': return t('lost', { user, s: seconds(e.after_ms), why: named('evidence', e.evidence) });
    case 'turned_away': return t('turned_away', e);
    case 'device': return `${e.device}: ` + t(e.state) + (e.state === 'down' ? `, ${named('down', e.reason)}` : '');
    case 'control': {
      const ended = e.reason === 'device' ? 'ended' : 'ended_safe';
      return t(CALM.includes(e.reason) ? e.reason : ended, { user, was, device: e.device, why: named('end', e.reason) });
    }
    case 'commanded': {
      const args = shown(e.args);
      commands.set(e.id, e.command);
      return `${user} → ${e.device}: ${e.command}` + (args && ` (${args})`);
    }
    case 'answered': {
      const outcome = e.ok === null ? 'gone' : e.ok ? 'ok' : 'no', result = e.ok === null ? '' : shown(e.result);
      const said = t(outcome, { command: commands.get(e.to) || '' });
      return `${e.device}: ${said}` + (result ? ': ' + result : '') + (e.late ? ` (${t('late')})` : '');
    }
    default: return '';
  }
}

function isGrave(e) {
  switch (e.type) {
    case 'lost': return true;
    case 'device': return e.state === 'down';
    case 'answered': return !e.ok;
    case 'control': return !CALM.includes(e.reason);
    default: return false;
  }
}

/** Adds an event to the log, and the day before it if that is a new one. */
function line(e, old) {
  const text = e.type === 'said' ? e.text : sentence(e);
  if (!text) return;
  const today = dayOf(e.time);
  if (newestDay && today !== newestDay) put(gapLine(today));
  newestDay = today;
  const mine = e.from && e.from.session === board.you?.session;
  const said = mine ? 'li.mine' : 'li', happened = isGrave(e) ? 'li.note.grave' : 'li.note';
  put(el(e.from ? said : happened, el('time', clock(e.time)), el('p', e.from && el('b', e.from.user), text)), mine && !old);
  if (!old && !mine && e.type !== 'commanded' && e.type !== 'answered') announce(e.from ? `${e.from.user}: ${text}` : text);
}

const gapLine = text => el('li.gap', text);

/** Appends to the log, and goes along if its end is in sight, or if it is to `follow`. */
function put(li, follow) {
  const box = $('scroll'), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60, log = $('log');
  log.append(li);
  while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
  if (atEnd || follow) box.scrollTop = box.scrollHeight;
}

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
    refuse(e.error === 'lost' || e.error === 'timeout' ? t('unknown_sent') : t('not_done', e));
  }
  $('send').disabled = board.state !== 'open';
  if ([$('send'), document.body].includes(document.activeElement)) box.focus();
};
$('text').onkeydown = e => {
  if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); $('form').requestSubmit(); }
};
$('text').placeholder = t('say_label');
$('logout').onclick = () => board.logout().catch(e => refuse(t('not_done', e)));
$('enter').onclick = () => board.enter();
$('chat-only').onchange = e => {
  $('log').classList.toggle('chat-only', e.target.checked);
  $('scroll').scrollTop = $('scroll').scrollHeight;
};
for (const button of $('views').querySelectorAll('button')) button.onclick = () => look(button.dataset.view);

/** On a phone: which of the three is seen. */
function look(view) {
  document.body.dataset.view = view;
  for (const b of $('views').querySelectorAll('button')) b.ariaCurrent = b.dataset.view === view;
  if (view === 'talk') $('scroll').scrollTop = $('scroll').scrollHeight;
}

$('board').textContent = location.host;
setInterval(second, 500);       // only words about time hang on this
onState(board.state, {});
