// The runner's side of a program: checks, questions to the runner, and the command line.
//
//   node stories.js stories ENDPOINTS                        tells all stories, a line each
//   node stories.js lock ENDPOINTS LOCK COUNTER ROUNDS       adds to a counter under a lock that others share

import readline from 'node:readline';
import { isDeepStrictEqual, inspect } from 'node:util';

const PATIENCE = 60_000; // Milliseconds that anything may take.

export function check(held, ...what) {
  if (!held) throw new Error(what.map((w) => (typeof w === 'string' ? w : inspect(w, { depth: 6 }))).join(' '));
}

export function expect(what, actual, expected) {
  check(isDeepStrictEqual(actual, expected), what, 'is', actual, 'and should be', expected);
}

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Has the runner do something and waits until it is done.
export async function ask(what) {
  console.log('ask', what);
  check((await answers.next()).value === 'done', 'the runner did not', what);
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, condition) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    check(Date.now() < end, what, 'did not come');
    await pause(20);
  }
}

// What a call that must be refused is told.
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error.message;
  }
  return 'nothing';
}

// Runs one of the two modes with the arguments of the command line.
export async function main(stories, countUnderLock) {
  const [mode, endpoints, ...rest] = process.argv.slice(2);
  if (mode === 'stories' && rest.length === 0) {
    for (const [name, tell] of Object.entries(stories)) {
      try {
        await tell(endpoints.split(','));
      } catch (failure) {
        console.log(`FAILED ${name}:`, failure);
        process.exit(1);
      }
      console.log('ok', name);
    }
  } else if (mode === 'lock' && rest.length === 3) {
    await countUnderLock(endpoints.split(','), rest[0], rest[1], Number(rest[2]));
  } else {
    console.error('usage: stories.js stories ENDPOINTS | stories.js lock ENDPOINTS LOCK COUNTER ROUNDS');
    process.exit(2);
  }
  process.exit(0);
}
