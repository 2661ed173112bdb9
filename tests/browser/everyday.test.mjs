// Everyday life in a real browser: signing in, talking, full houses, reloads, closed tabs, killed browsers, log-out.
// BROWSER=chromium (default) or firefox.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { browser, cleanUp, folder, kind, never, now, PASSWORD, Person, root, Server, until, Watcher } from './lib.mjs';

let one;                 // a browser that several tests share; each person has a context, so nothing of it, of their own
before(async () => { one = await browser(); });
after(cleanUp);

const person = async (url, options) => Person.at(await one.createBrowserContext(), url, options);
const chromiumOnly = kind === 'chromium' ? {} : { skip: 'only Chromium can be told to' };

test('a link with name and password signs in, and the page is live without a word of trouble', async () => {
  const server = await Server.start();
  const ann = await person(server.as('ann'));
  await ann.live();
  assert.match(await ann.text('#me'), /^ann · operator · seat \d$/);
  assert.equal(await ann.text('#lamp'), 'Live');
  assert.equal(await ann.run(() => document.querySelector('#banner').hidden), true);
  await until('her round trip is shown', async () => /\d ms/.test(await ann.text('#members')));
  assert.deepEqual(ann.trouble, []);
});

test('the browser asks for name and password, and the cookie is enough afterwards', async () => {
  const server = await Server.start();
  const context = await one.createBrowserContext(), page = await context.newPage();
  await page.authenticate({ username: 'ann', password: PASSWORD });
  await page.goto(server.base + '/');
  await until('the page is live', () => page.evaluate(() => document.body.dataset.state === 'open'));
  const cookies = await page.cookies();
  assert.ok(cookies.some(c => c.name === 'boatswain_' + server.port && c.httpOnly), JSON.stringify(cookies));
});

test('two browsers talk: in order, at once, and text stays text', async () => {
  const server = await Server.start();
  const other = await browser();
  const ann = await person(server.as('ann')), bob = await Person.at(other, server.as('bob'));
  await Promise.all([ann.live(), bob.live()]);
  const markup = '<img src=x onerror="document.title=1"> & <b>bold</b>';
  await ann.say(markup);
  await bob.sees(markup);
  for (let i = 1; i <= 5; i++) await bob.say('line ' + i).then(() => ann.sees('line ' + i));
  const lines = (await ann.log()).filter(l => /line \d/.test(l)).map(l => l.slice(-6));
  assert.deepEqual(lines, ['line 1', 'line 2', 'line 3', 'line 4', 'line 5']);
  assert.equal(await bob.run(() => document.querySelectorAll('#log img, #log b b').length), 0);
  await ann.sees('bob came on board');
  assert.match(await ann.text('#members'), /ann \(you\)[\s\S]*bob|bob[\s\S]*ann \(you\)/);
  assert.deepEqual([ann.trouble, bob.trouble], [[], []]);
  await other.close();
});

test('whoever finds the house full sees who is on, and is in within two seconds of a seat being free', async () => {
  const server = await Server.start({ tables: { seats: 'max = 1\nlinger = "200ms"' } });
  const bob = await person(server.as('bob'));
  await bob.live();
  const ann = await person(server.as('ann'));
  await until('she is told', async () => /Full house/.test(await ann.text('h1')));
  assert.match(await ann.text('body'), /bob/);
  await never('somebody is thrown out', async () => await bob.state() !== 'open', 1500);
  await bob.page.close();
  await until('nobody is on', async () => (await server.roster()).length === 0 || (await server.roster())[0].user === 'ann');
  const free = now();
  await ann.reaches('open');
  assert.ok(now() - free < 2500, `in after ${now() - free} ms`);
});

