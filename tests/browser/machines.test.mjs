// The panel's machines in real browsers: control, commands, answers, emergency stop, and the dead man's switch.
import { test, before, after, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { browser, cleanUp, device, never, now, Person, Server, until, Watcher } from './lib.mjs';

let one, server, watcher;
before(async () => {
  one = await browser();
  server = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]', seats: 'linger = "1s"' } });
  await device(server, 'pump-1');
  watcher = await Watcher.start(server);
});
after(cleanUp);
// Each test begins with nobody else on board and a pump that nobody controls.
beforeEach(() => until('nobody is left of the test before', async () => (await server.roster()).every(m => m.user === 'admin') && (await pump()).holder === null));

const person = async (user, b = one) => { const p = await Person.at(await b.createBrowserContext(), server.as(user)); await p.live(); await until('the pump', () => p.text('.machine')); return p; };
const pump = async () => (await server.ask('GET', '/api/devices')).json()[0];
const press = (p, label) => until(`a button ${label}`, () => p.run(label => {
  const b = [...document.querySelectorAll('#machines button, #stops button, #ask-choices button')].find(b => b.innerText.trim() === label && !b.disabled);
  b?.click();
  return !!b;
}, label));
const fill = (p, command, value) => p.run((command, value) => {
  const f = [...document.querySelectorAll('form.command')].find(f => f.innerText.includes(command));
  f.querySelector('input, select').value = value;
  f.requestSubmit();
}, command, value);
const take = async p => { await press(p, 'Take control'); await until('control', async () => /You control it/.test(await p.text('.holder'))); };
const answers = (p, what, limit) => until(`the card says ${what}`, async () => { const said = await p.text('.answers'); return what.test(said) ? said : (() => { throw new Error(said); })(); }, limit);

test('control is taken, a command given and answered, and everyone sees who did what', async () => {
  const ann = await person('ann'), bob = await person('bob');
  assert.ok(await ann.run(() => [...document.querySelectorAll('form.command:not(:has(.stop)) button')].every(b => b.disabled)), 'without control there are no commands');
  await take(ann);
  await until('bob sees who has it', async () => /ann controls it/.test(await bob.text('.holder')));
  await press(ann, 'start');
  await answers(ann, /start: done \([\d.]+ (ms|s)\): rpm/);
  await fill(ann, 'speed', 1500);
  await answers(ann, /speed \(rpm 1,500\): done/);
  await bob.sees('ann → pump-1: speed (rpm 1,500)');
  await bob.sees('pump-1: speed: done');
  for (const p of [ann, bob]) {
    await p.page.bringToFront();           // nothing is drawn that nobody sees
    await until('both see it turn', async () => /1,500[\s\S]*running/.test(await p.text('.gauges')));
  }
  await press(bob, 'Take control');
  await answers(bob, /Take control: not sent on: ann/);
  await press(ann, 'Give back');
  await until('nobody has it', async () => /Nobody/.test(await bob.text('.holder')));
  assert.match(await bob.text('.gauges'), /running/, 'it goes on running when it is given back in order');
  await Promise.all([ann.page.close(), bob.page.close()]);
  assert.deepEqual([ann.trouble, bob.trouble], [[], []]);
});

test('control is offered to somebody, who takes it', async () => {
  const ann = await person('ann'), bob = await person('bob');
  await take(ann);
  await press(ann, 'Offer…');
  await press(ann, 'bob');
  await until('bob is asked', async () => /ann offers it to you/.test(await bob.text('.holder')));
  await take(bob);
  await until('ann sees it', async () => /bob controls it/.test(await ann.text('.holder')));
  assert.equal((await until('the event', () => watcher.heard.findLast(e => e.type === 'control' && e.holder?.user === 'bob'))).reason, 'given');
  await Promise.all([ann.page.close(), bob.page.close()]);
});

test('an emergency stop is anybody\'s, a viewer\'s too, at any time', async () => {
  const ann = await person('ann'), viewer = await person('viewer');
  await take(ann);
  await press(ann, 'start');
  await until('it runs', async () => (await pump()).telemetry.state === 'running');
  await press(viewer, 'stop pump-1');
  await answers(viewer, /stop: done/);
  await until('it stands', async () => (await pump()).telemetry.state !== 'running');
  const stops = watcher.heard.filter(e => e.type === 'commanded' && e.command === 'stop' && e.by.user === 'viewer');
  assert.equal(stops.length, 1, 'sent over two ways, done once');
  await Promise.all([ann.page.close(), viewer.page.close()]);
});

