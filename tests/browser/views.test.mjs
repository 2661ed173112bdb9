// Every view of the panel: no violation found by axe-core, nothing wider than the screen, everything reached by keyboard,
// touch targets large enough. With PICTURES=docs/img their pictures are kept for the README.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { browser, cleanUp, device, kind, now, Person, pictures, say, Server, until, Watcher } from './lib.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { width: 390, height: 844, touch: true }, DESK = { width: 1280, height: 800 };
let one, server;

before(async () => {
  one = await browser({ args: kind === 'chromium' ? ['--host-resolver-rules=MAP pump-room.local 127.0.0.1'] : [] });
  server = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]', seats: 'max = 6' } });
  if (kind === 'chromium') server.name = `pump-room.local:${server.port}`;
  await device(server, 'pump-1');
  const local = { base: server.plain };
  await Watcher.start(local, 'viewer', [], '127.0.0.35');
  await Watcher.start(local, 'bob', [], '127.0.0.21');
  const at = from => ({ base: local.base, ask: Server.prototype.ask, from });
  await say(at('127.0.0.21'), 'bob', 'Pump 1 is warm, you can start it slowly.');
  const eve = await Watcher.start(local, 'eve', [], '127.0.0.22');
  await say(at('127.0.0.22'), 'eve', 'Valve 3 is open, pressure 4.1 bar.');
  await say(at('127.0.0.35'), 'viewer', 'Looks good from the office.');
  eve.process.kill('SIGKILL');
  await until('eve has left', async () => (await server.events()).some(e => e.type === 'left'));
});
after(cleanUp);

const person = (user, options) => one.createBrowserContext().then(c => Person.at(c, server.as(user), { ...DESK, ...options }));

/** Looks at the page as it is: axe, widths, sizes of what can be touched; and takes its picture. */
async function look(p, name, keep = false) {
  await p.run(axe + '; 0');
  const found = await p.run(async () => (await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
    .violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.target.join(' ') + ' ' + (n.any[0]?.message || '')).slice(0, 3).join(' | ')}`));
  assert.deepEqual(found, [], name);
  const wide = await p.run(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${name}: ${wide} px wider than the screen`);
  const small = await p.run(() => [...document.querySelectorAll('button, input, select, a')].filter(e => e.checkVisibility?.() && !e.disabled).map(e => [e.innerText || e.id || e.type, e.getBoundingClientRect()])
    .filter(([, r]) => r.width && (r.width < 20 || r.height < 20)).map(([t, r]) => `${t} ${r.width}x${r.height}`));
  assert.deepEqual(small, [], `${name}: too small to touch`);
  const dir = pictures();
  if (dir && keep) await p.page.screenshot({ path: join(dir, name + '.png') });
}

const press = (p, label, where = 'body') => until(`a button ${label}`, () => p.run((label, where) => {
  const b = [...document.querySelectorAll(where + ' button')].find(b => b.innerText.trim() === label && !b.disabled);
  if (b) b.click();
  return !!b;
}, label, where));

test('on a desk: live, in control, in the dark', async () => {
  const ann = await person('ann');
  await ann.live();
  await look(ann, 'free');
  await press(ann, 'Take control');
  await until('she controls it', async () => /You control it/.test(await ann.text('.holder')));
  await press(ann, 'start');
  await until('it runs', async () => /running/.test(await ann.text('.gauges')));
  await ann.run(() => { const f = [...document.querySelectorAll('form.command')].find(f => f.innerText.includes('speed')); f.querySelector('input').value = 9000; f.noValidate = true; f.requestSubmit(); });
  await until('a refusal is shown where the command was given', async () => /speed.*not sent on/.test(await ann.text('.answers')));
  await ann.run(() => { const f = [...document.querySelectorAll('form.command')].find(f => f.innerText.includes('speed')); const i = f.querySelector('input'); i.value = 1800; i.dispatchEvent(new Event('input')); f.requestSubmit(); });
  await until('it runs faster', async () => /speed \(rpm 1,800\): done/.test(await ann.text('.answers')));
  const run = now();
  await until('there is something to see on the plots', () => now() - run > 12_000, 20_000);
  await look(ann, 'panel', true);
  await ann.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
  await look(ann, 'panel-dark', true);
  await press(ann, 'Offer…');
  await until('the question', () => ann.run(() => document.querySelector('#ask').open));
  await look(ann, 'question');
  await press(ann, 'Cancel');
  const phone = await Person.at(ann.page.browserContext(), server.base + '/', PHONE);
  await phone.live();
  await until('the plots are drawn', () => phone.run(() => !!document.querySelector('.plot:not([hidden])')));
  await look(phone, 'phone-machines', true);
  for (const [view, name] of [['people', 'phone-people'], ['talk', 'phone-talk']]) {
    await phone.run(v => document.querySelector(`#views [data-view=${v}]`).click(), view);
    await look(phone, name);
  }
  await phone.page.close();
  await press(ann, 'Give back');
});