test('an open page that loses its seat to a full house waits it out', async () => {
  const server = await Server.start({ tables: { seats: 'max = 1\nlinger = "200ms"' } });
  const ann = await person(server.as('ann'));
  await ann.live();
  await ann.run(() => document.dispatchEvent(new Event('freeze')));
  await until('her seat is free', async () => (await server.roster()).length === 0);
  const bob = await person(server.as('bob'));
  await bob.live();
  await ann.run(() => document.dispatchEvent(new Event('resume')));
  await ann.reaches('full');
  assert.match(await ann.text('#banner-text'), /1 of 1 seats/);
  await until('she sees who is on', async () => /bob/.test(await ann.text('#members')));
  await bob.run(() => document.querySelector('#logout').click());
  await until('bob is out', async () => (await server.events()).some(e => e.type === 'left' && e.member.user === 'bob'));
  const free = now();
  await ann.reaches('open');
  assert.ok(now() - free < 2000, `in after ${now() - free} ms`);
});

test('a reload, another page and coming back are neither a departure nor an arrival', async () => {
  const server = await Server.start({ tables: { seats: 'linger = "2s"' } });
  const watcher = await Watcher.start(server);
  const ann = await person(server.as('ann'));
  await ann.live();
  for (let i = 0; i < 3; i++) { await ann.page.reload(); await ann.live(); }
  await ann.page.goto(server.base + '/?another');
  await ann.live();
  await ann.page.goBack();
  await ann.live();
  const links = await until('one link is left', async () => { const [m] = (await server.roster()).filter(x => x.user === 'ann'); return m.links === 1 && m; });
  assert.equal(links.state, 'present');
  assert.equal(watcher.heard.filter(e => e.type === 'joined' && e.member.user === 'ann').length, 1);
  await never('she is said to have gone', () => watcher.of('left', 'ann') || watcher.of('lost', 'ann'), 2500);
});

test('two tabs are one member, and closing the last one is leaving', async () => {
  const server = await Server.start({ tables: { seats: 'linger = "500ms"' } });
  const watcher = await Watcher.start(server);
  const context = await one.createBrowserContext();
  const first = await Person.at(context, server.as('ann'));
  await first.live();
  const second = await Person.at(context, server.base + '/');
  await second.live();
  await until('two links', async () => (await server.roster()).find(m => m.user === 'ann').links === 2);
  await first.page.close();
  await until('one link', async () => (await server.roster()).find(m => m.user === 'ann').links === 1);
  await never('she is said to have gone', () => watcher.of('left', 'ann'), 1000);
  const closed = now();
  await second.page.close();
  const left = await watcher.wait('left', 'ann');
  assert.equal(left.reason, 'closed');
  assert.ok(left.at - closed < 2000, `told after ${left.at - closed} ms`);
});

test('a browser that is killed has left, and nobody thinks it is still there', async () => {
  const server = await Server.start({ tables: { seats: 'linger = "500ms"' } });
  const watcher = await Watcher.start(server);
  const doomed = await browser();
  const ann = await Person.at(doomed, server.as('ann'));
  await ann.live();
  const killed = now();
  doomed.process().kill('SIGKILL');
  const gone = await until('others hear that she is gone', () => watcher.of('left', 'ann') || watcher.of('lost', 'ann'));
  assert.ok(gone.at - killed < 3500, `told after ${gone.at - killed} ms`);
});

test('a frozen page leaves, and is back when it thaws', chromiumOnly, async () => {
  const server = await Server.start({ tables: { seats: 'linger = "500ms"' } });
  const watcher = await Watcher.start(server);
  const ann = await person(server.as('ann'));
  await ann.live();
  const cdp = await ann.page.createCDPSession();
  await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
  const left = await watcher.wait('left', 'ann');
  assert.equal(left.reason, 'closed');
  await fetch(server.base + '/healthz');
  await server.ask('POST', '/api/chat', { body: 'while you slept' });
  await cdp.send('Page.setWebLifecycleState', { state: 'active' });
  const thawed = now();
  await ann.live();
  assert.ok(now() - thawed < 2000);
  await ann.sees('while you slept');
});

test('a server that is started anew finds its pages back at once, and they say what is missing', async () => {
  const server = await Server.start();
  const ann = await person(server.as('ann'));
  await ann.live();
  await ann.say('before');
  await ann.sees('before');
  await server.stop();
  await ann.reaches('lost');
  assert.match(await ann.text('#banner-text'), /Trying again/);
  assert.equal(await ann.run(() => document.querySelector('#send').disabled), true);
  await server.run();
  const up = now();
  await ann.reaches('open');
  assert.ok(now() - up < 2000, `back after ${now() - up} ms`);
  await ann.sees('The board has started anew.');
  await ann.say('after');
  await ann.sees('after');
  assert.ok((await ann.log()).some(l => l.includes('before')), 'what was read before stays readable');
});

