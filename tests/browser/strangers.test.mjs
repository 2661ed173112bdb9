// What others name and say, in real browsers: devices, users and their programs are strangers to the page. Nothing of theirs
// becomes more than text, and what breaks one card leaves the other cards and every emergency stop alone.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { browser, cleanUp, later, Person, say, Server, until } from './lib.mjs';

let one, server, door, ann;
before(async () => {
  one = await browser();
  server = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } });
  door = await doorOf(server);
  await machine('pump-1', { commands: { stop: { anyone: true } }, telemetry: { rpm: '1/min' } });
  ann = await Person.at(await one.createBrowserContext(), server.as('ann'));
  await ann.live();
});
after(cleanUp);

const doorOf = server => until('a door for devices', () => Number(/listening addr=\S+:(\d+) kind=devices/.exec(server.log)?.[1]));
const MARKUP = '<img src=x onerror="document.title=1"><meta http-equiv=refresh content="0;url=/gone"><style>*{display:none}</style>';

/**
 * A device that says `describe` by itself, without `boatswain link` in between; what the server answers first. What it is to
 * `tell` it says again with each answer to a ping: a page that is asking for its description just then does not hear it.
 */
function machine(name, describe, at = door) {
  return new Promise((done, fail) => {
    const socket = net.connect(at, '127.0.0.1', () => socket.write(JSON.stringify({ hello: name, proto: 1, describe }).replaceAll('"PROTO"', '"__proto__"') + '\n'));
    let text = '', first = true, told = '';
    const tell = what => { told = (typeof what === 'string' ? what : JSON.stringify(what)) + '\n'; socket.write(told); };
    later(() => socket.destroy());
    socket.setEncoding('utf8').on('error', fail).on('data', d => {
      const lines = (text + d).split('\n');
      text = lines.pop();
      for (const line of lines.map(l => JSON.parse(l))) {
        if (first) { first = false; done({ socket, line, tell }); }
        if (line.ping) socket.write('{"pong":1}\n' + told);
        if (line.command) socket.write(JSON.stringify({ answer: line.id, ok: true, result: { innerHTML: MARKUP, style: 'position:fixed;inset:0' } }) + '\n');
      }
    });
  });
}

const cards = p => p.run(() => [...document.querySelectorAll('.machine')].map(m => m.innerText));
/** The page as it should be whatever was said: live, where it was, its stop in reach, and nothing of others in its markup. */
async function whole(p = ann) {
  assert.equal(await p.state(), 'open');
  const seen = await p.run(() => {
    const stop = [...document.querySelectorAll('#stops button')].find(b => b.innerText.trim() === 'stop pump-1'), r = stop?.getBoundingClientRect();
    return {
      path: location.pathname,
      foreign: [...document.querySelectorAll('main :is(img, meta, style, script, iframe, link, a, i), main [style], main [onerror], footer [style]')].map(e => e.outerHTML),
      hit: !!stop && document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2) === stop, pump: [...document.querySelectorAll('.machine h3')].some(h => h.innerText === 'pump-1'),
    };
  });
  assert.deepEqual(seen, { path: '/', foreign: [], hit: true, pump: true });
  assert.deepEqual(p.trouble, []);
}

test('a description with markup, properties or objects where text belongs is refused by name', async () => {
  for (const [describe, name] of [
    [{ telemetry: { t: { innerHTML: MARKUP } } }, '"t"'],
    [{ telemetry: { t: { style: 'position:fixed;inset:0;z-index:9;background:red' } } }, '"t"'],
    [{ telemetry: { t: { children: 1 } } }, '"t"'],
    [{ telemetry: { t: { textContent: 'x' } } }, '"t"'],
    [{ telemetry: { t: { unit: 'C', digits: 1 } } }, '"t"'],
    [{ commands: { go: { args: { x: { choices: [{ innerHTML: MARKUP }] } } } } }, '"x"'],
    [{ commands: { go: { args: { x: { choices: Array.from({ length: 2000 }, (_, i) => i) } } } } }, 'bytes'],
    [{ commands: { go: { args: { x: { type: { textContent: 'number' } } } } } }, '"x"'],
    [{ commands: { go: { args: { x: { type: 'number', min: { valueOf: 1 } } } } } }, '"x"'],
  ]) {
    const { line, socket } = await machine('evil-1', describe);
    assert.equal(line.error, 'describe', JSON.stringify(line));
    assert.ok(line.message.includes(name), line.message);
    await until('its link is closed', () => socket.readyState !== 'open');
  }
  assert.equal((await server.ask('GET', '/api/devices')).json().length, 1);
  await whole();
});

