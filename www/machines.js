// The machines: how each is, what it measures, who controls it and what it can be told. Forms come from what a device
// says of itself (`describe`); what anyone may do at any time (an emergency stop) is always in reach at the page's foot.
import { $, choose, clock, el, number, seconds, shown, t, write } from './words.js';

const SPAN_S = 180;            // seconds that a plot shows at most,
const SPAN_MIN_S = 30;         //   and at least
const WIDE = 300, HIGH = 44;   // of its drawing
const KEEP = 4;                // answers shown on a card
const STOPS = 3;               // emergency stops with a button of their own; more share one
const DRAW_MS = 150;           // between drawings
const OFFER_MS = 10_000;       // how long an offer stands

export function machines(board, announce) {
  const cards = new Map();     // by name
  const isMine = d => !!d.holder && d.holder.session === board.you?.session;
  const live = () => board.state === 'open';

  function heard(e, old) {
    if (e.type === 'telemetry') { cards.get(e.device)?.measure(e.values); soon(); }
    else if (e.type === 'hello' || e.type === 'devices') show();
    else if (e.type === 'offered') { if (e.to.session === board.you?.session) cards.get(e.device)?.offered(e.from.user); }
    else if (e.device && !old) show();
  }

  let drawing = false, drawn = 0;
  /** Draws with the next picture of the screen, a few times a second, and never while nobody sees the page. */
  function soon() {
    if (drawing) return;
    drawing = true;
    setTimeout(() => requestAnimationFrame(() => {
      drawing = false;
      drawn = performance.now();
      for (const card of cards.values()) card.draw();
    }), drawn + DRAW_MS - performance.now());
  }

  /** Makes cards for new devices and for those with other commands than before; brings the rest up to date. */
  function show() {
    const list = [...board.devices.values()].sort((a, b) => a.name.localeCompare(b.name));
    for (const [name, card] of cards) if (!board.devices.has(name)) { card.element.remove(); cards.delete(name); }
    list.forEach((device, i) => {
      const shape = JSON.stringify(device.describe || {});
      let card = cards.get(device.name);
      if (card?.shape !== shape) {
        card?.element.remove();
        card = makeCard(device.name, device.describe || {}, shape);
        cards.set(device.name, card);
        card.measure(device.telemetry || {});
      }
      const place = $('devices').children[i];
      if (place !== card.element) $('devices').insertBefore(card.element, place || null);
      card.renew(device);
    });
    const any = list.length > 0, tab = $('views').querySelector('[data-view=machines]');
    if (any && tab.hidden) tab.click();              // they are what one comes for
    $('machines').hidden = tab.hidden = !any;
    document.body.classList.toggle('with-machines', any);
    showStops(list);
  }

  let stopsShown = '';
  function showStops(list) {
    const stops = list.flatMap(d => Object.entries(d.describe?.commands || {}).filter(c => c[1].anyone).map(c => ({ device: d.name, command: c[0], label: `${c[0]} ${d.name}` })));
    if (JSON.stringify(stops) === stopsShown) return;
    stopsShown = JSON.stringify(stops);
    const pull = s => cards.get(s.device)?.run(s.command, {}, true);
    const button = (label, action) => el('button', { type: 'button', className: 'stop', textContent: label, onclick: action });
    $('stops').replaceChildren($('stops-title'), ...stops.length > STOPS
      ? [button(t('stop_more'), async () => {
        const which = await choose(t('stop_which'), stops.map((s, i) => ({ value: String(i), label: s.label, danger: true })));
        if (which) pull(stops[which]);
      })]
      : stops.map(s => button(s.label, () => pull(s))));
    $('stops').hidden = !stops.length;
  }

  function makeCard(name, describe, shape) {
    const id = unique(), plots = new Map();
    const state = el('span', { className: 'chip' }), who = el('p', { className: 'holder' }), buttons = el('div', { className: 'row' });
    const gauges = el('dl', { className: 'gauges' }), said = el('ol', { className: 'answers' });
    const commands = Object.entries(describe.commands || {}).map(([command, what]) => makeForm(command, what, args => run(command, args, what.anyone)));
    commands.sort((a, b) => a.order - b.order);
    const element = el('article', { className: 'machine', 'aria-labelledby': id },
      el('div', { className: 'head' }, el('h3', { id, textContent: name }), state),
      el('div', { className: 'control' }, who, buttons), gauges, el('div', { className: 'commands' }, ...commands.map(c => c.element)), said);
    let was = '', offer = null;
    for (const key of Object.keys(describe.telemetry || {})) plot(key);

    function renew(device) {
      const down = device.state === 'down', mine = isMine(device), holder = device.holder;
      if (offer && (mine || performance.now() > offer.until)) offer = null;
      element.className = `machine ${device.state}${mine ? ' mine' : ''}`;
      state.className = 'chip ' + ({ up: 'present', suspect: 'suspect' }[device.state] || 'gone');
      write(state, t('is_' + device.state) + (device.since && device.state !== 'up' ? ' ' + t('since', { time: clock(device.since) }) : ''));
      write(who, offer ? t('offers', offer) : !holder ? t('free') : mine ? t('held_here') : t('held', holder));
      const key = [mine, holder?.user, device.state, live(), board.you?.role, board.you?.session, !!offer].join();
      if (key !== was) {
        was = key;
        const focused = buttons.contains(document.activeElement) && document.activeElement.value;
        buttons.replaceChildren(...controlButtons(mine, holder, down));
        if (focused) (buttons.querySelector(`[value=${focused}]:enabled`) || element.querySelector('button:enabled'))?.focus();
      }
      for (const c of commands) c.enable(!down && (c.anyone || live() && mine));
      if (down || !live()) for (const p of plots.values()) p.gap();
    }

    function controlButtons(mine, holder, down) {
      if (!board.you || board.you.role === 'viewer') return [];
      const failed = what => e => note('no', t('refusal', { command: t(what), message: e.message }));
      const act = what => board.control(name, what).catch(failed(what));
      const button = (what, className, action = () => act(what)) => el('button', { type: 'button', value: what, className, textContent: t(what), disabled: !live() || down, onclick: action });
      if (mine) return [button('release', 'quiet'), button('give', 'quiet', give)];
      const all = [button('take', holder && !offer ? 'quiet' : '')];
      if (holder && board.you.role === 'admin') all.push(button('force', 'danger', async () => {
        if (await choose(t('force_ask', { device: name, user: holder.user }), [{ value: 'yes', label: t('force'), danger: true }])) act('force');
      }));
      return all;
      async function give() {
        const others = [...board.members.values()].filter(m => m.role !== 'viewer' && m.session !== board.you?.session);
        const to = await choose(others.length ? t('give_ask', { device: name }) : t('give_nobody'), others.map(m => ({ value: m.session, label: m.user })));
        if (to) board.control(name, 'give', to).then(() => note('', t('offered', board.members.get(to))), failed('give'));
      }
    }

    /** Gives a command and shows, here, what comes of it. */
    async function run(command, args, anyone) {
      const began = performance.now(), label = command + (Object.keys(args).length ? ` (${shown(args)})` : '');
      const li = note('wait', t('wait', { command: label }));
      const end = (kind, text) => { li.className = kind; write(li.lastChild, text); announce(text); };
      try {
        const { answer } = await (anyone ? board.stop : board.command)(name, command, args), e = await answer;
        end(e.ok ? 'yes' : 'no', t(e.ok === null ? 'gone' : e.ok ? 'ok' : 'no', { command: label, s: seconds(performance.now() - began) }) + (e.ok !== null && e.result ? ': ' + shown(e.result) : ''));
      } catch (e) { end('no', t('refusal', { command: label, message: e.message })); }
    }

    function note(kind, text) {
      const li = el('li', { className: kind }, el('time', { textContent: clock(new Date()) }), el('span', { textContent: text }));
      said.append(li);
      while (said.childElementCount > KEEP) said.firstElementChild.remove();
      return li;
    }

    function plot(key) {
      if (!plots.has(key)) { plots.set(key, makePlot(key, describe.telemetry?.[key] || '')); gauges.append(plots.get(key).element); }
      return plots.get(key);
    }

    return {
      element, shape, renew, run,
      measure(values) { for (const key in values) plot(key).add(values[key]); },
      draw() { for (const p of plots.values()) p.draw(); },
      offered(user) { offer = { user, until: performance.now() + OFFER_MS }; announce(t('offers', offer)); renew(board.devices.get(name)); },
    };
  }

  function second() {
    for (const [name, card] of cards) if (board.devices.has(name)) card.renew(board.devices.get(name));
    soon();
  }

  return { heard, second };
}