test('a hidden tab stays a member, hears all, and finds a restarted server as fast as a visible one', async () => {
  const server = await Server.start();
  const watcher = await Watcher.start(server);
  const context = await one.createBrowserContext();
  const ann = await Person.at(context, server.as('ann'));
  await ann.live();
  const front = await context.newPage();
  await front.bringToFront();
  await until('her page is hidden', () => ann.run(() => document.hidden));
  const from = now();
  await until('a few beats', () => watcher.heard.filter(m => m.type === 'beat' && m.at > from).length > 6);
  await server.ask('POST', '/api/chat', { body: 'to a hidden page' });
  await ann.sees('to a hidden page', 1000);
  assert.equal(watcher.of('stalled', 'ann') || watcher.of('suspected', 'ann') || watcher.of('left', 'ann'), undefined);
  await server.stop('KILL');
  await ann.reaches('lost', 3000);
  await server.run();
  const up = now();
  await ann.reaches('open');
  assert.ok(now() - up < 2000, `back after ${now() - up} ms`);
});

test('what was missed comes first, each once and in order; what is gone for good is said to be', async () => {
  const server = await Server.start({ tables: { chat: 'history = 20\nrate = "100/s"' } });
  const ann = await person(server.as('ann'));
  await ann.live();
  const away = () => ann.run(() => document.dispatchEvent(new Event('freeze'))), back = () => ann.run(() => document.dispatchEvent(new Event('resume')));
  const numbers = async () => (await ann.log()).map(l => /number (\d+)$/.exec(l)?.[1]).filter(Boolean).map(Number);
  const speak = async (from, to) => { for (let i = from; i <= to; i++) await server.ask('POST', '/api/chat', { body: 'number ' + i }); };
  await speak(1, 3);
  await away();
  await speak(4, 9);
  await back();
  await speak(10, 12);
  await ann.sees('number 12');
  assert.deepEqual(await numbers(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.ok(!(await ann.log()).some(l => /missing/.test(l)));
  await away();
  await speak(13, 45);
  await back();
  await speak(46, 48);
  await ann.sees('number 48');
  assert.ok((await ann.log()).some(l => /missing/.test(l)), 'older ones are gone, and it says so');
  const heard = await numbers();
  assert.deepEqual(heard, [...heard].sort((a, b) => a - b));
  assert.equal(new Set(heard).size, heard.length, 'each once');
  assert.deepEqual(heard.slice(-20), Array.from({ length: 20 }, (_, i) => 29 + i), 'all that the board still had');
});

test('whoever is evicted is told so and stays out', async () => {
  const server = await Server.start();
  const ann = await person(server.as('ann')), admin = await person(server.as('admin'));
  await Promise.all([ann.live(), admin.live()]);
  await until('she is in the list', async () => /ann/.test(await admin.text('#members')));
  assert.equal(await ann.run(() => document.querySelectorAll('#members button').length), 0, 'an operator evicts nobody');
  await admin.run(() => [...document.querySelectorAll('#members li')].find(li => li.innerText.includes('ann')).querySelector('button').click());
  await until('the question', () => admin.run(() => document.querySelector('#ask').open));
  await admin.run(() => document.querySelector('#ask-choices button').click());
  await ann.reaches('signed_out');
  assert.match(await ann.text('#banner-text'), /admin took your seat/);
  await admin.sees('ann left: evicted by an admin');
  await never('she comes back by herself', async () => await ann.state() !== 'signed_out' || (await server.roster()).some(m => m.user === 'ann'), 2500);
  assert.equal(await ann.run(() => document.querySelector('#enter').hidden), false);
});

test('a log-out frees the seat and makes the browser forget', async () => {
  const server = await Server.start();
  const watcher = await Watcher.start(server);
  const ann = await person(server.as('ann'));
  await ann.live();
  await ann.page.goto(server.base + '/');       // from here on without the password in the link
  await ann.live();
  await ann.run(() => document.querySelector('#logout').click());
  await ann.reaches('signed_out');
  assert.match(await ann.text('#banner-text'), /forgotten the password/);
  assert.equal((await watcher.wait('left', 'ann')).reason, 'logout');
  // Whoever asks now is a stranger: the server challenges, and the browser has nothing to say but `logout`.
  const status = await ann.run(async () => (await fetch('/api/session?tab=x', { cache: 'no-store' })).status);
  assert.equal(status, 403);
  await never('the page comes back by itself', async () => (await server.roster()).some(m => m.user === 'ann'), 1500);
});

test('a new password ends the sessions of the old one', async () => {
  const server = await Server.start();
  const file = join(folder(), 'users');
  writeFileSync(file, readFileSync(/users = "(.*)"/.exec(readFileSync(join(server.dir, 'boatswain.toml'), 'utf8'))[1]));
  writeFileSync(join(server.dir, 'boatswain.toml'), readFileSync(join(server.dir, 'boatswain.toml'), 'utf8').replace(/users = ".*"/, `users = "${file}"`));
  server.process.kill('SIGHUP');
  const ann = await person(server.as('ann'));
  await ann.live();
  const lines = readFileSync(file, 'utf8').split('\n'), bobs = lines.find(l => l.startsWith('bob:'));
  writeFileSync(file, lines.map(l => l.startsWith('ann:') ? bobs.replace('bob:', 'ann:') : l).join('\n'));
  server.process.kill('SIGHUP');
  await ann.reaches('signed_out');
  assert.match(await ann.text('#banner-text'), /session has ended/);
});

test('where WebSocket is blocked the page lives over events and POST', async () => {
  const server = await Server.start();
  const context = await one.createBrowserContext(), page = await context.newPage();
  await page.evaluateOnNewDocument(() => {
    window.WebSocket = class { constructor() { this.readyState = 0; setTimeout(() => { this.readyState = 3; this.onclose?.({ code: 1006 }); }, 5); } close() {} send() {} };
  });
  const ann = new Person();
  ann.page = page;
  await page.goto(server.as('ann'));
  await ann.live();
  const bob = await person(server.as('bob'));
  await bob.live();
  await ann.say('over POST');
  await bob.sees('over POST');
  await bob.say('over events');
  await ann.sees('over events');
  await server.stop();
  await ann.reaches('lost');
  await server.run();
  await ann.reaches('open');
});

test('the page reads in the language of the browser', async () => {
  const server = await Server.start();
  for (const [language, word] of [['ru', 'На связи'], ['zh', '实时']]) {
    const theirs = await browser({ language });
    const ann = await Person.at(theirs, server.as('ann'));
    await ann.live();
    assert.equal(await ann.text('#lamp'), word);
    assert.equal(await ann.run(() => document.documentElement.lang), language);
    assert.deepEqual(await ann.run(() => [...document.querySelectorAll('[data-t]')].filter(e => e.textContent === e.dataset.t).map(e => e.dataset.t)), []);
    await theirs.close();
  }
});

test('the example of docs/page.md works when saved into a folder of one\'s own', async () => {
  const example = /```html\n([\s\S]*?)```/.exec(readFileSync(join(root, 'docs', 'page.md'), 'utf8'))[1];
  const www = join(folder(), 'www');
  mkdirSync(www);
  writeFileSync(join(www, 'index.html'), example);
  const server = await Server.start({ tables: { '': `www = "${www}"` } });
  const ann = await person(server.as('ann'));
  await until('it is live', async () => /open/.test(await ann.text('body')));
  await server.ask('POST', '/api/chat', { user: 'bob', body: 'hello page' });
  await until('it shows what is said', async () => /bob: hello page/.test(await ann.text('body')));
  await ann.run(() => { document.querySelector('input').value = 'hello board'; document.querySelector('form').requestSubmit(); });
  await until('it says what is typed', async () => (await server.events()).some(e => e.type === 'said' && e.text === 'hello board'));
  assert.deepEqual(ann.trouble.filter(t => !/favicon/.test(t)), []);
});
