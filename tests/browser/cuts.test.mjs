// A cable is cut between a real browser and the server: both in network namespaces that live as long as this process.
// Run as root through `unshare -n` (tests/browser.rs does); the cut is silent: packets are dropped both ways.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { browser, cleanUp, kind, later, never, now, PASSWORD, Person, Server, until, Watcher } from './lib.mjs';

const own = () => readlinkSync('/proc/self/ns/net');
const possible = process.getuid() === 0 && Object.keys(networkInterfaces()).length === 0;     // a network of our own, still empty
const options = possible ? {} : { skip: 'run it as root with `unshare -n` in front' };

let inside, one, server, watcher;
const sh = (...command) => execFileSync(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] }).toString();
const there = (...command) => sh(...inside, ...command);
const SERVER = '10.91.0.1';

before(async () => {
  if (!possible) return;
  const holder = spawn('unshare', ['-n', 'sleep', 'infinity'], { stdio: 'ignore' });
  later(() => holder.kill('SIGKILL'));
  await until('a second namespace', () => readlinkSync(`/proc/${holder.pid}/ns/net`) !== own());
  inside = ['nsenter', '-t', String(holder.pid), '-n'];
  sh('ip', 'link', 'set', 'lo', 'up');
  sh('ip', 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'other', 'netns', String(holder.pid));
  sh('ip', 'addr', 'add', '10.91.0.2/24', 'dev', 'cable');
  sh('ip', 'link', 'set', 'cable', 'up');
  there('ip', 'link', 'set', 'lo', 'up');
  there('ip', 'addr', 'add', SERVER + '/24', 'dev', 'other');
  there('ip', 'link', 'set', 'other', 'up');
  server = await Server.start({ listen: '0.0.0.0:0', inside });
  server.name = `${SERVER}:${server.port}`;
  watcher = await Watcher.start({ base: `http://127.0.0.1:${server.port}` }, 'admin', inside);
  one = await browser();
});
after(cleanUp);

const cut = () => there('nft', 'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add chain inet cut out { type filter hook output priority 0; }; ' +
  'add rule inet cut in iifname other drop; add rule inet cut out oifname other drop');
const heal = () => there('nft', 'delete table inet cut');
const say = text => there('curl', '-sS', '--noproxy', '*', '-A', 'watcher', '-u', `admin:${PASSWORD}`, '-H', 'Content-Type: text/plain', '-d', text, `http://127.0.0.1:${server.port}/api/chat`);
const pause = ms => new Promise(done => setTimeout(done, ms));

for (const seconds of (process.env.CUTS || '5,20').split(',').map(Number)) {
  test(`a cable is cut for ${seconds} s: others and the page know within 3 s, and it is back soon with nothing missing`, options, async t => {
    const ann = await Person.at(await one.createBrowserContext(), server.as('ann'));
    await ann.live();
    await pause(1500);
    await ann.run(() => {
      window.states = [];
      new MutationObserver(() => window.states.push([document.body.dataset.state, Date.now()])).observe(document.body, { attributeFilter: ['data-state'] });
    });
    const at = Date.now(), atHere = now();
    cut();
    const lost = await watcher.wait('lost', 'ann', atHere);
    await ann.reaches('lost');
    say(`while you were away ${seconds}`);
    assert.match(await ann.text('#banner-text'), /Trying again/);
    await pause(seconds * 1000 - (Date.now() - at));
    heal();
    const healed = Date.now(), healedHere = now();
    await ann.reaches('open');
    await ann.sees(`while you were away ${seconds}`);
    const states = await ann.run(() => window.states);
    const knew = states.find(s => s[0] === 'lost')[1] - at, back = states.find(s => s[0] === 'open')[1] - healed;
    t.diagnostic(`others knew after ${Math.round(lost.at - atHere)} ms, the page after ${knew} ms, back after ${back} ms`);
    assert.ok(lost.at - atHere < 3100 && knew < 3100, 'known within 3 s');
    // Chromium delays WebSockets after many that failed: after a long cut fewer tries are fresh ones.
    assert.ok(back < (kind === 'chromium' && seconds > 10 ? 2300 : 1000), 'back in time');
    assert.deepEqual(states.map(s => s[0]), ['lost', 'open'], 'no wavering');
    const joined = await watcher.wait('joined', 'ann', healedHere);
    assert.equal(joined.returned, seconds < 30);
    const lines = await ann.log(), times = lines.filter(l => l.includes(`away ${seconds}`)).length;
    assert.equal(times, 1, 'once');
    assert.ok(!lines.some(l => /missing/.test(l)), 'and nothing is missing');
    await ann.page.close();
    await watcher.wait('left', 'ann', healedHere);
  });
}

test('a cable is cut for 1.5 s: nobody is called lost, nothing flickers', options, async () => {
  const ann = await Person.at(await one.createBrowserContext(), server.as('ann'));
  await ann.live();
  await pause(1500);
  const at = now();
  cut();
  setTimeout(heal, 1500);
  await never('a false alarm', async () => await ann.state() !== 'open' || watcher.of('lost', 'ann', at), 4000);
  say('after a short cut');
  await ann.sees('after a short cut');
});