test('an emergency stop is in reach whatever is looked at or asked, and says beside its button what came of it', async () => {
  const ann = await person('ann');
  await ann.page.setViewport({ width: 390, height: 700 });
  await ann.page.bringToFront();
  await take(ann);
  await press(ann, 'start');
  await until('it runs', async () => (await pump()).telemetry.state === 'running');
  await press(ann, 'Offer…');
  await until('the question', () => ann.run(() => document.querySelector('#ask').open));
  await ann.page.click('#stops button');                  // with the mouse: nothing may lie over it
  await until('it stands', async () => (await pump()).telemetry.state !== 'running');
  await until('the outcome', async () => /^\d\d:\d\d:\d\d pump-1: stop: done/.test(await ann.text('#stopped')));
  await ann.page.keyboard.press('Escape');
  await ann.run(() => document.querySelector('#views [data-view=talk]').click());
  await ann.page.click('#stops button');
  await until('it is seen in another view too', () => ann.run(() => !document.querySelector('#machines').checkVisibility() && document.querySelector('#stopped').checkVisibility()));
  await ann.page.close();
  assert.deepEqual(ann.trouble, []);
});

test('a question that nobody answered is not answered by the next one\'s yes', async () => {
  const ann = await person('ann'), admin = await person('admin');
  await take(ann);
  await until('the admin sees both', async () => /ann controls it/.test(await admin.text('.holder')) && /Evict\s+ann/.test(await admin.text('#members')));
  await admin.run(() => [...document.querySelectorAll('#members button')].find(b => b.innerText.includes('ann')).click());
  await until('a question about a seat', async () => /Take the seat away from ann/.test(await admin.text('#ask-text')));
  await press(admin, 'Take by force');
  await until('a question about a machine', async () => /Take pump-1 away from ann/.test(await admin.text('#ask-text')));
  await admin.run(() => document.querySelector('#ask-choices button').click());
  await until('control', async () => /You control it/.test(await admin.text('.holder')));
  await never('somebody is evicted', async () => !(await server.roster()).some(m => m.user === 'ann'), 1000);
  await Promise.all([ann.page.close(), admin.page.close()]);
});

test('a key that is pressed twice takes control, and does not give it back', async () => {
  const ann = await person('ann');
  await ann.page.bringToFront();
  await ann.run(() => [...document.querySelectorAll('.control button')].find(b => b.innerText === 'Take control').focus());
  await ann.page.keyboard.press('Enter');
  await until('control', async () => /You control it/.test(await ann.text('.holder')));
  await ann.page.keyboard.press('Enter');
  await never('control is gone', async () => (await pump()).holder === null, 1000);
  assert.ok(await ann.run(() => document.activeElement.matches('.machine')), 'the focus is on the machine');
  await ann.page.close();
});

test('a command whose answer cannot come any more is not waited for', async () => {
  const own = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } });
  await device(own, 'mute-1', ['sh', '-c', `echo '{"describe":{"commands":{"open":{"anyone":true}}}}'; while read -r l; do case $l in *ping*) echo "$l" | sed s/ping/pong/;; esac; done`]);
  const ann = await Person.at(await one.createBrowserContext(), own.as('ann'));
  await ann.live();
  await press(ann, 'open mute-1');
  await until('it waits', async () => /waiting for the answer/.test(await ann.text('#stopped')) && (await own.events()).some(e => e.type === 'commanded'));
  await own.stop('KILL');
  await own.run();
  await ann.live();
  await until('it is told so', async () => /no answer, nobody knows whether it ran/.test(await ann.text('#stopped')));
});

test('values that nobody renews have their time beside them', async () => {
  const own = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } });
  const program = `echo '{"describe":{"telemetry":{"level":"m"}}}'; echo '{"telemetry":{"level":4.2}}'; while read -r l; do case $l in *ping*) echo "$l" | sed s/ping/pong/;; esac; done`;
  await device(own, 'tank-1', ['sh', '-c', program]);
  const ann = await Person.at(await one.createBrowserContext(), own.as('ann'));
  await ann.live();
  await until('its value', async () => /4.2/.test(await ann.text('.gauges')));
  await until('its time', async () => /values of \d\d:\d\d:\d\d/.test(await ann.text('.machine')), 15_000);
  assert.match(await ann.text('.machine .chip'), /^up$/, 'the machine is well all the same');
});

test('a reload keeps control, and the machine is told nothing', async () => {
  const ann = await person('ann'), from = now();
  await take(ann);
  await press(ann, 'start');
  await until('it runs', async () => (await pump()).telemetry.state === 'running');
  await ann.page.reload();
  await ann.live();
  await until('she has it still', async () => /You control it/.test(await ann.text('.holder')));
  await never('control is lost', () => watcher.heard.find(e => e.type === 'control' && e.at > from && !e.holder), 6000);
  assert.equal((await pump()).telemetry.state, 'running');
  await ann.page.close();
  const end = await until('control ends with her page', () => watcher.heard.find(e => e.type === 'control' && e.at > from && !e.holder));
  assert.equal(end.reason, 'left');
  await until('and the pump is safe', async () => (await pump()).telemetry.state !== 'running');
});

