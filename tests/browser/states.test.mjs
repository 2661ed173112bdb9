// What can become of a page while somebody's browser lives: behind a dialog, hanging, stopped, hidden for long, discarded, in
// the back-forward cache. Each is told truthfully, and none costs a seat that it should not cost.
// BROWSER=chromium (default) or firefox. TEST_TEN_MINUTES=1: hidden for ten minutes, with no flag that makes it shorter.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { browser, cleanUp, folder, kind, later, never, now, Person, Server, until, Watcher } from './lib.mjs';

const chromium = kind === 'chromium', chromiumOnly = chromium ? {} : { skip: 'only Chromium does this' };
const TEN_MINUTES = !!process.env.TEST_TEN_MINUTES;
/** Chromium slows a hidden page's timers down to one a minute after five minutes; with this after ten seconds. */
const SLOW_SOON = chromium ? ['--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/10'] : [];

let one;
before(async () => { one = await browser(); });
after(cleanUp);

/** Somebody on board, with a watcher who hears what is told about them. `tables` are the server's, `context` the page's. */
async function aboard({ tables = {}, b = one, context = undefined } = {}) {
  const server = await Server.start({ tables });
  const watcher = await Watcher.start(server);
  context ??= await b.createBrowserContext();
  const ann = await Person.at(context, server.as('ann'));
  await ann.live();
  const from = now();
  await until('she has had beats to answer', () => watcher.heard.filter(m => m.type === 'beat' && m.at > from).length > 3);
  return { server, watcher, ann, context };
}
const member = async server => (await server.roster()).find(m => m.user === 'ann');
const bad = (watcher, from = 0) => ['suspected', 'stalled', 'left', 'lost'].map(type => watcher.of(type, 'ann', from)).find(Boolean);
const gone = (watcher, from = 0) => watcher.of('left', 'ann', from) || watcher.of('lost', 'ann', from);

/** The processes of a browser that run pages. */
function pageProcesses(b) {
  const all = execFileSync('ps', ['-eo', 'pid=,ppid=,args=']).toString().split('\n').map(l => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(l)).filter(Boolean).map(([, pid, parent, args]) => ({ pid: Number(pid), parent: Number(parent), args }));
  const mine = new Set([b.process().pid]);
  for (let grown = true; grown;) { grown = false; for (const p of all) if (mine.has(p.parent) && !mine.has(p.pid)) { mine.add(p.pid); grown = true; } }
  return all.filter(p => mine.has(p.pid) && (chromium ? /--type=renderer/ : /-contentproc .*\btab$/).test(p.args)).map(p => p.pid);
}

test(`hidden for ${TEN_MINUTES ? 'ten minutes' : 'more than a minute of throttled timers'}: present all the time, and the page knows within 3 s that the server has vanished`, async t => {
  const own = await browser({ args: TEN_MINUTES ? [] : SLOW_SOON });
  const { server, watcher, ann, context } = await aboard({ b: own });
  await ann.run(() => {
    window.ticks = [];
    setInterval(() => window.ticks.push(performance.now()), 1000);
    window.states = [];
    new MutationObserver(() => window.states.push([document.body.dataset.state, Date.now()])).observe(document.body, { attributeFilter: ['data-state'] });
  });
  const front = await context.newPage();
  await front.bringToFront();
  await until('her page is hidden', () => ann.run(() => document.hidden));
  const hidden = now(), longest = TEN_MINUTES ? 600_000 : chromium ? 65_000 : 20_000;
  if (chromium && !TEN_MINUTES) await until('its timers are slowed down', () => ann.run(() => performance.now() - window.ticks.at(-1) > 5000), 120_000, 1000);
  await never('something is said against her', async () => bad(watcher, hidden) || (await member(server)).state !== 'present', longest);
  const gaps = await ann.run(() => { const all = [...window.ticks, performance.now()]; return all.slice(1).map((t, i) => Math.round(t - all[i])); }), gap = Math.max(...gaps);
  assert.ok(await ann.run(() => document.hidden), 'hidden all the time');
  if (chromium) assert.ok(gap > 30_000, `the page's own timers run once a minute: at most ${gap} ms apart`);
  assert.deepEqual(await ann.run(() => window.states), [], 'the page thought itself live all the time');
  await server.ask('POST', '/api/chat', { body: 'to a hidden page' });
  await ann.sees('to a hidden page', 1000);
  // It vanishes without a word: its kernel goes on acknowledging, but nothing comes any more.
  const vanished = Date.now();
  server.process.kill('SIGSTOP');
  await ann.reaches('lost', 5000);
  const knew = (await ann.run(() => window.states[0][1])) - vanished;
  const there = Date.now();
  server.process.kill('SIGCONT');
  await ann.reaches('open', 5000);
  const back = (await ann.run(() => window.states.at(-1)[1])) - there;
  t.diagnostic(`hidden for ${Math.round((now() - hidden) / 1000)} s; window timers up to ${gap} ms apart (${gaps.filter(g => g > 2000).length} times more than 2 s); the page knew after ${knew} ms, and was back after ${back} ms`);
  assert.ok(knew < 3100, `it knew after ${knew} ms`);
  assert.ok(back < 1500, `back after ${back} ms`);
  assert.ok(await ann.run(() => document.hidden), 'hidden to the end');
  assert.equal(gone(watcher, hidden), undefined, 'and nobody took her for gone');
  await own.close();
});

