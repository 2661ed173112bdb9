// The machines: how each is, what it measures, who controls it, and what it can be told. Forms come from what the
// device says of itself (`describe`), plots are drawn as SVG, and whatever anyone may do at any time (an emergency
// stop) is always in reach at the foot of the page.
import { $, choose, clock, el, number, seconds, shown, t, write } from './words.js';

const SPAN_S = 180;          // seconds that a plot shows
const WIDE = 300, HIGH = 44; // of its drawing
const KEEP = 4;              // answers shown on a card
const STOPS = 3;             // emergency stops with a button of their own; more of them share one

export function machines(board, tell) {
  const cards = new Map();                          // name -> what is on the page
  const may = () => board.you && board.you.role !== 'viewer';
  const holderOf = d => d.holder && (d.holder.session ? d.holder : { user: d.holder });
  const isMine = d => !!d.holder && d.holder.session === board.you?.session;
  const live = () => board.state === 'open';

  function heard(e, old) {
    if (e.type === 'telemetry') { cards.get(e.device)?.measure(e.values); return; }
    if (e.type === 'hello' || e.type === 'devices' || e.type === 'gap') return show();
    if (e.device && !old) { cards.get(e.device)?.heard(e); show(); }
  }

  /** Makes cards for new devices, renews them for changed ones. */
  function show() {
    const list = [...board.devices.values()].sort((a, b) => a.name.localeCompare(b.name));
    for (const [name, card] of cards) if (!board.devices.has(name)) { card.element.remove(); cards.delete(name); }
    list.forEach((device, i) => {
      const shape = JSON.stringify(device.describe || {});
      let card = cards.get(device.name);
      if (!card || card.shape !== shape) {
        card?.element.remove();
        card = makeCard(device.name, device.describe || {}, shape);
        cards.set(device.name, card);
        card.measure(device.telemetry || {});
      }
      if ($('devices').children[i] !== card.element) $('devices').insertBefore(card.element, $('devices').children[i] || null);
      card.renew(device);
    });
    const any = list.length > 0, button = $('views').querySelector('[data-view=machines]');
    if (any && button.hidden) button.click();        // the machines are what one comes for
    $('machines').hidden = button.hidden = !any;
    document.body.classList.toggle('with-machines', any);
    showStops(list);
  }

  // ------------------------------------------------------------------------------------------ emergency stop

  let stopsShown = '';
  function showStops(list) {
    const all = list.flatMap(d => Object.entries(d.describe?.commands || {}).filter(([, c]) => c.anyone).map(([command]) => ({ device: d.name, command })));
    const key = JSON.stringify(all);
    if (key === stopsShown) return;
    stopsShown = key;
    const bar = $('stops'), label = s => `${s.command} ${s.device}`;
    const pull = async s => cards.get(s.device)?.run(s.command, {}, () => board.stop(s.device, s.command));
    const buttons = all.length > STOPS
      ? [el('button', { type: 'button', className: 'stop', textContent: t('stop_more'), onclick: async () => {
        const which = await choose(t('stop_which'), all.map((s, i) => ({ value: String(i), label: label(s), danger: true })));
        if (which) pull(all[which]);
      } })]
      : all.map(s => el('button', { type: 'button', className: 'stop', textContent: label(s), onclick: () => pull(s) }));
    bar.replaceChildren($('stops-title'), ...buttons);
    bar.hidden = !all.length;
  }

  // ------------------------------------------------------------------------------------------------ one card

  function makeCard(name, describe, shape) {
    const id = 'm' + Math.random().toString(36).slice(2);
    const state = el('span', { className: 'chip' }), who = el('p', { className: 'holder' }), buttons = el('div', { className: 'row' });
    const gauges = el('dl', { className: 'gauges' }), forms = el('div', { className: 'commands' }), said = el('ol', { className: 'answers', role: 'log' });
    said.setAttribute('aria-label', name);
    const element = el('article', { className: 'machine', 'aria-labelledby': id },
      el('div', { className: 'head' }, el('h3', { id, textContent: name }), state),
      el('div', { className: 'control' }, who, buttons), gauges, forms, said);
    const plots = new Map(), waiting = new Map(), early = new Map();
    let controls = [];
    let was = '';

    for (const [command, what] of Object.entries(describe.commands || {})) {
      const form = makeForm(command, what || {}, args => run(command, args, () => what?.anyone ? board.stop(name, command, args) : board.command(name, command, args)));
      controls.push(form);
      forms.append(form.element);
    }

    function renew(device) {
      const down = device.state === 'down', mine = isMine(device), holder = holderOf(device);
      element.className = `machine ${device.state}${mine ? ' mine' : ''}`;
      state.className = 'chip ' + ({ up: 'present', suspect: 'suspect' }[device.state] || 'gone');
      write(state, (device.state === 'suspect' ? t('device_suspect') : t(device.state)) + (device.since && device.state !== 'up' ? ' ' + t('since', { time: clock(device.since) }) : ''));
      write(who, !holder ? t('free') : mine ? t('held_here') : t('held', holder));
      const key = [mine, holder?.user, device.state, live(), board.you?.role, board.you?.session].join();
      if (key !== was) {
        was = key;
        const focused = buttons.contains(document.activeElement) ? document.activeElement.value : '';
        buttons.replaceChildren(...controlButtons(device, mine, holder, down));
        if (focused) (buttons.querySelector(`[value=${focused}]`) || buttons.querySelector('button') || element.querySelector('button'))?.focus();
      }
      for (const c of controls) c.enable(live() && !down && (c.anyone || mine));
      if (down || !live()) for (const p of plots.values()) p.gap();
    }

    function controlButtons(device, mine, holder, down) {
      const button = (what, action, danger) => el('button', { type: 'button', value: what, className: danger ? 'danger' : what === 'take' ? '' : 'quiet', textContent: t(what), disabled: !live() || (down && what !== 'release'), onclick: action });
      const act = (what, to) => board.control(name, what, to).catch(e => note('no', t('refusal', { command: t(what), message: e.message })));
      if (!may()) return [];
      if (mine) return [button('release', () => act('release')), button('give', async () => {
        const others = [...board.members.values()].filter(m => m.role !== 'viewer' && m.session !== board.you?.session);
        const to = await choose(others.length ? t('give_ask', { device: name }) : t('give_nobody'), others.map(m => ({ value: m.session, label: m.user })));
        if (!to) return;
        const user = board.members.get(to)?.user || '';
        board.control(name, 'give', to).then(() => note('', t('offered', { user })), e => note('no', t('refusal', { command: t('give'), message: e.message })));
      })];
      return [button('take', () => act('take')), holder && board.you.role === 'admin' ? button('force', async () => {
        if (await choose(t('force_ask', { device: name, user: holder.user }), [{ value: 'yes', label: t('force_yes'), danger: true }])) act('force');
      }, true) : null].filter(Boolean);
    }

    /** Gives a command and shows, here, what comes of it. */
    async function run(command, args, send) {
      const began = performance.now(), given = shown(args), label = command + (given ? ` (${given})` : '');
      const li = note('wait', t('wait', { command: label }));
      try {
        const { id, answer } = await send();
        const finish = e => {
          const result = e.ok === null ? '' : shown(e.result);
          li.className = e.ok ? 'yes' : 'no';
          write(li.lastChild, t(e.ok === null ? 'gone' : e.ok ? 'ok' : 'no', { command: label, s: seconds(performance.now() - began) }) + (result ? ': ' + result : ''));
        };
        if (answer) finish(await answer);
        else if (early.has(id)) finish(early.get(id));
        else waiting.set(id, finish);
      } catch (e) {
        li.className = 'no';
        write(li.lastChild, t('refusal', { command: label, message: e.message }));
      }
    }

    function note(kind, text) {
      const li = el('li', { className: kind }, el('time', { textContent: clock(new Date()) }), el('span', { textContent: text }));
      said.append(li);
      while (said.childElementCount > KEEP) said.firstElementChild.remove();
      return li;
    }

    function heardHere(e) {
      if (e.type !== 'answered') return;
      const finish = waiting.get(e.to);
      waiting.delete(e.to);
      if (finish) finish(e);
      else { early.set(e.to, e); if (early.size > 20) early.delete(early.keys().next().value); }
    }

    function measure(values) {
      for (const [key, value] of Object.entries(values)) {
        if (!plots.has(key)) { const p = makePlot(key, describe.telemetry?.[key] || ''); plots.set(key, p); gauges.append(p.element); }
        plots.get(key).add(value);
      }
    }
    for (const key of Object.keys(describe.telemetry || {})) { const p = makePlot(key, describe.telemetry[key]); plots.set(key, p); gauges.append(p.element); }

    return { element, shape, renew, run, measure, heard: heardHere, draw() { for (const p of plots.values()) p.draw(); } };
  }

  function second() {
    for (const [name, card] of cards) { const d = board.devices.get(name); if (d) card.renew(d); if (!document.hidden) card.draw(); }
  }

  return { heard, second };
}