test('a holder whose page hangs loses control within its 3 s, also if another tab of theirs lives', async () => {
  const ann = await person('ann');
  const other = await Person.at(ann.page.browserContext(), server.base + '/');
  await other.live();
  await take(ann);
  await press(ann, 'start');
  const from = now();
  await until('some beats were answered', () => watcher.heard.filter(m => m.type === 'beat' && m.at > from).length > 3);
  const hung = now();
  ann.run(() => { const end = performance.now() + 6000; while (performance.now() < end); }).catch(() => 0);
  const end = await until('control ends', () => watcher.heard.find(e => e.type === 'control' && e.at > hung && !e.holder));
  assert.equal(end.reason, 'page');
  assert.ok(end.at - hung < 3500, `after ${end.at - hung} ms`);
  await until('the pump is safe', async () => (await pump()).telemetry.state !== 'running');
  await until('the other tab sees it', async () => /Nobody controls it/.test(await other.text('.holder')));
  await Promise.all([ann.page.close(), other.page.close()]);
});

test('a browser that is killed takes its control with it', async () => {
  const doomed = await browser();
  const ann = await person('ann', doomed);
  await take(ann);
  await press(ann, 'start');
  await until('it runs', async () => (await pump()).telemetry.state === 'running');
  const killed = now();
  doomed.process().kill('SIGKILL');
  const end = await until('control ends', () => watcher.heard.find(e => e.type === 'control' && e.at > killed && !e.holder));
  assert.ok(end.at - killed < 3500, `after ${end.at - killed} ms`);
  await until('the pump is safe', async () => (await pump()).telemetry.state !== 'running');
});

test('where WebSocket is blocked control works over events and POST', async () => {
  const context = await one.createBrowserContext(), page = await context.newPage();
  await page.evaluateOnNewDocument(() => {
    window.WebSocket = class { constructor() { this.readyState = 0; setTimeout(() => this.onclose?.({ code: 1006 }), 5); } close() {} send() {} };
  });
  const ann = new Person();
  ann.page = page;
  await page.goto(server.as('ann'));
  await ann.live();
  const from = now();
  await take(ann);
  await press(ann, 'start');
  await answers(ann, /start: done/);
  await never('control is lost', () => watcher.heard.find(e => e.type === 'control' && e.at > from && !e.holder), 7000);
  await fill(ann, 'speed', 900);
  await answers(ann, /speed \(rpm 900\): done/);
  await page.close();
  await until('control ends', () => watcher.heard.find(e => e.type === 'control' && e.at > from && !e.holder));
});

test('many machines share one emergency stop, which asks for which', async () => {
  const many = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } });
  await Promise.all(['pump-1', 'pump-2', 'pump-3', 'pump-4', 'pump-5'].map(name => device(many, name)));
  const ann = await Person.at(await one.createBrowserContext(), many.as('ann'));
  await ann.live();
  await until('five cards, in order', async () => (await ann.run(() => [...document.querySelectorAll('.machine h3')].map(h => h.innerText).join(' '))) === 'pump-1 pump-2 pump-3 pump-4 pump-5');
  await press(ann, 'Emergency stop…');
  await press(ann, 'stop pump-4');
  await until('its card says so', () => ann.run(() => /stop: done/.test([...document.querySelectorAll('.machine')].find(m => m.innerText.includes('pump-4')).querySelector('.answers').innerText)));
  assert.deepEqual((await many.events()).filter(e => e.type === 'commanded').map(e => e.device), ['pump-4']);
});

test('a machine that goes is down on the page, with its reason, and comes back with what it can do', async () => {
  const own = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]' } });
  const link = await device(own, 'pump-9');
  const ann = await Person.at(await one.createBrowserContext(), own.as('ann'));
  await ann.live();
  await until('it is up', async () => /up/.test(await ann.text('.machine .chip')));
  link.kill('SIGKILL');
  await until('it is down', async () => /down since/.test(await ann.text('.machine .chip')));
  await ann.sees('pump-9: down');
  assert.ok(await ann.run(() => [...document.querySelectorAll('.machine button')].every(b => b.disabled)), 'nothing can be asked of it');
  await device(own, 'pump-9');
  await until('it is up again', async () => /^up$/.test(await ann.text('.machine .chip')));
  await press(ann, 'Take control');
  await until('control', async () => /You control it/.test(await ann.text('.holder')));
});

test('whoever finds no seat has the emergency stops all the same', async () => {
  const small = await Server.start({ tables: { devices: 'listen = ["127.0.0.1:0"]', seats: 'max = 1' } });
  await device(small, 'pump-1');
  await Watcher.start(small, 'bob');
  const ann = await Person.at(await one.createBrowserContext(), small.as('ann'));
  await until('she is told', async () => /Full house/.test(await ann.text('h1')));
  await until('a stop', () => ann.run(() => { const b = document.querySelector('#stops button'); b?.click(); return b?.innerText === 'stop pump-1'; }));
  await until('it is commanded', async () => (await small.events()).some(e => e.type === 'commanded' && e.command === 'stop' && e.by.user === 'ann'));
  await until('and she is told', async () => /^stop pump-1: ✓$/.test(await ann.text('#said')));
  await small.stop('KILL');
  await until('she is told that the board is gone', async () => /does not answer/.test(await ann.text('#silent')) && await ann.text('#who') === '');
});
