// The machines: how each is, what it measures, who controls it, what it can be told. Forms come from a device's `describe`.
import { $, announce, choose, clock, el, now, number, seconds, set, shown, t, write } from './words.js';

const SPAN_S = 180;            // seconds that a plot shows at most,
const SPAN_MIN_S = 30;         //   and at least
const WIDE = 300, HIGH = 44;   // of its drawing
const KEEP = 4;                // answers shown on a card
const STOPS = 3;               // emergency stops with a button of their own; more share one
const OFFER_MS = 10_000;       // how long an offer stands
const AGED_MS = 10_000;        // from when on values have their time beside them

export function machines(board) {
  const cards = new Map();     // by name
  const live = () => board.state === 'open';

  function heard(e, old) {
    if (e.type === 'telemetry') {
      on(e.device, c => c.measure(e.values, true));
    } else if (e.type === 'offered') {
      if (e.to.session === board.you?.session) on(e.device, c => c.offered(e.from.user));
    } else if (e.type === 'hello' || e.type === 'devices' || e.device && !old) show();
  }

  /** Does something to a card. Where that fails a line takes its place: other cards and all stops stay. */
  function on(name, what) {
    const card = cards.get(name);
    try { if (card) what(card); } catch (e) {
      console.error(e);
      const element = el('article.machine.no'), none = () => 0;      // a card that does nothing
      write(element, `${name}: ${e}`);
      card.element.replaceWith(element);
      cards.set(name, { element, shape: card.shape, renew: none, measure: none, offered: none, note: none });
    }
  }

  /** Makes cards for new devices and for those with other commands; brings the rest up to date. */
  function show() {
    const list = [...board.devices.values()].sort((a, b) => a.name.localeCompare(b.name));
    showStops(list);                                   // hangs on no card
    for (const [name, card] of cards) if (!board.devices.has(name)) { card.element.remove(); cards.delete(name); }
    list.forEach((device, i) => {
      const shape = JSON.stringify(device.describe);
      if (cards.get(device.name)?.shape !== shape) {
        cards.get(device.name)?.element.remove();
        cards.set(device.name, { element: el('article'), shape });
        on(device.name, () => cards.set(device.name, makeCard(device.name, device.describe || {}, shape)));
      }
      const { element } = cards.get(device.name), place = $('devices').children[i];
      if (place !== element) $('devices').insertBefore(element, place || null);
      on(device.name, c => c.renew(device));
    });
    const none = !list.length, tab = $('views').querySelector('[data-view=machines]');
    if (!none && tab.hidden) tab.click();              // they are what one comes for
    $('machines').hidden = tab.hidden = none;
    document.body.classList.toggle('with-machines', !none);
  }

  let stopsShown = '';
  function showStops(list) {
    const stops = list.flatMap(stopsOf);
    stops.sort((a, b) => a.nth - b.nth);               // each device's first: one with many hides no other's
    const key = JSON.stringify(stops);
    if (key === stopsShown) return;
    stopsShown = key;
    const pull = stop => run(stop.device, stop.command, {}, true);
    const button = (label, onclick) => set(el('button.stop', label), { onclick });
    const pullOne = async () => {
      const which = await choose(t('stop_which'), stops.map((stop, i) => ({ value: String(i), label: stop.label, danger: true })));
      if (which) pull(stops[which]);
    };
    const buttons = stops.length > STOPS ? [button(t('stop_more'), pullOne)] : stops.map(stop => button(stop.label, () => pull(stop)));
    $('stop-buttons').replaceChildren(...buttons);
    $('stops').hidden = !stops.length;
  }

  /** Gives a command and shows what comes of it: on the card, and for an emergency stop also beside its button. */
  async function run(name, command, args, anyone) {
    const began = now(), withArgs = Object.keys(args).length ? ` (${shown(args)})` : '', fill = { command: command + withArgs };
    let li;                                            // its line on the card, if there is a card
    on(name, c => { li = c.note('', ''); });
    const tell = (kind, text) => {
      if (li) { li.className = kind; write(li.lastChild, text); }
      if (!anyone) {
        if (kind) announce(text);
        return;
      }
      $('stopped').className = kind;
      write($('stopped'), `${clock(new Date())} ${name}: ${text}`);
    };
    tell('', t('wait', fill));
    try {
      const { answer } = await (anyone ? board.stop : board.command)(name, command, args);
      const { ok, result } = await answer;
      if (ok === null) tell('no', t('gone', fill));
      else tell(ok ? 'yes' : 'no', t(ok ? 'ok' : 'no', fill) + ` (${seconds(now() - began)})` + (result ? ': ' + shown(result) : ''));
    } catch (e) {
      const isUnknown = e.error === 'lost' || e.error === 'timeout';
      tell('no', t(isUnknown ? 'gone' : 'refusal', { ...fill, message: e.message }));
    }
  }

  function makeCard(name, describe, shape) {
    const units = new Map(Object.entries(describe.telemetry || {}));
    const plots = new Map();                           // by the name of the value
    const state = el('span'), who = el('p.holder'), buttons = el('div.row');
    const gauges = el('dl.gauges'), aged = el('p.soft'), said = el('ol.answers');
    const commands = Object.entries(describe.commands || {}).map(([command, what]) => makeForm(command, what, args => run(name, command, args, what.anyone)));
    commands.sort((a, b) => a.order - b.order);
    const head = el('div.head', el('h3', name), state), control = el('div.control', who, buttons);
    const forms = el('div.commands', ...commands.map(c => c.element));
    const element = set(el('article.machine', head, control, gauges, aged, forms, said), { ariaLabel: name, tabIndex: -1 });
    let buttonsFor = '';                               // what the buttons hang on, as text to compare
    let offer = null;                                  // {user, until}: control offered to this session
    let fresh = null;                                  // whether values come now
    let measured = -AGED_MS;                           // when the newest came
    for (const key of units.keys()) plot(key);

    function renew(device) {
      const { holder } = device, down = device.state === 'down', on = live() && device.state === 'up';
      const mine = !!holder && holder.session === board.you?.session;
      if (offer && (mine || now() > offer.until)) offer = null;
      element.classList.toggle('mine', mine);
      state.className = 'chip ' + device.state;
      write(state, t(device.state) + (device.state === 'up' ? '' : ' ' + t('since', { time: clock(device.since) })));
      write(who, offer ? t('offers', offer) : holding(holder, mine));
      const key = [mine, holder?.user, device.state, live(), board.you?.role, board.you?.session, !!offer].join();
      if (key !== buttonsFor) {
        buttonsFor = key;
        const focused = buttons.contains(document.activeElement) && document.activeElement.value;
        buttons.replaceChildren(...controlButtons(mine, holder, down));
        // Not to another button: a second press would undo the first.
        if (focused) (buttons.querySelector(`[value=${focused}]:enabled`) || element).focus();
      }
      for (const c of commands) c.enable(!down && (c.anyone || live() && mine));
      if (on !== fresh) {
        fresh = on;
        if (on) measure(device.telemetry || {}); else for (const p of plots.values()) p.gap();
      }
      if (!document.hidden) for (const p of plots.values()) p.draw();
      write(aged, now() - measured > AGED_MS && device.telemetry_at ? t('values_of', { time: clock(device.telemetry_at) }) : '');
    }

    /** Who controls it, as a sentence; of others also how they are, if not present. */
    function holding(holder, mine) {
      if (!holder) return t('free');
      if (mine) return t('held_here');
      const presence = board.members.get(holder.session)?.state;
      return t('held', holder) + (!presence || presence === 'present' ? '' : ` (${t(presence)})`);
    }

    function controlButtons(mine, holder, down) {
      if (!board.you || board.you.role === 'viewer') return [];
      const disabled = !live() || down;
      const failed = what => e => note('no', t('refusal', { command: t(what), message: e.message }));
      const act = what => board.control(name, what).catch(failed(what));
      const button = (what, className, onclick = () => act(what)) => set(el('button', t(what)), { value: what, className, disabled, onclick });
      if (mine) return [button('release', 'quiet'), button('give', 'quiet', give)];
      const all = [button('take', holder && !offer ? 'quiet' : '')];
      if (holder && board.you.role === 'admin') all.push(button('force', 'danger', async () => {
        if (await choose(t('force_ask', { device: name, user: holder.user }), [{ value: 'yes', label: t('force'), danger: true }])) act('force');
      }));
      return all;
      async function give() {
        const others = [...board.members.values()].filter(m => m.role !== 'viewer' && m.session !== board.you?.session);
        const question = others.length ? t('give_ask', { device: name }) : t('give_nobody');
        const to = await choose(question, others.map(m => ({ value: m.session, label: m.user })));
        if (to) board.control(name, 'give', to).then(() => note('', t('offered', board.members.get(to))), failed('give'));
      }
    }

    function note(kind, text) {
      const li = set(el('li', el('time', clock(new Date())), el('span', text)), { className: kind });
      said.append(li);
      while (said.childElementCount > KEEP) said.firstElementChild.remove();
      return li;
    }

    function plot(key) {
      if (!plots.has(key)) { plots.set(key, makePlot(key, units.get(key) ?? '')); gauges.append(plots.get(key).element); }
      return plots.get(key);
    }

    function measure(values, just) {
      if (just) measured = now();
      for (const [key, value] of Object.entries(values)) plot(key).add(value);
    }

    return {
      element, shape, renew, measure, note,
      offered(user) { offer = { user, until: now() + OFFER_MS }; announce(t('offers', offer)); renew(board.devices.get(name)); },
    };
  }

  function second() {
    for (const device of board.devices.values()) on(device.name, c => c.renew(device));
  }

  return { heard, second };
}

