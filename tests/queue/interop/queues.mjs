// Producers, what they can do to a queue and its jobs, and listening to its events.
import { CronExpressionParser } from 'cron-parser';
import { FlowProducer, Job, Queue, QueueEvents } from 'bullmq';
import { options } from './connection.mjs';

const queues = new Map();
const events = new Map();
let flows;

export function queueOf(name) {
  if (!queues.has(name)) queues.set(name, new Queue(name, options));
  return queues.get(name);
}

async function jobOf({ queue, id }) {
  const job = await Job.fromId(queueOf(queue), id);
  if (!job) throw new Error(`no job ${id}`);
  return job;
}

async function shown(job) {
  const { id, name, data, opts, priority, delay, progress, returnvalue, failedReason } = job;
  const { attemptsMade, attemptsStarted, stalledCounter, processedBy, deduplicationId } = job;
  const what = { id, name, data, opts, priority, delay, progress, returnvalue, failedReason, attemptsMade };
  return { ...what, attemptsStarted, stalledCounter, processedBy, deduplicationId, state: await job.getState() };
}

function node(tree) {
  return { queue: tree.job.queueName, id: tree.job.id, children: (tree.children ?? []).map(node) };
}

export const operations = {
  add: async ({ queue, name, data, opts }) => shown(await queueOf(queue).add(name, data, opts)),
  addBulk: async ({ queue, jobs }) => (await queueOf(queue).addBulk(jobs)).map((job) => job.id),
  addFlow: async ({ flow }) => node(await (flows ??= new FlowProducer(options)).add(flow)),
  job: async (args) => {
    const job = await Job.fromId(queueOf(args.queue), args.id);
    return job ? shown(job) : null;
  },
  children: async (args) => {
    const job = await jobOf(args);
    return { values: await job.getChildrenValues(), dependencies: await job.getDependencies() };
  },
  logs: async ({ queue, id }) => (await queueOf(queue).getJobLogs(id)).logs,
  counts: ({ queue }) => queueOf(queue).getJobCounts(),
  metrics: ({ queue, type }) => queueOf(queue).getMetrics(type),
  pause: ({ queue }) => queueOf(queue).pause(),
  resume: ({ queue }) => queueOf(queue).resume(),
  isPaused: ({ queue }) => queueOf(queue).isPaused(),
  setLimits: async ({ queue, concurrency, max, duration }) => {
    if (concurrency) await queueOf(queue).setGlobalConcurrency(concurrency);
    if (max) await queueOf(queue).setGlobalRateLimit(max, duration);
  },
  limits: async ({ queue }) => ({
    concurrency: await queueOf(queue).getGlobalConcurrency(),
    rate: await queueOf(queue).getGlobalRateLimit(),
  }),
  promote: async (args) => (await jobOf(args)).promote(),
  retry: async (args) => (await jobOf(args)).retry(),
  remove: async (args) => (await jobOf(args)).remove(),
  schedule: async ({ queue, id, repeat, template }) =>
    (await queueOf(queue).upsertJobScheduler(id, repeat, template))?.id,
  scheduler: ({ queue, id }) => queueOf(queue).getJobScheduler(id),
  unschedule: ({ queue, id }) => queueOf(queue).removeJobScheduler(id),

  // The instants of a pattern as BullMQ's schedulers find them, each from the one before.
  slots: ({ pattern, tz, from, count }) => {
    const found = [];
    for (let at = from; found.length < count; found.push(at)) {
      at = CronExpressionParser.parse(pattern, { tz, currentDate: new Date(at) }).next().getTime();
    }
    return found;
  },

  // What QueueEvents hears of a queue, from its first event on: 'from now on' would begin whenever it first asks.
  listen: async ({ queue }) => {
    const listener = new QueueEvents(queue, { ...options, lastEventId: '0-0' });
    const heard = [];
    for (const type of ['active', 'added', 'completed', 'failed', 'progress', 'paused', 'resumed']) {
      listener.on(type, (args) => heard.push({ type, ...args }));
    }
    events.set(queue, { listener, heard });
    await listener.waitUntilReady();
  },
  heard: ({ queue }) => events.get(queue).heard,

  // Frees what the operations above made for these queues.
  forget: async ({ names }) => {
    for (const name of names) {
      await events.get(name)?.listener.close();
      await queues.get(name)?.close();
      events.delete(name);
      queues.delete(name);
    }
  },
};