// ------------------------------------------------------------------------------------------------ command forms

/** A form for one command, from its description: every argument is a field, ranges have a slider too. */
function makeForm(command, what, send) {
  const fields = Object.entries(what.args || {}).map(([name, spec]) => makeField(name, spec || {}));
  const button = el('button', { type: 'submit', textContent: command, className: what.anyone ? 'stop' : '' });
  const element = el('form', { className: fields.length ? 'command with' : 'command', onsubmit: e => {
    e.preventDefault();
    const args = {};
    for (const f of fields) { const value = f.value(); if (value !== undefined) args[f.name] = value; }
    send(args);
  } }, ...fields.map(f => f.element), button);
  return { element, anyone: !!what.anyone, enable(on) { button.disabled = !on; for (const f of fields) f.enable(on); } };
}

function makeField(name, spec) {
  const id = 'f' + Math.random().toString(36).slice(2), optional = !!spec.optional, isNumber = spec.type === 'number' || spec.type === 'integer';
  const limits = isNumber ? { min: spec.min ?? '', max: spec.max ?? '', step: spec.type === 'integer' ? 1 : 'any' } : {};
  let input, slider = null;
  if (spec.choices) input = el('select', { id, required: !optional }, el('option', { value: '', textContent: t('choose') }), ...spec.choices.map((c, i) => el('option', { value: String(i), textContent: shown(c) })));
  else if (spec.type === 'boolean') input = el('input', { id, type: 'checkbox' });
  else if (isNumber) {
    input = el('input', { id, type: 'number', inputMode: spec.type === 'integer' && !(spec.min < 0) ? 'numeric' : 'decimal', required: !optional, ...limits });
    if (spec.min !== undefined && spec.max !== undefined) {
      slider = el('input', { type: 'range', ...limits, step: spec.type === 'integer' ? 1 : (spec.max - spec.min) / 200, value: spec.min, 'aria-label': name });
      slider.oninput = () => { input.value = String(Number(Number(slider.value).toPrecision(6))); };
      input.oninput = () => { slider.value = input.value; };
    }
  } else input = el('input', { id, type: 'text', required: !optional, maxLength: spec.max ?? 1000 });
  const range = isNumber && (spec.min !== undefined || spec.max !== undefined) ? ` ${spec.min ?? ''} … ${spec.max ?? ''}` : '';
  const label = el('label', { for: id }, name, el('small', { textContent: range + (optional ? ' ' + t('optional') : '') }));
  return {
    name, element: el('div', { className: 'field' }, label, input, slider),
    enable(on) { input.disabled = !on; if (slider) slider.disabled = !on; },
    value() {
      if (spec.type === 'boolean' && !spec.choices) return input.checked;
      if (input.value === '') return undefined;
      return spec.choices ? spec.choices[input.value] : isNumber ? Number(input.value) : input.value;
    },
  };
}

