// Stories of npm's etcd3.

import { Etcd3, EtcdLockFailedError } from 'etcd3';
import { ask, check, expect, main, pause, refusal, until } from './telling.js';

const TTL = 2; // Seconds; the least that every server grants as it is asked.
const KILLS = 3; // Every member dies once, the leader first.
const PUTS_PER_PHASE = 10; // Before a kill, while the member is down, and after.

const connect = (endpoints) => new Etcd3({ hosts: endpoints.map((e) => `http://${e}`) });

async function tellKV(endpoints) {
  const c = connect(endpoints);
  const first = Number((await c.put('kv/a').value('1').exec()).header.revision);
  const previous = await c.put('kv/a').value('2').getPrevious();
  expect('previous value', previous.value.toString(), '1');
  expect('revision', Number(previous.header.revision), first + 1);
  const [kv] = (await c.get('kv/a').exec()).kvs;
  expect('the pair', [kv.value.toString(), kv.create_revision, kv.mod_revision, kv.version, kv.lease],
    ['2', String(first), String(first + 1), '2', '0']);
  expect('the past', await c.get('kv/a').revision(first).string(), '1');
  const binary = Buffer.from([0, 0xff, 10]);
  await c.put(Buffer.concat([Buffer.from('kv/'), binary])).value(binary);
  expect('bytes', await c.get(Buffer.concat([Buffer.from('kv/'), binary])).buffer(), binary);
  expect('deleted', (await c.delete().key('kv/a').getPrevious()).map((p) => p.value.toString()), ['2']);
  expect('a deleted key', await c.get('kv/a'), null);
  expect('deleted twice', (await c.delete().key('kv/a').exec()).deleted, '0');
  check((await refusal(c.put('kv/a').value('1').lease(12345).exec())).includes('requested lease not found'),
    'a put with an unknown lease');
  c.close();
}

async function tellRange(endpoints) {
  const c = connect(endpoints);
  for (let i = 0; i < 10; ++i) await c.put(`range/${i}`).value(9 - i);
  const all = () => c.getAll().prefix('range/');
  expect('a prefix', Object.keys(await all().strings()).length, 10);
  const page = await all().limit(3).exec();
  expect('a page', [page.kvs.map((kv) => kv.key.toString()), page.more, page.count],
    [['range/0', 'range/1', 'range/2'], true, '10']);
  const rest = await c.getAll().inRange({ start: 'range/2\0', end: 'range0' }).revision(page.header.revision).exec();
  expect('the rest', [rest.kvs.length, rest.more], [7, false]);
  expect('the last key', await all().sort('Key', 'Descend').limit(1).keys(), ['range/9']);
  expect('the smallest value', await all().sort('Value', 'Ascend').limit(1).keys(), ['range/9']);
  expect('an interval', await c.getAll().inRange({ start: 'range/3', end: 'range/5' }).serializable(true).strings(),
    { 'range/3': '6', 'range/4': '5' });
  expect('count', await all().count(), 10);
  expect('deleted', (await c.delete().prefix('range/').exec()).deleted, '10');
  c.close();
}

async function tellTxn(endpoints) {
  const c = connect(endpoints);
  const first = Number((await c.put('txn/a').value('1').exec()).header.revision);
  const done = await c.if('txn/a', 'Value', '==', '1').and('txn/a', 'Version', '<', 2)
    .and('txn/a', 'Create', '==', first).and('txn/a', 'Mod', '>', first - 1).and('txn/none', 'Version', '==', 0)
    .then(c.put('txn/a').value('2'), c.get('txn/a'), c.delete().key('txn/none'))
    .else(c.put('txn/a').value('never')).commit();
  check(done.succeeded, 'a txn whose comparisons hold fails');
  expect('what it read', done.responses[1].response_range.kvs[0].value.toString(), '2');
  const nested = { request_txn: { compare: [], success: [await c.put('txn/b').value('inner').op()], failure: [] } };
  const other = await c.if('txn/a', 'Value', '!=', '2').then(c.put('txn/a').value('never')).else(nested).commit();
  check(!other.succeeded && other.responses[0].response_txn.succeeded, 'a nested txn:', other);
  expect('what the inner put wrote', await c.get('txn/b').string(), 'inner');
  const twice = c.if('txn/a', 'Version', '>', 0).then(c.put('txn/a').value('1'), c.put('txn/a').value('2')).commit();
  check((await refusal(twice)).includes('etcdserver: duplicate key given in txn request'), 'one key put twice');
  c.close();
}

