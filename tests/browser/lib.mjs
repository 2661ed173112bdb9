// What the browser tests stand on: a real server in a folder of its own, real browsers as Debian packages them, and
// people (`ann` in a browser). Every wait has a deadline and says what it waited for; nothing sleeps to give something time.
import { spawn, spawnSync, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, mkdirSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import http from 'node:http';
import puppeteer from 'puppeteer-core';

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '..', '..');
const BIN = process.env.BOATSWAIN || join(process.env.CARGO_TARGET_DIR || join(root, 'target'), 'debug', 'boatswain');

/** How long a test waits for what should come at once, on a machine with other work to do. */
export const SOON = 10_000;
export const USERS = ['admin', 'ann', 'bob', 'eve', 'viewer'];
/** With a colon and a space, as passwords may have. */
export const PASSWORD = 'pass word:1';
const basic = user => 'Basic ' + Buffer.from(`${user}:${PASSWORD}`).toString('base64');
export const now = () => performance.now();

const undo = [];
/** Runs `f` when the test file is done, last first. */
export const later = f => undo.push(f);
export async function cleanUp() { while (undo.length) { try { await undo.pop()(); } catch (e) { console.error('cleaning up:', e.message); } } }

export function folder() {
  const dir = mkdtempSync(join(tmpdir(), 'boatswain-browser-'));
  later(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}

/** Waits until `what` gives something true, and gives that back. */
export async function until(name, what, limit = SOON, every = 20) {
  const end = now() + limit;
  let last;
  for (;;) {
    try { const value = await what(); if (value) return value; last = value; } catch (e) { last = e; }
    if (now() > end) throw new Error(`waited ${Math.round(limit)} ms for: ${name}${last === undefined || last === false ? '' : `; at last: ${last?.message ?? JSON.stringify(last)}`}`);
    await new Promise(done => setTimeout(done, every));
  }
}

/** Watches for `limit` ms that `what` stays false. */
export async function never(name, what, limit) {
  const end = now() + limit;
  while (now() < end) {
    const value = await what();
    if (value) throw new Error(`this should not happen: ${name}: ${JSON.stringify(value)}`);
    await new Promise(done => setTimeout(done, 50));
  }
}

// ---------------------------------------------------------------------------------------------------- the server

let usersFile;
function users() {
  if (usersFile) return usersFile;
  usersFile = join(folder(), 'users');
  for (const user of USERS) execFileSync(BIN, ['passwd', usersFile, user], { input: PASSWORD + '\n', stdio: ['pipe', 'ignore', 'ignore'] });
  return usersFile;
}

export class Server {
  /** `tables`: TOML by table name ('' for the top). `inside`: a command in front, such as one that enters a namespace. */
  static async start({ tables = {}, listen = '127.0.0.1:0', inside = [], name } = {}) {
    const s = new Server();
    s.dir = folder();
    const auth = `users = "${users()}"\nadmins = ["admin"]\nviewers = ["viewer"]\n`;
    const all = { ...tables, auth: auth + (tables.auth || '') };
    s.write = port => writeFileSync(join(s.dir, 'boatswain.toml'), `listen = ["${listen.replace(/:0$/, ':' + port)}"]\ndrain = "300ms"\n${tables[''] || ''}\n` +
      Object.entries(all).filter(([k]) => k).map(([k, v]) => `[${k}]\n${v}\n`).join(''));
    s.inside = inside;
    s.name = name;
    s.write(0);
    later(() => s.stop('KILL'));
    await s.run();
    s.write(s.port);       // a restart takes the same place again
    return s;
  }

  async run() {
    const command = [...this.inside, BIN, 'serve', '-c', join(this.dir, 'boatswain.toml')];
    this.log = '';
    this.process = spawn(command[0], command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
    this.process.stderr.on('data', d => { this.log += d; });
    const addr = await until('the server listens', () => {
      if (this.process.exitCode !== null) throw new Error(`it ended: ${this.log}`);
      return /listening addr=(\S+)/.exec(this.log)?.[1];
    });
    this.addr = addr;
    this.port = Number(addr.slice(addr.lastIndexOf(':') + 1));
  }

  async stop(signal = 'TERM') {
    const p = this.process;
    if (!p || p.exitCode !== null || p.signalCode !== null) return;
    const ended = new Promise(done => p.once('exit', done));
    p.kill('SIG' + signal);
    await ended;
  }

  get base() { return `http://${this.name || this.addr}`; }
  /** Where programs find it, which know no made-up names. */
  get plain() { return `http://${this.addr}`; }
  /** A link that signs in by itself. */
  as(user, path = '/') { return `http://${user}:${encodeURIComponent(PASSWORD)}@${this.name || this.addr}${path}`; }

  /** Asks as a program would; `{status, headers, text, json()}`. */
  ask(method, path, { user = 'admin', body, headers = {} } = {}) {
    return new Promise((done, fail) => {
      const r = http.request((this.plain || this.base) + path, { method, agent: false, localAddress: this.from, headers: { Authorization: basic(user), 'User-Agent': 'watcher', ...body && { 'Content-Type': 'text/plain' }, ...headers } }, res => {
        let text = '';
        res.setEncoding('utf8').on('data', d => { text += d; }).on('end', () => done({ status: res.statusCode, headers: res.headers, text, json: () => JSON.parse(text) })).on('error', fail);
      });
      r.on('error', fail).setTimeout(SOON, () => r.destroy(new Error('no answer')));
      r.end(body);
    });
  }

  async roster() { return (await this.ask('GET', '/api/roster')).json().members; }
  async events() { return (await this.ask('GET', '/api/log?limit=1000')).json().events; }
}

/** Somebody who only listens, with everything that was heard and when: a program over server-sent events. */
export class Watcher {
  static async start(server, user = 'admin', inside = [], from = '') {
    const w = new Watcher();
    w.heard = [];
    const command = [...inside, 'curl', '-sSN', '--noproxy', '*', '-A', 'watcher', ...from ? ['--interface', from] : [], '-u', `${user}:${PASSWORD}`, server.base + '/api/events'];
    w.process = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'ignore'] });
    later(() => w.process.kill('SIGKILL'));
    let rest = '';
    w.process.stdout.setEncoding('utf8').on('data', d => {
      const lines = (rest + d).split('\n');
      rest = lines.pop();
      for (const line of lines) if (line.startsWith('data: ')) w.heard.push({ ...JSON.parse(line.slice(6)), at: now() });
    });
    await until('the watcher has its hello', () => w.heard.some(m => m.type === 'hello'));
    return w;
  }
  /** The first message of `type` for `user` from moment `from` on. */
  of(type, user, from = 0) { return this.heard.find(m => m.type === type && m.at >= from && (!user || (m.member || m.from || m.by || m.holder || m.was)?.user === user)); }
  async wait(type, user, from = 0, limit = SOON) { return until(`others hear ${type} of ${user}`, () => this.of(type, user, from), limit); }
}