test('an admin and a viewer see what is theirs to do', async () => {
  const admin = await person('admin'), viewer = await person('viewer', PHONE);
  await Promise.all([admin.live(), viewer.live()]);
  await look(admin, 'admin');
  assert.equal(await viewer.run(() => document.querySelectorAll('.control button').length), 0, 'a viewer takes no control');
  assert.ok(await viewer.run(() => !document.querySelector('#stops').hidden && document.querySelector('#stops button').checkVisibility()), 'but has the emergency stop');
  await look(viewer, 'viewer');
  await admin.page.close();
  await viewer.page.close();
});

test('everything is reached by keyboard, in the order of the page, and is seen to be', async () => {
  const ann = await person('ann');
  await ann.live();
  await ann.page.bringToFront();
  await until('the machine', async () => /Take control/.test(await ann.text('#devices')));
  const seen = [];
  for (let i = 0; i < 30; i++) {
    await ann.page.keyboard.press('Tab');
    const [what, ring] = await ann.run(() => { const e = document.activeElement; return [e.id || e.innerText?.trim() || e.type, getComputedStyle(e).outlineStyle !== 'none']; });
    if (what === seen[0]) break;
    if (await ann.run(() => document.activeElement === document.body)) continue;
    assert.ok(ring, `${what} shows that it has the focus`);
    seen.push(what);
  }
  for (const what of ['logout', 'Take control', 'stop', 'chat-only', 'scroll', 'text', 'send', 'stop pump-1']) assert.ok(seen.includes(what), `${what} among ${seen}`);
  await ann.page.close();
});

test('a full house', async () => {
  const small = await Server.start({ tables: { seats: 'max = 1' } });
  await Watcher.start(small, 'bob');
  for (const [name, options] of [['full-house', { ...DESK, height: 560 }], ['full-dark', { ...PHONE, dark: true }]]) {
    const ann = await Person.at(await one.createBrowserContext(), small.as('ann'), options);
    await until('she is told', async () => /Full house/.test(await ann.text('h1')));
    await look(ann, name, name === 'full-house');
    await ann.page.close();
  }
});

test('no link, and signed out', async () => {
  const other = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } });
  await device(other, 'pump-1');
  await Watcher.start(other, 'bob');
  if (kind === 'chromium') other.name = `pump-room.local:${other.port}`;
  await say(other, 'bob', 'Pump 1 is warm, you can start it slowly.');
  const ann = await Person.at(await one.createBrowserContext(), other.as('ann'), DESK);
  await ann.live();
  await until('its values', async () => /°C/.test(await ann.text('.gauges')));
  await other.stop('KILL');
  await ann.reaches('lost');
  await until('it says for how long', async () => /\d s/.test(await ann.text('#banner-time')));
  await look(ann, 'lost', true);
  await ann.page.setViewport({ width: 390, height: 844 });
  await look(ann, 'lost-phone');
  await other.run();
  await ann.reaches('open');
  await ann.run(() => document.querySelector('#logout').click());
  await ann.reaches('signed_out');
  await look(ann, 'signed-out');
});