test('names, units, choices, values and answers that look like markup stay text', async () => {
  const b = '<b onclick=x>b</b>';
  const { line, tell } = await machine('<i>evil<i>', {
    commands: { [b]: { anyone: true, args: {} }, pick: { args: { [b]: { type: 'string', choices: [b, 'innerHTML'] } } } }, telemetry: { [b]: b, text: '' },
  });
  assert.equal(line.welcome, '<i>evil<i>', JSON.stringify(line));
  tell({ telemetry: { [b]: b, text: MARKUP, style: 'position:fixed' } });
  await until('its values', async () => (await cards(ann)).some(c => c.includes('<i>evil<i>') && c.includes(MARKUP)));
  await until('its stop', () => ann.run(label => { const s = [...document.querySelectorAll('#stops button')].find(x => x.innerText.trim() === label); s?.click(); return !!s; }, `${b} <i>evil<i>`));
  await until('what it answered', async () => (await cards(ann)).some(c => c.includes('innerHTML <img')));
  await ann.sees('innerHTML <img');
  await whole();
});

test('names of what every object has are names like others', async () => {
  const names = ['PROTO', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'];
  for (const name of names.slice(0, 3)) {
    const describe = { commands: {}, telemetry: { x: '' } };
    for (const n of names) { describe.commands[n] = { args: { [n]: { type: 'number', optional: true } } }; describe.telemetry[n] = n; }
    const { line, tell } = await machine(name.replace('PROTO', '__proto__'), describe);
    assert.ok(line.welcome, JSON.stringify(line));
    tell('{"telemetry":{"__proto__":5,"constructor":6,"toString":"seven","hasOwnProperty":true,"new":null}}');
  }
  await until('their values', async () => (await cards(ann)).filter(c => /__proto__\s+5\s+__proto__[\s\S]*seven/.test(c) && !/native code/.test(c)).length === 3);
  assert.deepEqual(await ann.run(() => [...document.querySelectorAll('.machine')].map(m => m.querySelectorAll('form').length).filter(n => n === 5).length), 3);
  await whole();
});

test('a value that was not described, and numbers at the edge, are shown like others', async () => {
  const { tell, line } = await machine('edge', { commands: { go: { args: { x: { type: 'number', min: -1e308, max: 1e308 } } } }, telemetry: {} });
  assert.ok(line.welcome);
  tell({ telemetry: { valueOf: 1, x: 1e308, y: 1e-300, z: 'NaN' } });
  tell({ telemetry: { valueOf: 1, x: -1e308, y: 1e-300, z: 'NaN' } });
  const card = await until('its values', async () => (await cards(ann)).find(c => /^edge/.test(c) && /-1\.\d*e\+308/i.test(c)));
  assert.ok(card.includes('NaN') && !card.includes('native code') && card.length < 600, card);
  await until('its line', () => ann.run(() => /^M[\d.]+ [\d.]/.test([...document.querySelectorAll('.machine')].find(m => m.querySelector('h3').innerText === 'edge').querySelector('path[d]')?.getAttribute('d') ?? '')));
  await whole();
});

test('marks that turn the direction of text are seen and not obeyed, and long names keep to their place', async () => {
  const turned = 'a\u202eb\u2066c';
  const { line } = await machine(turned, {});
  assert.equal(line.error, 'hello');
  const long = 'W'.repeat(64), wide = await machine(long, { commands: { [long]: {} }, telemetry: { [long]: long } });
  assert.ok(wide.line.welcome);
  wide.tell({ telemetry: { [long]: turned } });
  await until('its value', async () => (await cards(ann)).some(c => c.includes('a\ufffdb\ufffdc')));
  await say(server, 'bob', turned + ' ' + MARKUP);
  await ann.sees('a\ufffdb\ufffdc ' + MARKUP);
  assert.deepEqual(await ann.run(() => [...document.querySelectorAll('.machine, .machine button')].filter(m => m.scrollWidth > m.clientWidth + 1).map(m => m.innerText)), [], 'nothing sticks out');
  await whole();
});

test('what a program calls itself stays text', async () => {
  await server.ask('GET', '/', { user: 'eve', headers: { 'User-Agent': MARKUP } });
  await until('she is shown', () => ann.run(agent => [...document.querySelectorAll('#members li')].some(li => li.title === agent), MARKUP));
  await whole();
});

test('a page draws text even from a board that sends objects for text, and a card that fails leaves all others and every stop alone', async () => {
  const context = await one.createBrowserContext(), page = await context.newPage(), p = new Person();
  Object.assign(p, { page, trouble: [] });
  // A board of an older version, say: what this one would have refused. And one card that cannot be built.
  await page.evaluateOnNewDocument(markup => {
    const parse = JSON.parse, units = [{ innerHTML: markup }, { style: 'position:fixed;inset:0' }, { children: 1 }, { textContent: 'x' }, { append: 1 }, ['a'], { toString: 1, valueOf: 1 }];
    JSON.parse = (...a) => {
      const m = parse(...a), list = m?.type === 'hello' ? m.devices : Array.isArray(m) ? m : [];
      for (const d of list) if (d?.name === 'edge') d.describe.telemetry = Object.fromEntries(units.map((u, i) => ['u' + i, u]));
      for (const d of list) if (d?.name === 'toString') d.describe.commands = { boom: { args: { x: { choices: 5 } } }, halt: { anyone: true } };
      return m;
    };
  }, MARKUP);
  await page.goto(server.as('bob'));
  await p.live();
  const seen = await until('all cards', async () => { const all = await cards(p); return all.length >= 6 && all; });
  assert.ok(seen.some(c => c.startsWith('edge') && c.includes('{"children":1}')), 'objects are text');
  assert.ok(seen.some(c => /^toString: TypeError/.test(c)), 'the card that failed says so');
  assert.ok(await p.run(() => [...document.querySelectorAll('.machine h3')].some(h => h.innerText === 'pump-1')), 'the others are there');
  await whole(p);
  const before = (await server.events()).filter(e => e.type === 'commanded').length;
  await p.run(() => [...document.querySelectorAll('#stops button')].find(b => b.innerText.trim() === 'stop pump-1').click());
  await until('the stop is told', async () => (await server.events()).filter(e => e.type === 'commanded').length > before);
  await until('and answered', async () => /stop: done/.test(await p.text('#stopped')));
  // The stop of the very device whose card failed.
  await p.run(() => [...document.querySelectorAll('#stops button')].find(b => b.innerText.trim() === 'halt toString').click());
  await until('it was tried', async () => /toString: halt/.test(await p.text('#stopped')));
});

test('a device with many emergency stops does not hide those of others', async () => {
  const own = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } }), at = await doorOf(own);
  await machine('a-1', { commands: Object.fromEntries(Array.from({ length: 60 }, (_, i) => ['s' + i, { anyone: true }])) }, at);
  await machine('pump-1', { commands: { stop: { anyone: true } } }, at);
  const bob = await Person.at(await one.createBrowserContext(), own.as('bob'));
  await bob.live();
  await until('the shared stop', () => bob.run(() => { const b = document.querySelector('#stops button'); b?.click(); return b?.innerText.trim() === 'Emergency stop…'; }));
  const choices = await until('61 choices', async () => { const all = await bob.run(() => [...document.querySelectorAll('#ask-choices button')].map(b => b.innerText)); return all.length === 61 && all; });
  assert.deepEqual(choices.slice(0, 2), ['s0 a-1', 'stop pump-1']);
});