/** The emergency stops of a device; `nth` of its own. */
function stopsOf(device) {
  const stops = Object.entries(device.describe?.commands || {}).filter(([, what]) => what?.anyone);
  return stops.map(([command], nth) => ({ nth, device: device.name, command, label: `${command} ${device.name}` }));
}

/** The form of one command: a field an argument, a slider too where there is a range. */
function makeForm(command, what, send) {
  const fields = Object.entries(what.args || {}).map(([name, spec]) => makeField(name, spec)), hasFields = fields.length > 0;
  const button = set(el('button', command), { className: what.anyone ? 'stop' : '' });
  const onsubmit = e => {
    e.preventDefault();
    send(Object.fromEntries(fields.map(f => [f.name, f.value()]).filter(([, v]) => v !== undefined)));
  };
  const inputs = [button, ...fields.flatMap(f => f.inputs)];
  return {
    element: set(el(hasFields ? 'form.command.with' : 'form.command', ...fields.map(f => f.element), button), { onsubmit }),
    anyone: !!what.anyone,
    order: what.anyone ? 2 : hasFields ? 1 : 0,        // on the card: what needs no arguments first, the stops last
    enable(on) { for (const input of inputs) input.disabled = !on; },
  };
}

function makeField(name, spec) {
  const required = !spec.optional, isNumber = spec.type === 'number' || spec.type === 'integer';
  const { min = '', max = '' } = spec, step = spec.type === 'integer' ? 1 : 'any';
  const input = makeInput(spec, required, isNumber, step), inputs = [input];
  if (isNumber && !spec.choices && min !== '' && max !== '') {
    // each divided first: the difference of the largest numbers is Infinity
    const slider = set(el('input'), { type: 'range', min, max, step: step === 1 ? 1 : max / 300 - min / 300, value: min, ariaLabel: name });
    slider.oninput = () => { input.value = Number(Number(slider.value).toPrecision(4)); };
    input.oninput = () => { slider.value = input.value; };
    inputs.push(slider);
  }
  const range = isNumber && (min !== '' || max !== '') ? ` ${min} … ${max}` : '';
  const hint = range + (required ? '' : ' ' + t('optional'));
  return {
    name, inputs,
    element: el('label.field', name, el('small', hint), el('span.row', ...inputs)),
    /** `undefined`: left out. */
    value() {
      if (input.type === 'checkbox') return input.checked;
      if (input.value === '') return undefined;
      if (spec.choices) return spec.choices[input.value];
      return isNumber ? Number(input.value) : input.value;
    },
  };
}