// ------------------------------------------------------------------------------------------------------- plots

/** One measured value: its number, large, and its last minutes. */
function makePlot(name, unit) {
  const svg = (tag, a) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const k in a) e.setAttribute(k, a[k]); return e; };
  const value = el('span', { className: 'value', textContent: '–' }), low = el('small'), high = el('small');
  const picture = svg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': name }), path = svg('path', {});
  picture.append(path);
  const frame = el('div', { className: 'plot', hidden: true }, el('div', { className: 'scale' }, high, low));
  frame.prepend(picture);
  const element = el('div', { className: 'gauge' }, el('dt', { textContent: name }), el('dd', {}, value, ' ', el('small', { textContent: unit }), frame));
  const seen = [];               // one entry a second: {at, min, max, last}; null last: a gap before it
  let newest = null, dirty = false;

  return {
    element,
    add(v) {
      element.classList.remove('old');
      newest = v;
      dirty = true;
      if (typeof v !== 'number') return;
      const at = Math.floor(performance.now() / 1000), top = seen.at(-1);
      if (top && top.at === at && !top.gap) { top.min = Math.min(top.min, v); top.max = Math.max(top.max, v); top.last = v; }
      else seen.push({ at, min: v, max: v, last: v });
      while (seen.length && seen[0].at < at - SPAN_S) seen.shift();
    },
    /** No values come now: the line breaks off. */
    gap() {
      element.classList.add('old');
      if (seen.length && !seen.at(-1).gap) seen.push({ at: Math.floor(performance.now() / 1000), gap: true });
    },
    draw() {
      if (dirty) write(value, typeof newest === 'number' ? number(newest) : shown(newest));
      const points = seen.filter(p => !p.gap);
      if (!points.length) return;
      frame.hidden = false;
      let min = Math.min(...points.map(p => p.min)), max = Math.max(...points.map(p => p.max));
      const label = [number(min), number(max)];
      if (max - min < 1e-9) { min -= 1; max += 1; }
      const end = Math.floor(performance.now() / 1000), x = at => (WIDE * (1 - (end - at) / SPAN_S)).toFixed(1), y = v => (2 + (HIGH - 4) * (1 - (v - min) / (max - min))).toFixed(1);
      let d = '', pen = false, lastX = 0;
      for (const p of seen) {
        if (p.gap) { pen = false; continue; }
        d += `${pen ? 'L' : 'M'}${x(p.at)} ${y(p.min)}`;
        if (p.max !== p.min) d += `L${x(p.at)} ${y(p.max)}L${x(p.at)} ${y(p.last)}`;
        lastX = p;
        pen = true;
      }
      if (pen && lastX.at < end) d += `L${x(end)} ${y(lastX.last)}`;      // a value holds until the next one
      path.setAttribute('d', d);
      write(low, label[0]);
      write(high, label[1]);
      if (dirty) picture.setAttribute('aria-label', t('trend', { name, now: number(points.at(-1).last), min: label[0], max: label[1], unit }));
      dirty = false;
    },
  };
}