test('behind a dialog: the person is there, but in Chromium the page is stuck, and both are said', async () => {
  const { server, watcher, ann } = await aboard({ tables: { liveness: 'page_after = "2s"' } });
  const asked = new Promise(done => ann.page.on('dialog', done));
  await ann.run(() => { setTimeout(() => alert('Is the valve open?')); });
  const dialog = await asked, from = now();
  if (chromium) {
    const stalled = await watcher.wait('stalled', 'ann', from);
    assert.equal(stalled.layer, 'page');
    await never('she loses her seat', async () => gone(watcher) || (await member(server))?.state !== 'stalled', 3000);
  } else await never('anything is said', async () => bad(watcher) || (await member(server))?.state !== 'present', 5000);
  const dismissed = now();
  await dialog.accept();
  if (chromium) {
    const moving = await watcher.wait('moving', 'ann', dismissed);
    assert.ok(moving.at - dismissed < 1500, `moving after ${moving.at - dismissed} ms`);
  }
  assert.equal((await member(server)).state, 'present');
  await never('she takes the time behind the dialog for the server\'s', async () => gone(watcher) || await ann.state() !== 'open', 1000);
  await ann.page.close();
});

test('a page that hangs, and one whose process is stopped, are stalled, not gone, and move again', async () => {
  const own = await browser();
  const { server, watcher, ann } = await aboard({ tables: { liveness: 'page_after = "2s"' }, b: own });
  const stuck = async (what, release) => {
    const stalled = await watcher.wait('stalled', 'ann', what);
    assert.equal(stalled.layer, 'page');
    assert.equal((await member(server)).state, 'stalled');
    assert.ok(!gone(watcher));
    release();
    await watcher.wait('moving', 'ann', stalled.at);
    await never('she takes the time she stood for the server\'s', async () => gone(watcher) || await ann.state() !== 'open', 1000);
    assert.equal((await member(server)).state, 'present');
  };
  let from = now();
  ann.run(() => { const end = performance.now() + 6000; while (performance.now() < end); }).catch(() => 0);
  await stuck(from, () => 0);
  const pids = pageProcesses(own), signal = name => { for (const pid of pids) process.kill(pid, name); };
  assert.ok(pids.length > 0, 'the browser has a process for its page');
  later(() => { try { signal('SIGCONT'); } catch { /* gone */ } });
  from = now();
  signal('SIGSTOP');
  await stuck(from, () => signal('SIGCONT'));
  await own.close();
});