async function tellCompaction(endpoints) {
  const c = connect(endpoints);
  const first = Number((await c.put('compaction').value('1').exec()).header.revision);
  await c.put('compaction').value('2');
  await c.put('compaction').value('3');
  await c.kv.compact({ revision: first + 1, physical: true });
  expect('the kept past', await c.get('compaction').revision(first + 1).string(), '2');
  check((await refusal(c.get('compaction').revision(first).string())).includes('required revision has been compacted'),
    'a read of the compacted past');
  check((await refusal(c.get('compaction').revision(first + 1000).string())).includes('is a future revision'),
    'a read of the future');
  // The client opens such a watch again where history begins.
  const watcher = await c.watch().key('compaction').startRevision(String(first + 1)).create();
  const [event] = await nextEvents(watcher, 1);
  expect('a watch of the kept past', event.kv.value.toString(), '2');
  await watcher.cancel();
  c.close();
}

// Collects events until there are n.
function nextEvents(watcher, n) {
  return new Promise((resolve, reject) => {
    const events = [];
    watcher.on('error', reject);
    watcher.on('data', (response) => {
      events.push(...response.events);
      if (events.length >= n) resolve(events);
    });
  });
}

// Puts a key that is not there yet, whatever dies meanwhile. An error leaves open whether the put happened; a repeated
// txn on the key's absence settles it.
async function putOnce(c, key, value) {
  await until(`the put of ${key}`, async () => {
    try {
      const txn = c.if(key, 'Create', '==', 0).then(c.put(key).value(value));
      await txn.options({ deadline: Date.now() + 3000 }).commit();
      return true;
    } catch {
      return false;
    }
  });
}

// One watch lives through the deaths of all members, and sees each event once and in order.
async function tellWatch(endpoints) {
  const c = connect(endpoints);
  const start = Number((await c.get('watch/').exec()).header.revision);
  const watcher = await c.watch().prefix('watch/').startRevision(String(start + 1)).withPreviousKV().create();
  const responses = [];
  watcher.on('data', (response) => responses.push(response));
  let written = 0;
  for (let kill = 0; kill < KILLS; ++kill) {
    for (const what of ['kill', 'restart', null]) {
      for (let i = 0; i < PUTS_PER_PHASE; ++i) {
        ++written;
        await putOnce(c, `watch/${String(written).padStart(3, '0')}`, written);
      }
      if (what) await ask(what);
    }
  }
  const events = () => responses.flatMap((response) => response.events);
  await until('the last event', () => events().length >= written);
  const puts = events();
  expect('the values', puts.map((e) => Number(e.kv.value.toString())), puts.map((_, i) => i + 1));
  check(puts.length === written && puts.every((e) => e.type === 'Put' && e.kv.version === '1'), 'not only first puts');
  // What comes next is the deletion of all, in one response: nothing was sent twice.
  const seen = responses.length;
  expect('deleted', (await c.delete().prefix('watch/').exec()).deleted, String(written));
  await until('the deletions', () => events().length > written);
  const last = responses[seen].events;
  expect('the deletions', last.map((e) => e.type), puts.map(() => 'Delete'));
  expect('what was deleted', last.map((e) => e.prev_kv.value), puts.map((e) => e.kv.value));
  await watcher.cancel();
  c.close();
}