const unique = () => 'x' + Math.random().toString(36).slice(2);

/** The form of one command: a field an argument, a slider too where there is a range. */
function makeForm(command, what, send) {
  const fields = Object.entries(what.args || {}).map(([name, spec]) => makeField(name, spec));
  const button = el('button', { type: 'submit', textContent: command, className: what.anyone ? 'stop' : '' });
  const element = el('form', { className: fields.length ? 'command with' : 'command', onsubmit: e => {
    e.preventDefault();
    send(Object.fromEntries(fields.map(f => [f.name, f.value()]).filter(([, v]) => v !== undefined)));
  } }, ...fields.map(f => f.element), button);
  return { element, anyone: !!what.anyone, order: what.anyone ? 2 : fields.length ? 1 : 0, enable(on) { button.disabled = !on; for (const f of fields) f.enable(on); } };
}

function makeField(name, spec) {
  const id = unique(), required = !spec.optional, isNumber = spec.type === 'number' || spec.type === 'integer';
  const { min = '', max = '' } = spec, ranged = isNumber && min !== '' && max !== '', step = spec.type === 'integer' ? 1 : 'any';
  let input, slider = null;
  if (spec.choices) input = el('select', { id, required }, el('option', { value: '', textContent: t('choose') }), ...spec.choices.map((c, i) => el('option', { value: String(i), textContent: shown(c) })));
  else if (spec.type === 'boolean') input = el('input', { id, type: 'checkbox' });
  else if (!isNumber) input = el('input', { id, type: 'text', required });
  else input = el('input', { id, type: 'number', inputMode: 'decimal', required, min, max, step });
  if (ranged) {
    slider = el('input', { type: 'range', min, max, step: step === 1 ? 1 : (max - min) / 300, value: min, 'aria-label': name });
    slider.oninput = () => { input.value = String(Number(Number(slider.value).toPrecision(4))); };
    input.oninput = () => { slider.value = input.value; };
  }
  const hint = (isNumber && (min !== '' || max !== '') ? ` ${min} … ${max}` : '') + (required ? '' : ' ' + t('optional'));
  return {
    name, element: el('div', { className: 'field' }, el('label', { for: id }, name, el('small', { textContent: hint })), el('div', { className: 'row' }, input, slider)),
    enable(on) { input.disabled = !on; if (slider) slider.disabled = !on; },
    value: () => input.type === 'checkbox' ? input.checked : input.value === '' ? undefined : spec.choices ? spec.choices[input.value] : isNumber ? Number(input.value) : input.value,
  };
}

