// Workers. What a handler does is told by the job's data, so that tests can say it in JSON.
import { Worker } from 'bullmq';
import { options } from './connection.mjs';

const workers = new Map();

// data.sleep_ms: how long it runs. data.fail: how many of its first attempts throw. data.report: progress and a log
// line. data.children: it returns the values of its children. data.hang: it never ends. Otherwise it returns `{by, …}`.
async function handle(job) {
  const { sleep_ms, fail, report, children, hang } = job.data;
  if (hang) await new Promise(() => setInterval(() => {}, 1000));
  if (sleep_ms) await new Promise((done) => setTimeout(done, sleep_ms));
  if (report) {
    await job.updateProgress(report);
    await job.log(`node at ${JSON.stringify(report)}`);
  }
  if (fail && job.attemptsMade < fail) throw new Error(`node failed at ${job.attemptsMade}`);
  if (children) return { by: 'node', children: await job.getChildrenValues() };
  return { by: 'node', name: job.name, data: job.data, attempt: job.attemptsMade };
}

export const operations = {
  work: async ({ queue, opts }) => {
    const done = [];
    const failed = [];
    const stalled = [];
    const worker = new Worker(queue, handle, { ...options, ...opts });
    worker.on('completed', (job) => done.push(job.id));
    worker.on('failed', (job, error) => failed.push({ id: job?.id, error: error.message }));
    worker.on('stalled', (id) => stalled.push(id));
    worker.on('error', (error) => console.error(error));
    workers.set(queue, { worker, done, failed, stalled });
    await worker.waitUntilReady();
  },
  worked: ({ queue }) => {
    const { done, failed, stalled } = workers.get(queue);
    return { done, failed, stalled };
  },
  rest: async ({ queue, force }) => {
    const { worker, ...result } = workers.get(queue);
    await worker.close(force);
    workers.delete(queue);
    return result;
  },
};