// Attaches two keys to a new lease that nobody keeps alive, and returns when both are gone.
async function awaitExpiry(c, prefix) {
  const lease = c.lease(TTL, { autoKeepAlive: false });
  const put = await lease.put(`${prefix}1`).value('x').exec();
  await lease.put(`${prefix}2`).value('x').exec();
  const watcher = await c.watch().prefix(prefix).startRevision(put.header.revision).only('delete').create();
  const gone = await nextEvents(watcher, 2);
  expect('what expires in one revision', [gone[0].type, gone[0].kv.mod_revision], ['Delete', gone[1].kv.mod_revision]);
  await watcher.cancel();
  const left = await c.leaseClient.leaseTimeToLive({ ID: await lease.grant() });
  expect('the time that an expired lease has', left.TTL, '-1');
}

async function tellLease(endpoints) {
  const c = connect(endpoints);
  const kept = c.lease(TTL);
  let renewals = 0;
  kept.on('keepaliveSucceeded', (response) => {
    expect('a renewal', response.TTL, String(TTL));
    ++renewals;
  });
  await kept.put('lease/kept').value('x').exec();
  // Two leases expire one after the other; the kept one has then outlived its TTL for certain.
  await awaitExpiry(c, 'lease/first/');
  await awaitExpiry(c, 'lease/second/');
  check(renewals >= 2, 'the lease was renewed', renewals, 'times');
  const ID = await kept.grant();
  const left = await c.leaseClient.leaseTimeToLive({ ID, keys: true });
  expect('the kept lease', [left.grantedTTL, left.keys.map(String)], [String(TTL), ['lease/kept']]);
  await kept.revoke();
  expect('its key', await c.get('lease/kept'), null);
  check((await refusal(c.leaseClient.leaseRevoke({ ID }))).includes('requested lease not found'), 'revoked twice');
  c.close();
}

// The client's lock does not wait: who finds it taken tries again.
async function acquire(c, name) {
  let lock;
  await until(`the lock ${name}`, async () => {
    lock = c.lock(name);
    return lock.acquire().then(() => true, (error) => {
      check(error instanceof EtcdLockFailedError, error);
      return false;
    });
  });
  return lock;
}

async function tellLock(endpoints) {
  const one = connect(endpoints);
  const two = connect(endpoints);
  const first = await acquire(one, 'lock');
  check((await refusal(two.lock('lock').acquire())).includes('Failed to acquire a lock'), 'two hold one lock');
  let held = false;
  const second = acquire(two, 'lock').then((lock) => {
    held = true;
    return lock;
  });
  await pause(200);
  check(!held, 'the second did not wait');
  await first.release();
  await (await second).release();
  expect('what a lock leaves', await one.get('lock'), null);
  one.close();
  two.close();
}

async function tellElection(endpoints) {
  const one = connect(endpoints);
  const two = connect(endpoints);
  const first = one.election('vote', 10).campaign('one');
  await first.wait();
  const observer = await two.election('vote', 10).observe();
  expect('the first leader', observer.leader(), 'one');
  const second = two.election('vote', 10).campaign('two');
  let elected = false;
  const secondElected = second.wait().then(() => {
    elected = true;
  });
  await until('the second in line', async () => (await one.getAll().prefix('election/vote/').count()) === 2);
  await first.proclaim('one again');
  await until('the proclamation', () => observer.leader() === 'one again');
  check(!elected, 'two lead');
  await first.resign();
  await secondElected;
  await until('the second leader', () => observer.leader() === 'two');
  await observer.cancel();
  await second.resign();
  one.close();
  two.close();
}

// Reads the counter and writes one more, in two steps that only the lock holds together.
async function countUnderLock(endpoints, name, counter, rounds) {
  const c = connect(endpoints);
  await c.get(counter); // The connection stands.
  await ask('start');
  for (let round = 0; round < rounds; ++round) {
    const lock = await acquire(c, name);
    const number = parseInt((await c.get(counter).string()) ?? '0', 10);
    await c.put(counter).value(`${number + 1} node`);
    await lock.release();
  }
  c.close();
}

await main({
  kv: tellKV,
  range: tellRange,
  txn: tellTxn,
  compaction: tellCompaction,
  lease: tellLease,
  lock: tellLock,
  election: tellElection,
  watch: tellWatch,
}, countUnderLock);