/** One measured value: large, and as it was in the last minutes. */
function makePlot(name, unit) {
  const svg = (tag, a) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const k in a) e.setAttribute(k, a[k]); return e; };
  const path = svg('path', {}), picture = svg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: 'none', role: 'img' });
  picture.append(path);
  const value = el('span', { className: 'value', textContent: '–' }), low = el('small'), high = el('small');
  const frame = el('div', { className: 'plot', hidden: true }, picture, el('div', { className: 'scale' }, high, low));
  const element = el('div', { className: 'gauge' }, el('dt', { textContent: name }), el('dd', {}, value, ' ', el('small', { textContent: unit }), frame));
  const seen = [];               // an entry a second: {at, min, max, last}, or {at, gap}
  let newest, fresh = false, drawnAt = 0;
  const second = () => Math.floor(performance.now() / 1000);

  return {
    element,
    add(v) {
      element.classList.remove('old');
      newest = v;
      fresh = true;
      if (typeof v !== 'number') return;
      const at = second(), top = seen.at(-1);
      if (top?.at === at && !top.gap) Object.assign(top, { min: Math.min(top.min, v), max: Math.max(top.max, v), last: v });
      else seen.push({ at, min: v, max: v, last: v });
      while (seen[0].at < at - SPAN_S) seen.shift();
    },
    /** No values come now: the line breaks off. */
    gap() {
      element.classList.add('old');
      if (seen.length && !seen.at(-1).gap) seen.push({ at: second(), gap: true });
    },
    draw() {
      if (fresh) write(value, shown(newest));
      const points = seen.filter(p => !p.gap), end = second();
      if (!points.length || !fresh && end === drawnAt) return;
      drawnAt = end;
      frame.hidden = false;
      const min = Math.min(...points.map(p => p.min)), max = Math.max(...points.map(p => p.max)), flat = max - min < 1e-9;
      const span = Math.min(SPAN_S, Math.max(SPAN_MIN_S, end - seen[0].at));
      const x = at => (WIDE * (1 - (end - at) / span)).toFixed(1), y = v => (flat ? HIGH / 2 : 2 + (HIGH - 4) * (max - v) / (max - min)).toFixed(1);
      let d = '', pen = null;
      for (const p of seen) {
        if (!p.gap) d += `${pen ? 'L' : 'M'}${x(p.at)} ${y(p.min)}L${x(p.at)} ${y(p.max)}L${x(p.at)} ${y(p.last)}`;
        pen = p.gap ? null : p;
      }
      path.setAttribute('d', pen ? `${d}L${x(end)} ${y(pen.last)}` : d);     // a value holds until the next one
      write(low, flat ? '' : number(min));
      write(high, number(max));
      if (fresh) picture.setAttribute('aria-label', t('trend', { name, now: shown(newest), min: number(min), max: number(max), unit }));
      fresh = false;
    },
  };
}