/** What an argument is typed into, or chosen by. */
function makeInput(spec, required, isNumber, step) {
  if (spec.choices) {
    const none = set(el('option', t('choose')), { value: '' });
    return set(el('select', none, ...spec.choices.map((choice, i) => set(el('option', shown(choice)), { value: i }))), { required });
  }
  if (spec.type === 'boolean') return set(el('input'), { type: 'checkbox' });
  if (!isNumber) return set(el('input'), { required });
  const { min = '', max = '' } = spec;
  return set(el('input'), { type: 'number', required, min, max, step });
}

/** One measured value: large, and as it was in the last minutes. */
function makePlot(name, unit) {
  const svg = tag => document.createElementNS('http://www.w3.org/2000/svg', tag);
  const path = svg('path'), picture = svg('svg');
  picture.setAttribute('viewBox', `0 0 ${WIDE} ${HIGH}`);
  picture.setAttribute('preserveAspectRatio', 'none');
  picture.setAttribute('role', 'img');
  picture.append(path);
  const value = el('span.value', '–'), low = el('small'), high = el('small');
  const frame = set(el('div.plot', picture, el('div.scale', high, low)), { hidden: true });
  const element = el('div.gauge', el('dt', name), el('dd', value, ' ', el('small', unit), frame));
  const seen = [];               // an entry a second: {at, min, max, last}, or {at, gap}
  const second = () => Math.floor(now() / 1000);

  return {
    element,
    add(v) {
      element.classList.remove('old');
      write(value, shown(v));
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
      const points = seen.filter(p => !p.gap), end = second();
      if (!points.length) return;
      frame.hidden = false;
      const min = Math.min(...points.map(p => p.min)), max = Math.max(...points.map(p => p.max));
      const flat = max - min < 1e-9;
      const span = Math.min(SPAN_S, Math.max(SPAN_MIN_S, end - seen[0].at));
      const x = at => (WIDE * (1 - (end - at) / span)).toFixed(1);
      // halves: the difference of the largest numbers is Infinity
      const share = v => (max / 2 - v / 2) / (max / 2 - min / 2);
      const y = v => (flat ? HIGH / 2 : 2 + (HIGH - 4) * share(v)).toFixed(1);
      let line = '', pen = null;             // the entry that the line has come to; none: it begins anew
      for (const p of seen) {
        if (!p.gap) line += `${pen ? 'L' : 'M'}${x(p.at)} ${y(p.min)}L${x(p.at)} ${y(p.max)}L${x(p.at)} ${y(p.last)}`;
        pen = p.gap ? null : p;
      }
      if (pen) line += `L${x(end)} ${y(pen.last)}`;      // a value holds until the next one
      path.setAttribute('d', line);
      write(low, flat ? '' : number(min));
      write(high, number(max));
      picture.setAttribute('aria-label', t('trend', { name, now: value.textContent, min: number(min), max: number(max), unit }));
    },
  };
}
