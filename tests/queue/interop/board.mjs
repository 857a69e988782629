// Bull Board's adapter, as its server uses it.
import { createRequire } from 'node:module';
import { queueOf } from './queues.mjs';

const require = createRequire(import.meta.url);
const { createBullBoard } = require('@bull-board/api');
const { BullMQAdapter } = require('@bull-board/api/bullMQAdapter');

// Takes the place of @bull-board/express; only what createBullBoard calls.
class Server {
  setQueues(queues) { this.queues = queues; return this; }
  setViewsPath() { return this; }
  setStaticPath() { return this; }
  setEntryRoute() { return this; }
  setErrorHandler() { return this; }
  setApiRoutes(routes) { this.routes = routes; return this; }
  setUIConfig() { return this; }
}

// What the page shows of one queue: by the handler of its API route where there is one.
export async function board({ queue, status }) {
  const server = new Server();
  const adapter = new BullMQAdapter(queueOf(queue));
  createBullBoard({ queues: [adapter], serverAdapter: server, options: { uiBasePath: '.' } });
  const route = server.routes.find((route) => [route.route].flat().includes('/api/queues'));
  const page = await route.handler({
    queues: server.queues, params: {}, query: { activeQueue: queue, status, page: '1' }, headers: {}, body: {},
  });
  return {
    counts: await adapter.getJobCounts(),
    isPaused: await adapter.isPaused(),
    redis: /redis_version:(\S+)/.exec(await adapter.getRedisInfo())?.[1],
    page: page.body,
  };
}