test('a tab that is discarded has left, is not lost, and comes back when it is looked at', chromiumOnly, async () => {
  const own = await browser();
  const { server, watcher } = await aboard({ tables: { seats: 'linger = "500ms"' }, context: own });
  const settings = await own.newPage();
  const press = (where, what, row = '') => where(`(() => {
    const all = root => [...root.querySelectorAll('*')].flatMap(e => [e, ...e.shadowRoot ? all(e.shadowRoot) : []]);
    const button = all(document).findLast(e => e.textContent.includes('${what}') && (!'${row}' || e.closest('tr')?.innerText.includes('${row}')));
    button?.click();
    return !!button;
  })()`);
  await settings.goto('chrome://chrome-urls/');
  await until('the button', () => press(x => settings.evaluate(x), 'Enable internal debugging pages'));
  await until('that is done', () => settings.evaluate(() => /Disable internal/.test(document.querySelector('chrome-urls-app').shadowRoot.textContent)));
  await settings.goto('chrome://discards/');
  // A tab that a driver looks into is never discarded: from here on only the settings are driven.
  const driver = (await own.target().createCDPSession()).connection();
  await driver.send('Target.setAutoAttach', { autoAttach: false, waitForDebuggerOnStart: false, flatten: true });
  const target = async url => (await driver.send('Target.getTargets')).targetInfos.find(t => t.type === 'page' && t.url.includes(url)).targetId;
  const { sessionId } = await driver.send('Target.attachToTarget', { targetId: await target('chrome://discards'), flatten: true });
  const pressed = now();
  await until('a way to discard her tab', () => press(async x => (await driver.session(sessionId).send('Runtime.evaluate', { expression: x })).result.value, '[Urgent Discard]', server.addr));
  const left = await watcher.wait('left', 'ann', pressed);
  assert.equal(left.reason, 'closed');
  assert.ok(left.at - pressed < 2500, `told after ${left.at - pressed} ms`);
  assert.deepEqual(watcher.heard.filter(m => m.member?.user === 'ann').map(m => m.type), ['joined', 'left'], 'nothing else was said of her');
  assert.equal(await member(server), undefined, 'her seat is free');
  await driver.send('Target.activateTarget', { targetId: await target(server.addr) });
  assert.equal((await watcher.wait('joined', 'ann', left.at)).returned, false);
  await until('her page is live', async () => (await member(server))?.links === 1);
  await own.close();
});

test('a full-house page that is hidden for long gets in as fast as one that is seen', async () => {
  const own = await browser({ args: SLOW_SOON });
  const server = await Server.start({ tables: { seats: 'max = 1\nlinger = "200ms"' } });
  const bob = await Watcher.start(server, 'bob');
  const context = await own.createBrowserContext(), ann = await Person.at(context, server.as('ann'));
  await until('she is told', async () => /Full house/.test(await ann.text('h1')));
  await ann.run(() => { window.ticks = [performance.now()]; setInterval(() => window.ticks.push(performance.now()), 1000); });
  await (await context.newPage()).bringToFront();
  await until('her page is hidden', () => ann.run(() => document.hidden));
  if (chromium) await until('its timers are slowed down', () => ann.run(() => performance.now() - window.ticks.at(-1) > 5000), 120_000, 1000);
  const free = now();
  bob.process.kill('SIGKILL');
  await until('she is on board', () => member(server));
  assert.ok(now() - free < 2500, `in after ${now() - free} ms`);
  await own.close();
});

/** A way to a server that can be made slow, or dead without a word: `delay` in ms each way, `dead` true. */
async function slowWay(server) {
  const way = { delay: 0, dead: false, name: '' };
  const carry = (from, to) => from.on('data', d => { if (!way.dead) setTimeout(() => to.destroyed || to.write(d), way.delay); }).on('close', () => setTimeout(() => to.destroy(), way.delay)).on('error', () => 0);
  const door = net.createServer(near => {
    const far = net.connect(server.port, '127.0.0.1');
    carry(near, far);
    carry(far, near);
    later(() => { near.destroy(); far.destroy(); });
  });
  await new Promise(done => door.listen(0, '127.0.0.1', done));
  later(() => door.close());
  way.name = `127.0.0.1:${door.address().port}`;
  return way;
}

