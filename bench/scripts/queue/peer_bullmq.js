// Node's bullmq: the commands of `side.py`, with the same pauses and the same payload.
"use strict";

const { Queue, Worker } = require("bullmq");

const SLOTS = 100;
const BULK = 1000;
const OPTIONS = { removeOnComplete: true };

const [command, url, ...numbers] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };

process.on("uncaughtException", (error) => {
  console.error(`${error}`);
  process.exit(1);
});

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const nowMs = () => performance.timeOrigin + performance.now();
const say = (values) => console.log(JSON.stringify({ ...values, settings: { slots: SLOTS, results: "not kept" } }));

function payload(number) {
  return { user_id: 100000 + number, email: "someone@example.com", template: "welcome", lang: "en", t: nowMs() * 1e6 };
}

async function fill(jobs) {
  const queue = new Queue("noop", { connection });
  await queue.add("noop", payload(0), OPTIONS);
  const left = Array.from({ length: jobs - 1 }, (_, i) => ({ name: "noop", data: payload(i + 1), opts: OPTIONS }));
  const start = nowMs();
  for (let first = 0; first < left.length; first += BULK) await queue.addBulk(left.slice(first, first + BULK));
  say({ seconds: (nowMs() - start) / 1000, jobs: jobs - 1 });
  process.exit(0);
}

function work(jobs) {
  let ran = 0;
  let start, startCpu;
  const noop = async () => {
    if (++ran === 1) [start, startCpu] = [nowMs(), process.cpuUsage()];
    if (ran !== jobs) return;
    const cpu = process.cpuUsage(startCpu);
    say({ seconds: (nowMs() - start) / 1000, jobs: jobs - 1, cpu_s: (cpu.user + cpu.system) / 1e6, growth_mb: 0 });
  };
  new Worker("noop", noop, { connection, concurrency: SLOTS });
}

function hear(jobs) {
  const ways = [];
  let isReady = false;
  const noop = async (job) => {
    const now = nowMs();
    if (!isReady) {
      isReady = true;
      console.log(JSON.stringify({ ready: true }));
    } else if (ways.push(now - job.data.t / 1e6) === jobs) {
      ways.sort((a, b) => a - b);
      say({ p50_ms: ways[Math.floor(jobs / 2)], p99_ms: ways[Math.floor(jobs * 0.99)], jobs });
    }
  };
  new Worker("noop", noop, { connection, concurrency: SLOTS });
}

async function pace(jobs) {
  const queue = new Queue("noop", { connection });
  await queue.add("noop", payload(0), OPTIONS);
  await new Promise((done) => process.stdin.once("data", done));
  for (let number = 0; number < jobs; number++) {
    await sleep(10 + Math.random() * 30);
    await queue.add("noop", payload(number), OPTIONS);
  }
}

async function stop() {
  const queue = new Queue("noop", { connection });
  let worker;
  await new Promise((ran) => {
    worker = new Worker("noop", async () => ran(), { connection, concurrency: SLOTS });
    queue.add("noop", payload(0), OPTIONS);
  });
  await sleep(1300);
  const start = nowMs();
  await worker.close();
  say({ stop_ms: nowMs() - start });
  process.exit(0);
}

({ fill, work, hear, pace, stop })[command](...numbers.map(Number));