/** A simulated pump behind `boatswain link`, as in `boatswain --demo`; or another program. */
export async function device(server, name, program = [BIN, 'pump']) {
  const door = await until('a door for devices', () => /listening addr=(\S+) kind=devices/.exec(server.log)?.[1]);
  const d = spawn(BIN, ['link', '--server', door, '--name', name, '--', ...program], { stdio: ['ignore', 'ignore', 'ignore'] });
  later(() => d.kill('SIGTERM'));
  await until(`${name} is up`, async () => (await server.ask('GET', '/api/devices')).json().some(x => x.name === name && x.state === 'up'));
  return d;
}

// -------------------------------------------------------------------------------------------------- the browsers

export const kind = process.env.BROWSER || 'chromium';
const program = { chromium: ['chromium', 'chromium-browser', 'google-chrome'], firefox: ['firefox-esr', 'firefox'] }[kind];
const path = program.map(p => spawnSync('sh', ['-c', `command -v ${p}`]).stdout.toString().trim()).find(Boolean);

/**
 * A browser as people run it: of what drivers usually switch off (timer throttling, the back-forward cache, page
 * visibility) nothing is. `language`, `dark` and `size` are the person's.
 */
export async function browser({ language = 'en', headless = true, args = [] } = {}) {
  if (!path) throw new Error(`${program[0]} is needed`);
  const dir = folder();
  const common = { executablePath: path, headless, userDataDir: join(dir, 'profile'), defaultViewport: null, timeout: 30_000, protocolTimeout: 60_000 };
  const b = kind === 'firefox'
    ? await puppeteer.launch({ ...common, browser: 'firefox', args, extraPrefsFirefox: {
      'intl.accept_languages': language, 'intl.locale.requested': language, 'network.http.prompt-temp-redirect': false, 'network.auth.confirmAuth.enabled': false,
      'network.http.phishy-userpass-length': 255, 'browser.shell.checkDefaultBrowser': false, 'datareporting.policy.dataSubmissionEnabled': false, 'network.captive-portal-service.enabled': false,
      'network.connectivity-service.enabled': false, 'app.update.disabledForTesting': true, 'services.settings.server': 'data:,none', 'browser.safebrowsing.provider.mozilla.updateURL': '' } })
    : await puppeteer.launch({ ...common, pipe: true, ignoreDefaultArgs: true, args: [
      ...headless ? ['--headless'] : [], `--user-data-dir=${common.userDataDir}`, '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--no-first-run', '--no-proxy-server', '--disable-quic',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-features=Translate,HttpsUpgrades', '--password-store=basic', '--hide-scrollbars',
      `--lang=${language}`, `--accept-lang=${language}`, ...args, 'about:blank'] });
  later(() => Promise.race([b.close(), new Promise(done => setTimeout(done, 5000))]).finally(() => { try { b.process()?.kill('SIGKILL'); } catch { /* gone */ } }));
  return b;
}