test('a network that comes back far slower than it was is waited for', async () => {
  const server = await Server.start(), way = await slowWay(server);
  server.name = way.name;
  const ann = await Person.at(await one.createBrowserContext(), server.as('ann'));
  await ann.live();
  way.dead = true;
  await ann.reaches('lost', 4000);
  const silent = now();
  await until('some tries came to nothing', () => now() - silent > 2500);
  Object.assign(way, { dead: false, delay: 1100 });
  await ann.reaches('open', 12_000);
  await server.ask('POST', '/api/chat', { body: 'slowly' });
  await ann.sees('slowly');
  await ann.page.close();
});

/** In front of a server, as a reverse proxy that takes `no-store` off the pages: so they may go to the back-forward cache. */
async function cachingProxy(server) {
  const proxy = http.createServer((q, a) => {
    q.pipe(http.request(server.plain + q.url, { method: q.method, headers: q.headers, agent: false }, r => {
      const headers = { ...r.headers };
      if (/html/.test(headers['content-type'])) delete headers['cache-control'];
      a.writeHead(r.statusCode, headers);
      r.pipe(a);
    }).on('error', () => a.destroy()));
  });
  proxy.on('upgrade', (q, socket, head) => {
    const up = http.request(server.plain + q.url, { headers: q.headers, agent: false });
    up.on('upgrade', (r, far, rest) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\n' + Object.entries(r.headers).map(([k, v]) => `${k}: ${v}\r\n`).join('') + '\r\n');
      socket.write(rest);
      far.write(head);
      far.pipe(socket).pipe(far);
      for (const s of [far, socket]) s.on('error', () => { far.destroy(); socket.destroy(); });
    });
    up.on('error', () => socket.destroy()).end();
  });
  await new Promise(done => proxy.listen(0, '127.0.0.1', done));
  later(() => { proxy.closeAllConnections(); proxy.close(); });
  return `127.0.0.1:${proxy.address().port}`;
}

test('a page in the back-forward cache has left, and is live again when one goes back to it', chromiumOnly, async () => {
  const www = join(folder(), 'www');
  mkdirSync(www);
  writeFileSync(join(www, 'index.html'), `<!doctype html><meta charset="utf-8"><title>Mine</title><body><pre id="log"></pre><script type="module">
    import { connect } from '/boatswain.js';
    connect({ onState: s => { document.body.dataset.state = s; }, onEvent: e => { if (e.text) document.querySelector('#log').append(e.text + ';'); } });
  </script>`);
  writeFileSync(join(www, 'other.html'), '<!doctype html><title>Another</title><p>Another page');
  const server = await Server.start({ tables: { '': `www = "${www}"`, seats: 'linger = "500ms"\nplain = "1s"' } });
  const watcher = await Watcher.start(server);
  server.name = await cachingProxy(server);
  const ann = await Person.at(await one.createBrowserContext(), server.as('ann'));
  await ann.live();
  await ann.run(() => { window.same = true; addEventListener('pageshow', e => { window.shown = e.persisted; }); });
  const away = now();
  await ann.page.goto('about:blank');
  const left = await watcher.wait('left', 'ann', away);
  assert.equal(left.reason, 'closed');
  assert.ok(left.at - away < 2500, `told after ${left.at - away} ms: no zombie answers for her`);
  await server.ask('POST', '/api/chat', { body: 'while you were away' });
  const back = now();
  await ann.page.goBack();
  await ann.live();
  assert.deepEqual(await ann.run(() => [window.same, window.shown]), [true, true], 'it is the same page, out of the cache');
  await watcher.wait('joined', 'ann', back);
  await until('she sees what was said', async () => await ann.text('#log') === 'while you were away;');
  assert.equal(bad({ of: (type, user, from) => type === 'left' ? undefined : watcher.of(type, user, from) }), undefined);
  await ann.page.close();
});

test('the panel is never kept in the back-forward cache: going back loads it anew, and it is live', async () => {
  const { watcher, ann } = await aboard({ tables: { seats: 'linger = "500ms"' } });
  await ann.run(() => { window.same = true; });
  const away = now();
  await ann.page.goto('about:blank');
  await watcher.wait('left', 'ann', away);
  await ann.page.goBack();
  await ann.live();
  assert.equal(await ann.run(() => window.same), undefined);
  await ann.page.close();
});
