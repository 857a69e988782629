// One Node process with the bullmq package, driven by JSON: a request a line on stdin, its answer a line on stdout.
//
// Request: {"op": "add", "queue": "q", …}. Answer: {"ok": value} or {"error": text}. Ends when stdin ends.
import { createInterface } from 'node:readline';
import * as boards from './board.mjs';
import * as queues from './queues.mjs';
import * as workers from './workers.mjs';

const operations = { ...boards, ...queues.operations, ...workers.operations };

async function answer(line) {
  const { op, ...args } = JSON.parse(line);
  const operation = operations[op];
  if (operation === undefined) throw new Error(`no operation ${op}`);
  return (await operation(args)) ?? null;
}

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  let reply;
  try {
    reply = { ok: await answer(line) };
  } catch (error) {
    reply = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(reply) + '\n');
}
process.exit(0);