/** Somebody at a page. */
export class Person {
  static async at(b, url, { width = 1280, height = 800, dark = false, touch = false } = {}) {
    const p = new Person();
    p.browser = b;
    p.page = await b.newPage();
    p.trouble = [];
    p.page.on('pageerror', e => p.trouble.push(String(e.stack || e)));
    p.page.on('console', m => { if (!/favicon/.test(m.location()?.url) && (m.type() === 'error' || /Content.Security.Policy/i.test(m.text()))) p.trouble.push(m.text()); });
    await p.page.setViewport({ width, height, deviceScaleFactor: touch && kind === 'chromium' ? 2 : 1 }).catch(e => { if (!/unknown command/.test(e.message)) throw e; });
    if (kind === 'chromium') await p.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }]);
    await p.page.goto(url, { waitUntil: 'domcontentloaded', timeout: 20_000 });
    return p;
  }
  run(f, ...args) { return this.page.evaluate(f, ...args); }
  /** The panel's state, as it tells it. */
  state() { return this.run(() => document.body.dataset.state); }
  live() { return until('the page is live', async () => await this.state() === 'open'); }
  text(selector) { return this.run(s => document.querySelector(s)?.innerText ?? null, selector); }
  log() { return this.run(() => [...document.querySelectorAll('#log li')].map(li => li.innerText.replace(/\s+/g, ' '))); }
  sees(text, limit) { return until(`the log shows "${text}"`, async () => (await this.log()).find(l => l.includes(text)), limit); }
  async say(text) {
    await this.run(t => { document.querySelector('#text').value = t; document.querySelector('#form').requestSubmit(); }, text);
  }
  /** Calls `f` when the state becomes `state`; with the moment at which it did, on our clock. */
  async reaches(state, limit = SOON) { await until(`the page is ${state}`, async () => await this.state() === state, limit, 10); return now(); }
}

export const say = (server, user, text) => server.ask('POST', '/api/chat', { user, body: text });
export function pictures() { const dir = process.env.PICTURES || ''; if (dir && !existsSync(dir)) mkdirSync(dir, { recursive: true }); return dir; }
